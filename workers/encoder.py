"""A replica: the model in this process, turning token ids into vectors.

A plain class. The cluster makes Ray actors of it; tests, benchmarks and machines without Ray use it as it is.
"""

import contextlib
import ctypes
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError
from kotovec.workers import forward
from kotovec.workers.bert import Architecture, Sequences
from kotovec.workers.forward import ForwardPass
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
        batch: tokens at once, at most.
        forward: name of the code that computes, as the plan decided.
        dtype: of the computation, `float32`, `bfloat16` or `float16`.
        store_dtype: of the hidden states handed back, `float32` or `float16`.
        device: `cpu` or `cuda`.
        threads: of a replica on a CPU; one, so that the same bytes come out on any number of cores.
        architecture: of a model of BERT's kind; None for what transformers computes.
    """

    source: Source
    template: Template
    layers: tuple[int, ...]
    depth: int
    rows: int
    batch: int
    forward: str
    dtype: str = "float32"
    store_dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    architecture: Architecture | None = None


@dataclass(frozen=True)
class Encoded:
    """A shard's vectors as a replica hands them back.

    Attributes:
        number: of the shard.
        static: (n, D) float32.
        isolated: (L, n, D) float32 or float16.
        host: name of the machine.
        cpu: its instruction set, or the name of the GPU.
        forward: name of the code that computed.
    """

    number: int
    static: npt.NDArray[np.float32]
    isolated: npt.NDArray[np.floating[Any]]
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

        spec, before, on_gpu = self.spec, len(self.spec.template.prefix), self.spec.device == "cuda"
        if not on_gpu:
            # Ray and `ray up` set OMP_NUM_THREADS as they like; the plan counts on this number.
            torch.set_num_threads(spec.threads)
            _keep_memory()
        model = forward.load(
            replace(spec.source, folder=folder),
            spec.forward,
            spec.architecture,
            Sequences(spec.layers, before, before + 1 + len(spec.template.suffix), spec.batch),
            spec.depth,
            getattr(torch, spec.dtype),
            spec.device,
        )
        if len(model.static) != spec.rows:
            raise ModelError(
                f"{spec.source.name} has {len(model.static)} embedding rows, its config.json says {spec.rows}"
            )
        self._cpu = torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability()
        if on_gpu or spec.architecture is None:
            self._batch(model, np.zeros(2, dtype=np.int64))  # the first takes longer, or fails: here, not in a shard
        return model

    def encode(self, number: int, ids: npt.NDArray[np.int64], batches: Sequence[tuple[int, int]]) -> Encoded:
        """Encode a shard.

        Args:
            number: of the shard, handed back.
            ids: (n,) token ids; fed as they are, never as text.
            batches: (start, stop) bounds within `ids`, from the plan: the same on every machine.

        Raises:
            ModelError: the model does not load, or gives no token-wise hidden states.
        """
        import torch

        model = self._model = self._model or self._read(self.spec.source.folder)
        layers = list(zip(*(self._batch(model, ids[start:stop]) for start, stop in batches), strict=True))
        isolated = np.empty((len(layers), len(ids), layers[0][0].shape[1]), dtype=self.spec.store_dtype)
        with np.errstate(over="ignore"):  # an overflow to Inf in float16 is found, and named, by the driver
            for place, parts in enumerate(layers):
                np.concatenate(parts, out=isolated[place])
        with torch.inference_mode():
            static = model.static[torch.from_numpy(ids)].numpy()
        return Encoded(number, static, isolated, platform.node(), self._cpu, model.name)

    def _batch(self, model: ForwardPass, ids: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float32]]:
        """Return the wanted layers' hidden states of each token at its own place: L × (b, D) float32."""
        import torch

        template = self.spec.template
        parts = [
            np.tile(np.asarray(template.prefix, dtype=np.int64), (len(ids), 1)),
            ids[:, np.newaxis],
            np.tile(np.asarray(template.suffix, dtype=np.int64), (len(ids), 1)),
        ]
        inputs = torch.from_numpy(np.hstack(parts)).to(self.spec.device)
        with torch.inference_mode():
            return [state.float().cpu().numpy() for state in model.states(inputs)]


def _keep_memory() -> None:
    """Let the C library keep what a batch gives back for the next one.

    It hands it to the kernel otherwise, which clears every page again: of MiniLM's 540-620 us a token, 30-110.
    """
    with contextlib.suppress(AttributeError, OSError):  # of glibc only
        library = ctypes.CDLL(None)
        for parameter, size in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 1 << 30)):
            library.mallopt(parameter, size)
