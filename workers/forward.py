"""The forward pass: the interface that a replica uses, and the choice of the code that computes it.

The plan chooses the code once, from the config and from the names and shapes of the tensors, without loading weights. A
replica uses that code or raises an error: vectors of two forward passes are never mixed.
"""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from kotovec.errors import ModelError, WorkerError
from kotovec.workers import auto, bert
from kotovec.workers.architecture import PARTS, Architecture, lack, read_names
from kotovec.workers.auto import Auto
from kotovec.workers.bert import Bert
from kotovec.workers.foreign_code import naming_errors
from kotovec.workers.inputs import Batch
from kotovec.workers.model import Model
from kotovec.workers.source import Source
from kotovec.workers.tensors import AmbiguousNameError, plain_name, read_tensors, without_head
from kotovec.workers.unread import check_dtypes, check_names, check_parts, check_settings, check_tensors


class ForwardPass(Protocol):
    """A model in memory, as a replica uses it: the contract of `Bert` and `Auto`.

    `load` returns both as this type, so that mypy checks them; tests/test_forward.py checks what types do not say.

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
            A tensor (k, D) for each wanted layer, ascending, in the dtype of the computation, on its device; no later
            call overwrites it.

        Raises:
            InputError, ModelError: the model cannot compute sequences of this length, or has no such hidden states.
        """


def choose(model: Model) -> tuple[str, Architecture | None]:
    """Choose the code that computes a model: return its name, and the architecture where the code is kotovec's own.

    Raises:
        ModelError: the config or the weight files are damaged, the weights are quantised, a tensor stands in two files,
            or neither code would compute this model's vectors.
    """
    check_settings(model.source, model.pretrained_config)
    check_dtypes(model.source, model.dtypes)
    check_names(model.source, model.shapes)
    with naming_errors(model.source):
        check_parts(model.source)
    architecture = model.architecture
    if architecture is not None and _lack(model, architecture) is None:
        read, prefix = read_names(architecture), architecture.prefix
        left_out = (name for name in model.shapes if plain_name(prefix, name) not in read)
        check_tensors(model.source, left_out, model.shapes, prefix, PARTS)
        return bert.FORWARD, architecture
    return auto.forward_name(), None


def _lack(model: Model, architecture: Architecture) -> str | None:
    """Return why kotovec's own forward pass cannot compute a checkpoint; None where it can."""
    try:
        return lack(without_head(model.shapes, architecture.prefix), architecture)
    except AmbiguousNameError as error:
        return str(error)


def load(
    source: Source,
    forward: str,
    architecture: Architecture | None,
    names: Collection[str],
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
        names: names of the tensors in the weight files, which a model that transformers computes is checked with.
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
        return Auto(source, names, layers, depth, dtype, device, tensor)
    with naming_errors(source):
        tensors = read_tensors(source.weights(), architecture.prefix)
        if lacking := lack({name: tuple(tensor.shape) for name, tensor in tensors.items()}, architecture):
            raise ModelError(f"the weights of {source.name} are not those that were planned with: {lacking}")
        return Bert(tensors, architecture, layers, positions, dtype, device)
