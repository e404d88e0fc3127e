"""A replica: the model in this process, turning token ids into vectors.

A plain class. The cluster makes Ray actors of it; tests, benchmarks and machines without Ray use it as it is.
"""

import contextlib
import os
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError, first_line
from kotovec.workers.source import Source
from kotovec.workers.tokenizer import Template

# Parameters that no token-wise hidden state depends on: a checkpoint may lack them.
_UNUSED_PARTS = ("pooler", "position_ids", "lm_head", "cls.")


@dataclass(frozen=True)
class ReplicaSpec:
    """What a replica is to be.

    Attributes:
        source: the model.
        template: ids around each token.
        layers: which hidden states to keep, ascending; 0 is the embeddings' output.
        depth: the model's last layer.
        rows: rows of the input embedding matrix that the plan expects.
        dtype: of the computation, `float32`, `bfloat16` or `float16`.
        store_dtype: of the hidden states handed back, `float32` or `float16`.
        device: `cpu` or `cuda`.
        threads: of a replica on a CPU; one, so that the same bytes come out on any number of cores.
    """

    source: Source
    template: Template
    layers: tuple[int, ...]
    depth: int
    rows: int
    dtype: str = "float32"
    store_dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Encoded:
    """A shard's vectors as a replica hands them back.

    Attributes:
        number: of the shard.
        static: (n, D) float32.
        isolated: (L, n, D) float32 or float16.
        host: name of the machine.
        cpu: its instruction set, or the name of the GPU.
    """

    number: int
    static: npt.NDArray[np.float32]
    isolated: npt.NDArray[np.floating[Any]]
    host: str
    cpu: str


class Encoder:
    """A replica: makes nothing but itself until `load`, so that an error of loading reaches the driver as itself."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self.spec = spec
        self._model: Any = None
        self._static: Any = None
        self._cpu = ""

    def load(self, folder: Path | None = None) -> None:
        """Load the model.

        Args:
            folder: where its files are on this machine; None is where the plan found them.

        Raises:
            ModelError: the weights are damaged or of another model.
        """
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        if self.spec.device == "cpu":
            # Ray and `ray up` set OMP_NUM_THREADS as they like; the plan counts on this number.
            torch.set_num_threads(self.spec.threads)
        model = _from_pretrained(self.spec.source, folder or self.spec.source.folder)
        static = model.get_input_embeddings().weight.detach()
        if len(static) != self.spec.rows:
            raise ModelError(
                f"{self.spec.source.name} has {len(static)} embedding rows, its config.json says {self.spec.rows}"
            )
        # Kept apart in float32: with --dtype bfloat16 the matrix would be rounded, and static is exact.
        self._static = static.float().cpu()
        self._model = model.to(dtype=getattr(torch, self.spec.dtype), device=self.spec.device)
        on_gpu = self.spec.device == "cuda"
        self._cpu = torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability()

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

        if self._model is None:
            self.load()
        layers = [
            torch.cat(parts) for parts in zip(*(self._batch(ids[start:stop]) for start, stop in batches), strict=True)
        ]
        with torch.inference_mode():
            static = self._static[torch.from_numpy(ids)].numpy()
        stored = np.dtype(self.spec.store_dtype)
        with np.errstate(over="ignore"):  # an overflow to Inf in float16 is found, and named, by the driver
            isolated = np.stack([layer.numpy().astype(stored, copy=False) for layer in layers])
        return Encoded(number, static, isolated, platform.node(), self._cpu)

    def _batch(self, ids: npt.NDArray[np.int64]) -> list[Any]:
        """Return the wanted layers' hidden states of each token at its own place: L × (b, D) float32."""
        import torch

        template = self.spec.template
        parts = [
            np.tile(np.asarray(template.prefix, dtype=np.int64), (len(ids), 1)),
            ids[:, np.newaxis],
            np.tile(np.asarray(template.suffix, dtype=np.int64), (len(ids), 1)),
        ]
        inputs = torch.from_numpy(np.hstack(parts)).to(self.spec.device)
        place, depth = len(template.prefix), self.spec.depth
        inner = [layer for layer in self.spec.layers if layer != depth]
        with torch.inference_mode():
            # All ones, whatever the id: with no mask given, some models would mask <pad> away.
            output = self._model(
                input_ids=inputs, attention_mask=torch.ones_like(inputs), output_hidden_states=bool(inner)
            )
        last = getattr(output, "last_hidden_state", None)
        if last is None or last.ndim != 3 or last.shape[:2] != inputs.shape:  # noqa: PLR2004 — (batch, length, D)
            raise ModelError(f"{self.spec.source.name} gives no token-wise hidden states: kotovec needs an encoder")
        if inner and len(output.hidden_states) != depth + 1:
            raise ModelError(
                f"{self.spec.source.name} gives {len(output.hidden_states)} hidden states, not {depth + 1}: "
                "only --layers last can be had of it"
            )
        states = [last if layer == depth else output.hidden_states[layer] for layer in self.spec.layers]
        return [state[:, place].float().cpu() for state in states]


def _from_pretrained(source: Source, folder: Path) -> Any:
    """Load a model in float32, in evaluation mode.

    Raises:
        ModelError: the weights are damaged, belong to another architecture, or the model takes no token ids.
    """
    import torch
    import transformers

    try:
        # Old checkpoints warn about a missing pooler, which is not used.
        with warnings.catch_warnings(), open(os.devnull, "w") as null, contextlib.redirect_stderr(null):  # noqa: PTH123
            warnings.simplefilter("ignore")
            model, report = transformers.AutoModel.from_pretrained(
                folder, dtype=torch.float32, weights_only=True, output_loading_info=True
            )
    except Exception as error:
        reason = first_line(error)
        raise ModelError(f"the weights of {source.name} do not load: {reason}") from error
    if model.main_input_name != "input_ids":
        raise ModelError(f"{source.name} takes {model.main_input_name}, not tokens: kotovec needs a text encoder")
    missing = [name for name in report["missing_keys"] if not any(part in name for part in _UNUSED_PARTS)]
    if missing:
        raise ModelError(
            f"the weights of {source.name} lack {len(missing)} of the model's parameters ({min(missing)}, …): "
            "they would be random; is config.json of another model?"
        )
    return model.eval()
