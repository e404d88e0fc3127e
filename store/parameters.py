"""The search-time parameters of faiss' indexes, such as `nprobe=16`."""

import math
import re
from typing import Any

from kotovec.errors import InputError, choices, quoted
from kotovec.store.factories import HOLDERS, holder

# faiss takes any value of these; 0, and what is 0 or less as an integer, fails at the search or finds nothing.
_FROM_ONE = re.compile(r"(?:quantizer_)*(nprobe|efSearch|k_factor_rf)")


def set_parameters(faiss: Any, index: Any, parameters: str, rows: int) -> None:
    """Set search-time parameters of an index.

    Args:
        faiss: the library.
        index: an index of faiss.
        parameters: `NAME=VALUE`, separated by commas; may be empty.
        rows: the number of its vectors, for a hint.

    Raises:
        InputError: faiss does not know one for this index, or could not search with it.
    """
    if not parameters:
        return
    for part in parameters.split(","):
        name, _, value = part.strip().partition("=")
        if (known := _FROM_ONE.fullmatch(name)) and not _is_from_one(value, fraction=known[1] == "k_factor_rf"):
            raise InputError(f"faiss cannot search with {quoted(part.strip())}", hint=f"give {name} a number from 1")
    try:
        faiss.ParameterSpace().set_index_parameters(index, parameters)
    except RuntimeError as error:
        problem = f"faiss does not take the parameters {quoted(parameters)} for this index"
        raise InputError(problem, hint=_advice(faiss, index, parameters, rows)) from error


def _advice(faiss: Any, index: Any, parameters: str, rows: int) -> str:
    """Return what to write in place of the first parameter that an index does not have, or has no number."""
    from difflib import get_close_matches

    taken = [name for name in HOLDERS if _takes(faiss, index, name)]
    for part in parameters.split(","):
        name, _, value = part.strip().partition("=")
        if name in taken and not _is_number(value):
            return f"give {name} a number, such as `{name}=16`"
        if name in taken:
            continue
        spelled = {each.lower(): each for each in HOLDERS}
        near = [spelled[each] for each in get_close_matches(name.lower(), spelled)]
        if own := [each for each in near if each in taken]:
            return f"use {choices(own[:1])}"
        if near:
            return f"name a factory that has {near[0]}, such as `--factory {holder(near[0], rows, index.d)}`"
    return f"choose {choices(taken)}" if taken else "leave out --parameters: this index has none"


def _takes(faiss: Any, index: Any, name: str) -> bool:
    """Return whether an index has a parameter; of those tried, 1 changes no result that is kept."""
    try:
        faiss.ParameterSpace().set_index_parameter(index, name, 1)
    except RuntimeError:
        return False
    return True


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _is_from_one(value: str, *, fraction: bool) -> bool:
    """Return whether a value is 1 or more as faiss reads it: an integer of 32 bits unless fractions are used."""
    try:
        number = float(value)
    except ValueError:
        return True  # faiss refuses it, or reads it in its own way (0x10): the trial search decides
    return math.isfinite(number) and 1 <= number < 2**31 and (fraction or number.is_integer())
