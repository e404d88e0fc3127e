"""A replica: the model in this process, turning sequences of token ids into vectors.

A plain class. The cluster makes Ray actors of it; tests, benchmarks and machines without Ray use it as it is.
"""

import contextlib
import ctypes
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError
from kotovec.workers import forward
from kotovec.workers.architecture import Architecture
from kotovec.workers.forward import ForwardPass
from kotovec.workers.inputs import Inputs
from kotovec.workers.source import Source
from kotovec.workers.tokenizer import Template

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@dataclass(frozen=True)
class ReplicaSpec:
    """What a replica is to be.

    Attributes:
        source: the model.
        template: ids around each token.
        layers: which hidden states to keep, ascending; 0 is the embeddings' output.
        depth: the model's last layer.
        rows: rows of the input embedding matrix that the plan expects.
        positions: rows times length of a batch, about: as many sequences at once as have room in it.
        forward: name of the code that computes, as the plan decided.
        dtype: of the computation, `float32`, `bfloat16` or `float16`.
        store_dtype: of the hidden states handed back, `float32` or `float16`.
        device: `cpu` or `cuda`.
        threads: of a replica on a CPU; one, so that the same bytes come out on any number of cores.
        architecture: of a model of BERT's kind; None for what transformers computes.
        space: stem of the hidden states' spaces, such as `isolated`.
        static: hand the tokens' rows of the input embedding matrix back, too.
    """

    source: Source
    template: Template
    layers: tuple[int, ...]
    depth: int
    rows: int
    positions: int
    forward: str
    dtype: str = "float32"
    store_dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    architecture: Architecture | None = None
    space: str = "isolated"
    static: bool = True

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the spaces of hidden states, by layer: `isolated@0`, …."""
        return tuple(f"{self.space}@{layer}" for layer in self.layers)

    @property
    def spaces(self) -> tuple[str, ...]:
        """Names of all spaces that `Encoded.arrays` holds."""
        return (*(("static",) if self.static else ()), *self.states)


@dataclass(frozen=True)
class Encoded:
    """A shard's vectors as a replica hands them back.

    Attributes:
        number: of the shard.
        arrays: (m, D) for each space by its name: `static`, float32; `isolated@12`, float32 or float16. The i-th row is
            that of the i-th wanted position.
        host: name of the machine.
        cpu: its instruction set, or the name of the GPU.
        forward: name of the code that computed.
    """

    number: int
    arrays: Mapping[str, npt.NDArray[np.floating[Any]]]
    host: str
    cpu: str
    forward: str


class Encoder:
    """A replica: makes nothing but itself until `load`, so that an error of loading reaches the driver as itself."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self.spec = spec
        self._model: ForwardPass | None = None
        self._cpu = ""

    def load(self, folder: Path | None = None) -> None:
        """Load the model; on a CPU, set torch's threads and the C library's memory for the whole process.

        Args:
            folder: where its files are on this machine; None is where the plan found them.

        Raises:
            ModelError: the weights are damaged or of another model.
            WorkerError: this machine has other code than the plan decided on.
        """
        self._model = self._read(folder or self.spec.source.folder)

    def _read(self, folder: Path) -> ForwardPass:
        import torch

        spec, on_gpu = self.spec, self.spec.device == "cuda"
        if not on_gpu:
            # Ray and `ray up` set OMP_NUM_THREADS as they like; the plan counts on this number.
            torch.set_num_threads(spec.threads)
            _keep_memory()
        model = forward.load(
            replace(spec.source, folder=folder),
            spec.forward,
            spec.architecture,
            spec.layers,
            spec.depth,
            spec.positions,
            getattr(torch, spec.dtype),
            spec.device,
        )
        if len(model.static) != spec.rows:
            raise ModelError(
                f"{spec.source.name} has {len(model.static)} embedding rows, its config.json says {spec.rows}"
            )
        self._cpu = torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability()
        if spec.states and (on_gpu or spec.architecture is None):
            # The first batch takes longer, or fails: here, not in a shard.
            self._states(model, Inputs.isolated(np.zeros(2, dtype=np.int64), spec.template))
        return model

    def encode(self, number: int, inputs: Inputs) -> Encoded:
        """Encode a shard.

        Args:
            number: of the shard, handed back.
            inputs: its sequences, and the m positions of them that are wanted.

        Raises:
            ModelError: the model does not load, or gives no token-wise hidden states.
            InputError: a sequence is longer than the model has positions.
        """
        import torch

        model = self._model = self._model or self._read(self.spec.source.folder)
        arrays = {}
        if self.spec.states:
            arrays = dict(zip(self.spec.states, self._states(model, inputs), strict=True))
        if self.spec.static:
            with torch.inference_mode():
                arrays["static"] = model.static[torch.from_numpy(inputs.tokens)].numpy()
        return Encoded(number, arrays, platform.node(), self._cpu, model.name)

    def _states(self, model: ForwardPass, inputs: Inputs) -> npt.NDArray[np.floating[Any]]:
        """Return the hidden states at the wanted positions, (L, m, D), in the dtype that is stored."""
        import torch

        states: npt.NDArray[np.floating[Any]] | None = None
        for batch in inputs.batches(self.spec.positions):
            with torch.inference_mode():
                found = [state.float().cpu().numpy() for state in model.states(batch)]
            if states is None:
                shape = len(found), len(inputs.wanted), found[0].shape[1]
                states = np.empty(shape, dtype=self.spec.store_dtype)
            with np.errstate(over="ignore"):  # an overflow to Inf in float16 is found, and named, by the driver
                for layer, part in zip(states, found, strict=True):
                    layer[batch.index] = part
        assert states is not None  # noqa: S101 — `Inputs` has wanted positions
        return states


def _keep_memory() -> None:
    """Let the C library keep what a batch gives back for the next one.

    It hands it to the kernel otherwise, which clears every page again: of MiniLM's 540-620 us a token, 30-110.
    """
    with contextlib.suppress(AttributeError, OSError):  # of glibc only
        library = ctypes.CDLL(None)
        for parameter, size in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 1 << 30)):
            library.mallopt(parameter, size)
