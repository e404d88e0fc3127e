"""A replica: the model in this process, which turns sequences of token ids into vectors.

It is a plain class. The cluster makes Ray actors of it; tests, benchmarks and machines without Ray use it directly.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError
from kotovec.workers import forward, pooling
from kotovec.workers.architecture import Architecture
from kotovec.workers.bert import Bert
from kotovec.workers.devices import gpu_name, to_device, to_host
from kotovec.workers.forward import ForwardPass
from kotovec.workers.inputs import Batch, Inputs
from kotovec.workers.source import Source
from kotovec.workers.tokenizer import Template
from kotovec.workers.totals import Tally, Totals

# Variables that change the last bits of products, beside the processor itself; no library reports what they do.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
)
_SAMPLE = 32  # tokens that transformers computes on a CPU for `Encoded.products`
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h


@dataclass(frozen=True)
class ReplicaSpec:
    """The specification of a replica.

    Attributes:
        source: the model.
        template: ids around each token.
        layers: which hidden states to keep, ascending; 0 is the embeddings' output.
        depth: number of the model's last layer.
        rows: number of rows of the input embedding matrix that the plan expects.
        positions: approximate rows times length of a batch; a batch has as many sequences as fit.
        forward: name of the code that computes, as the plan decided.
        dtype: dtype of the computation, `float32`, `bfloat16` or `float16`.
        store_dtype: dtype of the returned hidden states, `float32` or `float16`.
        device: `cpu` or `cuda`.
        threads: threads of a replica on a CPU; with one, the bytes are the same on any number of cores.
        architecture: architecture of a BERT-like model; None for a model that transformers computes.
        space: kind of the hidden states' spaces, such as `isolated`.
        tensor: name of the input embedding matrix in the weight files, where the driver copies it from there.
        names: names of the tensors in the weight files of a model that transformers computes.
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
    tensor: str | None = None
    names: tuple[str, ...] = ()

    @property
    def spaces(self) -> tuple[str, ...]:
        """Names of the spaces that `Encoded.arrays` holds, by layer: `isolated@0`, …."""
        return tuple(f"{self.space}@{layer}" for layer in self.layers)


@dataclass(frozen=True)
class Encoded:
    """The vectors of a shard, as a replica returns them.

    Attributes:
        number: number of the shard.
        arrays: one array (m, D) float32 or float16 for each space, by its name, such as `isolated@12`. Row i belongs to
            the i-th wanted position, or is the mean of those that `Inputs.means` names. Of inputs with `rows`, arrays
            (m, D) int64: sums of the vectors of m rows, in units of 2^-30.
        host: name of the machine.
        cpu: instruction set of the CPU, or the name of the GPU, and the variables that change what it computes.
        forward: name of the code that computed the vectors.
        products: hash of the hidden states of known tokens on this machine. Where it is equal, so are the bits: MKL and
            oneDNN choose their code by the processor and by variables, and `cpu` shows only torch's own choice.
        tally: which rows the sums are of, and what was counted beside them; None of vectors.
    """

    number: int
    arrays: Mapping[str, npt.NDArray[np.floating[Any] | np.int64]]
    host: str
    cpu: str
    forward: str
    products: str = ""
    tally: Tally | None = None


class Encoder:
    """A replica; it loads nothing before `load`, so that errors of loading reach the driver with their own type."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self.spec = spec
        self._model: ForwardPass | None = None
        self._cpu = self._products = ""

    def load(self, folder: Path | None = None) -> None:
        """Load the model; on a CPU, configure torch's threads and the C library's memory for the whole process.

        Args:
            folder: folder of the model's files on this machine; None is the path in the plan.

        Raises:
            ModelError: the weights are damaged or belong to another model.
            WorkerError: this machine has another version of the code than the plan requires.
        """
        self._model = self._read(folder or self.spec.source.folder)

    def _read(self, folder: Path) -> ForwardPass:
        import torch

        spec, on_gpu = self.spec, self.spec.device == "cuda"
        if not on_gpu:
            # Ray and `ray up` set OMP_NUM_THREADS to other numbers; the bytes depend on the one in the plan.
            torch.set_num_threads(spec.threads)
            _keep_memory()
        model = forward.load(
            replace(spec.source, folder=folder),
            spec.forward,
            spec.architecture,
            spec.names,
            spec.layers,
            spec.depth,
            spec.positions,
            getattr(torch, spec.dtype),
            spec.device,
            spec.tensor,
        )
        if model.rows != spec.rows:
            raise ModelError(f"{spec.source.name} has {model.rows} embedding rows, its config.json says {spec.rows}")
        cpu = gpu_name() if on_gpu else torch.backends.cpu.get_cpu_capability()
        self._cpu = ", ".join([cpu, *(f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ)])
        # Also, the first batch takes longer, or fails: run one here rather than in a shard.
        self._products = self._known_products(model)
        if not on_gpu:
            _return_memory()
        return model

    def _known_products(self, model: ForwardPass) -> str:
        """Return `Encoded.products`: 70 ms of MiniLM, once per worker.

        Products of other shapes do not do: MKL_CBWR=AVX2 changes some of a model's and none of a plain matrix product.
        """
        spec = self.spec
        together = max(1, spec.positions // spec.template.length)
        if isinstance(model, Bert):
            model = model.brief()
        elif spec.device == "cpu":
            together = min(together, _SAMPLE)
        ids = np.arange(max(2, min(together, spec.rows))) % spec.rows
        digest = hashlib.sha256()
        for batch in Inputs.isolated(ids, spec.template).batches(spec.positions):
            for state in self._run(model, batch):
                digest.update(np.ascontiguousarray(state).tobytes())
        return digest.hexdigest()[:16]

    def encode(self, number: int, inputs: Inputs) -> Encoded:
        """Encode a shard.

        Args:
            number: number of the shard, which is returned.
            inputs: sequences of the shard, and their m wanted positions.

        Raises:
            ModelError: the model does not load, or gives no token-wise hidden states.
            InputError: a sequence is longer than the model has positions.
        """
        model = self._model = self._model or self._read(self.spec.source.folder)
        if inputs.rows is not None:
            return self._summed(model, number, inputs)
        states = self._states(model, inputs)
        found = states if inputs.means is None else self._means(states, inputs.means)
        arrays = dict(zip(self.spec.spaces, found, strict=True))
        return Encoded(number, arrays, platform.node(), self._cpu, model.name, self._products)

    def _summed(self, model: ForwardPass, number: int, inputs: Inputs) -> Encoded:
        """Return the sums of the hidden states of each row."""
        import torch

        totals, names = Totals(inputs, self.spec.device), self.spec.spaces
        with torch.inference_mode():
            for batch in inputs.batches(self.spec.positions):
                totals.add(model.states(batch), batch)
            sums, tally = totals.sums(names), totals.tally(names)
        return Encoded(number, sums, platform.node(), self._cpu, model.name, self._products, tally)

    def _states(self, model: ForwardPass, inputs: Inputs) -> npt.NDArray[np.floating[Any]]:
        """Return the hidden states at the wanted positions, (L, m, D), in the stored dtype; for means in float32.

        They stay on the device until the shard is complete: a GPU then computes while this process prepares the next
        batch.
        """
        import torch

        states = None
        with torch.inference_mode():
            for batch in inputs.batches(self.spec.positions):
                found = model.states(batch)
                if states is None:
                    shape = len(found), len(inputs.wanted), found[0].shape[1]
                    kept = self.spec.store_dtype if inputs.means is None else "float32"
                    states = found[0].new_empty(shape, dtype=getattr(torch, kept))
                # Tokens alone in their template are in their order: a slice is a plain copy.
                in_order = batch.position is not None
                rows = slice(batch.index[0], batch.index[-1] + 1)
                index = rows if in_order else to_device(batch.index, self.spec.device)
                for layer, part in zip(states, found, strict=True):
                    layer[index] = part.to(states.dtype)  # the driver finds and reports an overflow to Inf in float16
            return to_host(states)

    def _means(
        self, states: npt.NDArray[np.floating[Any]], offsets: npt.NDArray[np.int64]
    ) -> list[npt.NDArray[np.floating[Any]]]:
        """Return the means of (L, m, D) states, L times (r, D), in the stored dtype: rounded once, at the end."""
        with np.errstate(over="ignore"):  # the driver finds and reports an overflow to Inf in float16
            return [pooling.means(layer, offsets).astype(self.spec.store_dtype) for layer in states]

    def _run(self, model: ForwardPass, batch: Batch) -> list[npt.NDArray[np.float32]]:
        import torch

        with torch.inference_mode():
            return [state.float().cpu().numpy() for state in model.states(batch)]


def _keep_memory() -> None:
    """Let the C library keep memory that a batch has freed for the next one.

    Otherwise the library returns it to the kernel, which clears every page again: 30-110 of MiniLM's 540-620 us per
    token.
    """
    with contextlib.suppress(AttributeError, OSError):  # only glibc has it
        library = ctypes.CDLL(None)
        for parameter, size in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 1 << 30)):
            library.mallopt(parameter, size)


def _return_memory() -> None:
    """Return to the kernel what loading has freed: 3 MB of MiniLM's 300."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
