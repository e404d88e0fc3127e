"""A corpus: the sentences of files, normalised."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@dataclass
class Counts:
    """What was read, and what of it was left out.

    Attributes:
        bytes, lines, documents, sentences: numbers of each.
        too_short, too_long: numbers of sentences out of bounds.
        faults: number of faults of each kind.
        examples: kind, file and line of the first few.
    """

    bytes: int = 0
    lines: int = 0
    documents: int = 0
    sentences: int = 0
    too_short: int = 0
    too_long: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    examples: list[tuple[str, str, int]] = field(default_factory=list)


def normalise(text: str) -> str:
    """Return a text in NFC, each run of white space and control characters as one blank."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", text)).strip()


def hash_sentences(texts: Sequence[str], seed: int) -> npt.NDArray[np.uint64]:
    """Return the keyed BLAKE2b of n normalised texts, (n,) uint64."""
    key = seed.to_bytes(8, "big")
    found = b"".join(hashlib.blake2b(text.encode(), digest_size=8, key=key).digest() for text in texts)
    return np.frombuffer(found, dtype=">u8").astype(np.uint64)
