"""The search-time parameters of faiss' indexes, such as `nprobe=16`."""

import math
import re
from typing import Any

from kotovec.errors import InputError, quoted

# faiss takes any value of these; 0, and what is 0 or less as an integer, fails at the search or finds nothing.
_FROM_ONE = re.compile(r"(?:quantizer_)*(nprobe|efSearch|k_factor_rf)")


def set_parameters(faiss: Any, index: Any, parameters: str) -> None:
    """Set search-time parameters of an index.

    Args:
        faiss: the library.
        index: an index of faiss.
        parameters: `NAME=VALUE`, separated by commas; may be empty.

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
        raise InputError(f"faiss does not take the parameters {quoted(parameters)} for this index") from error


def _is_from_one(value: str, *, fraction: bool) -> bool:
    """Return whether a value is 1 or more as faiss reads it: an integer of 32 bits unless fractions are used."""
    try:
        number = float(value)
    except ValueError:
        return True  # faiss refuses it, or reads it in its own way (0x10): the trial search decides
    return math.isfinite(number) and 1 <= number < 2**31 and (fraction or number.is_integer())
