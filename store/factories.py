"""The factory strings of faiss' indexes, such as `IVF256,Flat`: which numbers end the process, and which strings fit.

faiss does not check the numbers of a factory: of 430 random ones, 12 ended the process with SIGSEGV, SIGFPE or SIGABRT,
each with a 0, or with HNSW1.
"""

import math
import re

from kotovec.errors import InputError, quoted

FLAT = "Flat"
_NUMBER = re.compile(r"(HNSW)?(\d+)")
_FEWEST_LINKS = 2  # of a node of HNSW: faiss divides by the logarithm
_LISTS, _CODES, _PARTS = 256, 256, 48
# What people set, and a factory whose indexes have it.
HOLDERS = {
    "nprobe": "IVF{lists},Flat",
    "efSearch": "HNSW32",
    "max_codes": "IVF{lists},Flat",
    "ht": "PQ{codes}",
    "k_factor_rf": "PQ{codes},RFlat",
    "quantizer_efSearch": "IVF{lists}_HNSW32,Flat",
}


def check_factory(factory: str) -> None:
    """Refuse a factory string with a number that faiss does not check, before it ends the process.

    Raises:
        InputError: a number is 0, or HNSW has less than 2 links.
    """
    for links, digits in _NUMBER.findall(factory):
        problem = f"faiss cannot build {quoted(factory)}"
        if links and int(digits) < _FEWEST_LINKS:
            raise InputError(f"{problem}: {links}{digits} is too few links", hint="write HNSW2 or more, such as HNSW32")
        if not int(digits):
            raise InputError(f"{problem}: one of its numbers is 0", hint="write numbers from 1")


def fitting(rows: int) -> tuple[str, ...]:
    """Return factories, for a hint, that can be built from so many vectors: each list of an IVF needs one."""
    return (FLAT, "HNSW32", f"IVF{_lists(rows)},Flat", "SQ8")


def holder(name: str, rows: int, size: int) -> str:
    """Return a factory whose indexes have a search-time parameter, and that can be built from `rows` of `size`."""
    parts = next(count for count in range(min(_PARTS, size), 0, -1) if size % count == 0)
    bits = max(1, rows.bit_length() - 1)  # a code of 8 bits needs 256 vectors
    codes = f"{parts}" if rows >= _CODES else f"{parts}x{bits}"
    return HOLDERS[name].format(lists=_lists(rows), codes=codes)


def _lists(rows: int) -> int:
    """Return how many lists: 256, or the power of two at or below the square root of a smaller number of vectors."""
    return _LISTS if rows >= _LISTS else 1 << (max(1, math.isqrt(rows)).bit_length() - 1)
