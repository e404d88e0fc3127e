"""The forward pass: the interface that a replica uses, and the choice of the code that computes it.

The plan chooses the code once, from the config and from the names and shapes of the tensors, without loading weights. A
replica uses that code or raises an error: vectors of two forward passes are never mixed.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from kotovec.errors import ModelError, WorkerError
from kotovec.workers import auto, bert
from kotovec.workers.architecture import PARTS, Architecture, architecture_of, lack, read_names
from kotovec.workers.auto import Auto
from kotovec.workers.bert import Bert
from kotovec.workers.foreign_code import unloadable
from kotovec.workers.inputs import Batch
from kotovec.workers.source import Source
from kotovec.workers.tensors import AmbiguousNameError, plain_name, read_dtypes, read_shapes, read_tensors
from kotovec.workers.unread import check_dtypes, check_settings, check_tensors


class ForwardPass(Protocol):
    """A model in memory, as a replica uses it.

    Attributes:
        name: name of the code, part of the fingerprint of a build: code with other last bits has another name.
        rows: number of rows of the input embedding matrix.
    """

    name: str
    rows: int

    def states(self, batch: Batch) -> list[Any]:
        """Return the wanted layers' hidden states at the wanted positions.

        Args:
            batch: b sequences of one length, of which k positions are wanted.

        Returns:
            An array (k, D) for each layer, in the dtype of the computation, on its device.
        """


def choose(source: Source, config: Any) -> tuple[str, Architecture | None]:
    """Choose the code that computes a model: return its name, and the architecture where the code is kotovec's own.

    Args:
        source: the model.
        config: the model's config, as transformers loads it.

    Raises:
        ModelError: the weight files are damaged or quantised, or neither code would compute this model's vectors.
    """
    check_settings(source, config)
    with naming(source):
        dtypes = read_dtypes(source.weights())
    check_dtypes(source, dtypes)
    architecture = architecture_of(config)
    if architecture is not None and _lack(source, architecture) is None:
        read, prefix = read_names(architecture), architecture.prefix
        left_out = (name for name in dtypes if plain_name(prefix, name) not in read)
        check_tensors(source, left_out, dtypes, prefix, PARTS)
        return bert.FORWARD, architecture
    return auto.forward_name(), None


def _lack(source: Source, architecture: Architecture) -> str | None:
    """Return why kotovec's own forward pass cannot compute a checkpoint; None where it can."""
    try:
        with naming(source):
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
    tensor: str | None,
) -> ForwardPass:
    """Load a model with the code that the plan chose.

    Args:
        source: the model, with the folder of its files on this machine.
        forward: name of the code, from `choose`.
        architecture: architecture from `choose`; None for a model that transformers computes.
        layers: which hidden states are wanted, ascending; 0 is the embeddings' output.
        depth: number of the model's last layer.
        positions: approximate rows times length of a batch.
        dtype: torch dtype of the computation.
        device: `cpu` or `cuda`.
        tensor: name of the input embedding matrix in the weight files, where the driver copies it from there.

    Raises:
        ModelError: the weights are damaged, or differ from those of the plan.
        WorkerError: this machine has another version of the code.
        MemoryError: there is not enough memory.
    """
    here = auto.forward_name() if architecture is None else bert.FORWARD
    if here != forward:
        raise WorkerError(
            f"this machine computes by {here!r}, the plan by {forward!r}",
            hint="install the same versions of kotovec and transformers on all machines",
        )
    if architecture is None:
        return Auto(source, layers, depth, dtype, device, tensor)
    with naming(source):
        tensors = read_tensors(source.weights(), architecture.prefix)
        if lacking := lack({name: tuple(tensor.shape) for name, tensor in tensors.items()}, architecture):
            raise ModelError(f"the weights of {source.name} are not those that were planned with: {lacking}")
        return Bert(tensors, architecture, layers, positions, dtype, device)


@contextlib.contextmanager
def naming(source: Source) -> Iterator[None]:
    """Turn the exceptions of torch and safetensors into errors of one line; keep errors that may be temporary."""
    import torch

    try:
        yield
    except (MemoryError, OSError, torch.OutOfMemoryError, AmbiguousNameError, ModelError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # torch raises a bare RuntimeError on a CPU
            raise MemoryError(str(error)) from error
        raise unloadable(source, error) from error
