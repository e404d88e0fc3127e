"""Tables of a checkpoint in a build: which spaces are asked for, which tensors they are, and what is said of them."""

from dataclasses import dataclass, replace
from typing import Any

from kotovec.errors import InputError, choices
from kotovec.space import OUTPUT, PROTOTYPES, STATIC, Space, parse_spaces
from kotovec.workers import ranges
from kotovec.workers.matrices import Matrices
from kotovec.workers.ranges import Stored

TABLES = (STATIC, OUTPUT)
STATES = ("isolated", "template", "context")  # hidden states, each kind of which is a stage of a build
BUILT = (STATIC, *map(Space, STATES), OUTPUT)


@dataclass(frozen=True)
class Chosen:
    """The spaces that a stage of a build is asked for.

    Attributes:
        tables: those that are rows of a matrix.
        layers: the layers of the hidden states, as `--layers` writes them; None without any.
        states: the name of their space.
    """

    tables: tuple[Space, ...]
    layers: str | None
    states: str = STATES[0]

    @property
    def spaces(self) -> str:
        """The list of these spaces, as `--spaces` writes it, without layers."""
        return ",".join((*map(str, self.tables), *(() if self.layers is None else (self.states,))))


def choose(spaces: str, layers: str) -> tuple[Chosen, ...]:
    """Read the values of `--spaces` and `--layers`; return the stages of the build, one a kind of hidden states.

    The tables belong to the first one.

    Raises:
        InputError: a space is unknown or cannot be built, or layers are given in both.
    """
    wanted = parse_spaces(spaces, BUILT)
    tables = tuple(space for space in TABLES if space in wanted)
    kinds: dict[str, list[Space]] = {}
    for space in wanted:
        if space in tables:
            continue
        if space.name == PROTOTYPES:
            raise InputError(
                "--prototypes K makes the space `prototypes` beside `context`",
                hint="name `context`, and add --prototypes",
            )
        if space.name not in STATES or space.first is not None or space.steps:
            raise InputError(f"`kotovec build` makes no {space}", hint=f"choose {choices(each.name for each in BUILT)}")
        kinds.setdefault(space.name, []).append(space)
    stages = []
    for name in filter(kinds.__contains__, STATES):
        numbers = [str(space.layer) for space in kinds[name]]
        if numbers != ["-1"] and layers != "last":
            raise InputError("--spaces and --layers both name layers", hint="name them in one of the two")
        stages.append(Chosen((), layers if numbers == ["-1"] else ",".join(numbers), name))
    first, *others = stages or [Chosen((), None)]
    return (replace(first, tables=tables), *others)


def tensor_of(matrices: Matrices, space: Space) -> Stored:
    """Return the tensor whose rows a space holds.

    Raises:
        ModelError: the checkpoint has none.
    """
    return matrices.input if space == STATIC else matrices.head


def rows_of(matrices: Matrices, spaces: tuple[Space, ...]) -> int:
    """Return how many rows all of some tables have.

    Raises:
        ModelError: the checkpoint has no such table, or it is quantised.
    """
    tensors = [tensor_of(matrices, space) for space in spaces]
    for tensor in tensors:
        ranges.check_plain(matrices.model.name, tensor)
    return min(tensor.shape[0] for tensor in tensors)


def about(matrices: Matrices, space: Space) -> dict[str, Any]:
    """Return how the vectors of a table were made, as JSON-ready values for its file."""
    tensor = tensor_of(matrices, space)
    made: dict[str, Any] = {"tensor": tensor.name, "tensor_dtype": tensor.dtype}
    if space == OUTPUT:
        norm = matrices.norm
        made |= {"before": matrices.before, "bias": matrices.bias, "scale": matrices.scale}
        made["tied"] = matrices.tied
        if norm is not None:
            made["norm"] = {"kind": norm.kind, "epsilon": norm.epsilon, "tensor": norm.weight.name}
    return made


def describe(matrices: Matrices, spaces: tuple[Space, ...]) -> tuple[str, ...]:
    """Return what a person should know about the tables of a checkpoint."""
    notices = list(matrices.notices)
    if OUTPUT in spaces:
        if matrices.tied:
            notices.append(f"output is tied to static, and is not stored twice: {matrices.tied}")
        if matrices.before:
            notices.append(
                f"between the hidden states and output there is {matrices.before}: the rows of output are compared "
                "with its result, not with hidden states"
            )
        if matrices.scale:
            notices.append(f"the logits are hidden states times output, times {matrices.scale}")
        if matrices.bias:
            notices.append(f"the logits also have a bias ({matrices.bias}), which is no part of output")
    own, head = matrices.input, matrices.output
    if head is not None and {STATIC, OUTPUT} <= set(spaces) and head.shape[0] != own.shape[0]:
        notices.append(
            f"{head.name} has {head.shape[0]:,} rows and {own.name} {own.shape[0]:,}: both are cut to "
            f"{min(head.shape[0], own.shape[0]):,}"
        )
    return tuple(notices)
