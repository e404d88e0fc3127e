"""Arguments from Python of a wrong type, which are refused in one line with the fix, as wrong values are."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, quoted
from kotovec.space import BOTH, Space
from kotovec.text import parts


class Asking(TypedDict, total=False):
    """How an expression is asked, wherever it is: arguments of `Store.search`, each with its default there."""

    space: Space | str | None
    layer: int | None
    metric: str
    exclude_inputs: bool
    unit_terms: bool
    words_only: bool
    script: str | Sequence[str] | None
    within: Space | str | None


class Searching(Asking, total=False):
    """How the nearest tokens of an expression are searched: all arguments of `Store.search`."""

    k: int | None
    device: str
    exact: bool


class Search(NamedTuple):
    """How to search; the fields are the arguments of `Store.search`, with their defaults."""

    space: Space | str | None = None
    layer: int | None = None
    metric: str = "l2"
    k: int | None = None
    exclude_inputs: bool = False
    unit_terms: bool = False
    words_only: bool = False
    script: str | Sequence[str] | None = None
    device: str = "auto"
    exact: bool = False
    within: Space | str | None = None


def kind_of(value: object) -> str:
    """Return what a value is, for a message: `None`, `a str`, `an int`."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def check_path(path: str | PathLike[str]) -> Path:
    """Return the path of a store's folder.

    Raises:
        InputError: it is no path.
    """
    try:
        return Path(path)
    except TypeError as error:
        problem = f"a store is opened by its path, not by {kind_of(path)}"
        raise InputError(problem, hint="name its folder, such as `demo.kotovec`") from error


def check_text(value: object) -> None:
    """Refuse an expression, or a term, that is no text.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, str):
        raise InputError(f"an expression is a str, not {kind_of(value)}", hint="write it as `king - man + woman`")


def check_count(k: int, most: int, *, words: bool) -> None:
    """Refuse a number of neighbours that is no whole number from 1 to that of all tokens, or words.

    Raises:
        InputError: it is none.
    """
    if not isinstance(k, int | np.integer) or isinstance(k, bool):
        raise InputError(f"k is a whole number, not {kind_of(k)}", hint="write it as `k=10`")
    if not 1 <= k <= most:
        having = f"the store has {most} word" if words else f"the vocabulary has {most} token"
        rows = having if most == 1 else f"{having}s"
        hint = f"choose a number from 1 to {most}" if most != 1 else "choose 1"
        raise InputError(f"k is {k}, but {rows}" if k > 0 else f"k is {k}", hint=hint)


def check_space(space: object, layer: object = None) -> None:
    """Refuse what is not one space, and what is no layer of one.

    Raises:
        InputError: it names several, or is no space at all; or the layer is no whole number.
    """
    if layer is not None and (isinstance(layer, bool) or not isinstance(layer, int | np.integer)):
        raise InputError(f"a layer is a whole number, not {kind_of(layer)}", hint="write it as `layer=6`")
    if isinstance(space, str):
        if space.strip() == "both" or len(parts(space)) > 1:
            first = parts(BOTH if space.strip() == "both" else space)[0]
            raise InputError(f"{quoted(space)} is not one space", hint=f"ask in one at a time, such as {quoted(first)}")
    elif not isinstance(space, Space):
        raise InputError(f"a space is a str or a Space, not {kind_of(space)}", hint="write it as `isolated@6`")


def check_queries(vectors: npt.ArrayLike | None, rows: Any) -> npt.NDArray[Any]:
    """Return the vectors, or the rows, of which the nearest rows are asked for.

    Raises:
        InputError: both are given, or none is, or they are no numbers.
    """
    if (vectors is None) == (rows is None):
        problem = "and none are given" if rows is None else "and not both"
        raise InputError(f"nearest takes vectors or rows, {problem}", hint="give one of the two")
    given = rows if vectors is None else vectors
    if isinstance(given, str):
        raise InputError("nearest takes vectors, not a str", hint="use `search` for an expression")
    name, kinds, shape = ("rows", "iu", "(n,)") if vectors is None else ("vectors", "fiub", "(n, D)")
    try:
        array = np.asarray(given)
    except ValueError as error:  # of lists of different lengths
        raise InputError(f"these {name} are not an array of numbers", hint=f"give one of shape {shape}") from error
    if array.size and array.dtype.kind not in kinds:
        problem = f"these {name} are of dtype {array.dtype}"
        raise InputError(problem, hint=f"give {'whole ' if vectors is None else ''}numbers, of shape {shape}")
    return array
