"""What contexts are wanted: where the sentences come from, how many each item gets, and how they are drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotovec.cluster.corpus import Corpus
from kotovec.errors import InputError

LIMIT = 30  # contexts of an item; docs/contexts.md shows what more of them bring
MOST = 1000  # an item's uses must stay below the most vectors that `kotovec.sums` adds exactly


@dataclass(frozen=True)
class Sampling:
    """How the contexts of a store are drawn; the same values and the same sentences give the same sample.

    Attributes:
        source: the corpus whose sentences are read, or the store whose contexts are taken, with their texts.
        limit: how many contexts an item gets, at most.
        fraction: the part of all sentences that may be drawn, by their hashes; the others are not even tokenized.
        seed: another seed draws other sentences.
        keep_text: whether the store keeps the sentences.

    Raises:
        InputError: a number is out of range.
    """

    source: Corpus | Path
    limit: int = LIMIT
    fraction: float = 1.0
    seed: int = 0
    keep_text: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST:
            raise InputError(f"--contexts is {self.limit}", hint=f"use 1 to {MOST:,}")
        if not 0 < self.fraction <= 1:
            raise InputError(f"--fraction is {self.fraction:g}", hint="use a part of 1, such as 0.1")
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"--seed is {self.seed}", hint="use 0 or more, below 2^64")

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the sample beside the sentences themselves, by the names that errors about it use."""
        if isinstance(self.source, Path):
            return {"contexts-from": str(self.source)}
        cut = {"split": self.source.split, "min-chars": self.source.min_chars, "max-chars": self.source.max_chars}
        return {"contexts": self.limit, "seed": self.seed, "fraction": self.fraction, **cut}
