"""The forward pass: what a replica asks of a model, and which code computes it.

It is decided once, in the plan, from the config and from the names and shapes of the tensors, without a weight. A
replica computes what was decided or raises: vectors of two forward passes are never mixed.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from kotovec.errors import ModelError, WorkerError
from kotovec.workers import auto, bert
from kotovec.workers.architecture import Architecture, architecture_of, lack
from kotovec.workers.auto import Auto
from kotovec.workers.bert import Bert
from kotovec.workers.foreign_code import unloadable
from kotovec.workers.inputs import Batch
from kotovec.workers.source import Source
from kotovec.workers.tensors import AmbiguousNameError, read_shapes, read_tensors


class ForwardPass(Protocol):
    """A model in memory, as a replica uses it.

    Attributes:
        name: which code computes, as the fingerprint of a build has it: other last bits have another name.
        static: (rows, D) float32, the input embeddings.
    """

    name: str
    static: Any

    def states(self, batch: Batch) -> list[Any]:
        """Return the wanted layers' hidden states at the wanted positions.

        Args:
            batch: b sequences of one length, of which k positions are wanted.

        Returns:
            For each layer (k, D), in the dtype of the computation, on its device.
        """


def choose(source: Source, config: Any) -> tuple[str, Architecture | None]:
    """Decide which code computes a model: its name, and the architecture where it is kotovec's own.

    Args:
        source: the model.
        config: its config, as transformers loads it.

    Raises:
        ModelError: the weight files are damaged.
    """
    architecture = architecture_of(config)
    if architecture is not None and _lack(source, architecture) is None:
        return bert.FORWARD, architecture
    return auto.forward_name(), None


def _lack(source: Source, architecture: Architecture) -> str | None:
    """Return what keeps kotovec's own pass from computing a checkpoint; None where nothing does."""
    try:
        with _naming(source):
            return lack(read_shapes(source.weights(), architecture.prefix), architecture)
    except AmbiguousNameError as error:
        return str(error)


def load(
    source: Source,
    forward: str,
    architecture: Architecture | None,
    layers: Sequence[int],
    depth: int,
    positions: int,
    dtype: Any,
    device: str,
) -> ForwardPass:
    """Load a model by the code that the plan decided on.

    Args:
        source: the model, its files on this machine.
        forward: name of the code, from `choose`.
        architecture: from `choose`; None for what transformers computes.
        layers: which hidden states are wanted, ascending; 0 is the embeddings' output.
        depth: the model's last layer.
        positions: rows times length of a batch, about.
        dtype: of torch, to compute in.
        device: `cpu` or `cuda`.

    Raises:
        ModelError: the weights are damaged, or not those that the plan saw.
        WorkerError: this machine has another version of the code.
        MemoryError: memory is short.
    """
    here = auto.forward_name() if architecture is None else bert.FORWARD
    if here != forward:
        raise WorkerError(
            f"this machine computes by {here!r}, the plan by {forward!r}: install the same versions of kotovec and "
            "transformers on all machines"
        )
    if architecture is None:
        return Auto(source, layers, depth, dtype, device)
    with _naming(source):
        tensors = read_tensors(source.weights(), architecture.prefix)
        if lacking := lack({name: tuple(tensor.shape) for name, tensor in tensors.items()}, architecture):
            raise ModelError(f"the weights of {source.name} are not those that were planned with: {lacking}")
        return Bert(tensors, architecture, layers, positions, dtype, device)


@contextlib.contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Turn what torch and safetensors raise into one line; what is short for a moment stays what it is."""
    import torch

    try:
        yield
    except (MemoryError, OSError, torch.OutOfMemoryError, AmbiguousNameError, ModelError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # what torch raises on a CPU is a bare RuntimeError
            raise MemoryError(str(error)) from error
        raise unloadable(source, error) from error
