"""What contexts are wanted: where the sentences come from, how many each item gets, and how they are drawn."""

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kotovec.cluster.corpus import Corpus, list_files
from kotovec.cluster.corpus.kinds import is_url
from kotovec.errors import InputError, NotStoredError
from kotovec.store.contexts import Sample
from kotovec.store.layout import Layout
from kotovec.store.sentences import read_sample
from kotovec.store.tokens import Tokens
from kotovec.store.vectors import Vectors

LIMIT = 30  # contexts of an item; docs/contexts.md shows what more of them bring
MOST_PROTOTYPES = 5  # of an item: 30 contexts do not show more
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

    def check(self) -> None:
        """Check that the corpus has files, or that the store has sentences, without reading them.

        Raises:
            InputError, MissingDependencyError, CorpusError: as `list_files`.
            NotStoredError, StoreError, DamagedError: as `read_other`.
        """
        if isinstance(self.source, Path):
            read_other(self.source)
        else:
            list_files(self.source)

    @property
    def most(self) -> int:
        """Most contexts of an item: of another store, those that it has.

        Raises:
            NotStoredError, StoreError, DamagedError: as `read_other`.
        """
        return read_other(self.source)[0].limit if isinstance(self.source, Path) else self.limit

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What decides the sample but for the contents of the corpus, by the names that errors about it use.

        Raises:
            NotStoredError, StoreError, DamagedError: as `read_other`.
        """
        if isinstance(self.source, Path):
            return {"contexts-from": read_other(self.source)[0].digest}
        return drawing(self.source, self.limit, self.seed, self.fraction)


def cutting(corpus: Corpus, seed: int, fraction: float) -> dict[str, Any]:
    """Return how a corpus is cut into sentences, and which of them may be drawn."""
    return {
        "seed": seed,
        "fraction": fraction,
        "split": corpus.split,
        "min-chars": corpus.min_chars,
        "max-chars": corpus.max_chars,
    }


def drawing(corpus: Corpus, limit: int, seed: int, fraction: float) -> dict[str, Any]:
    """Return what decides a sample but for the contents of the corpus and the items that are looked for."""
    paths = sorted({path if is_url(path) else os.path.normpath(path) for path in corpus.paths})
    named = {"contexts": limit, "corpus": paths, "corpus-field": corpus.text_field}
    return cutting(corpus, seed, fraction) | named


def read_other(store: Path) -> tuple[Sample, Tokens]:
    """Return the sample of another store, with its sentences, and the items that it is of.

    Raises:
        NotStoredError: the store has no contexts, or does not keep their sentences.
        StoreError, DamagedError: it cannot be read.
    """
    with contextlib.closing(Vectors(store)) as vectors:
        sample, tokens = read_sample(Layout(store), vectors), vectors.tokens
    if sample.texts is None:
        raise NotStoredError(
            f"{store} does not keep the sentences of its contexts",
            hint="build it again with --overwrite and --keep-text, or name its --corpus",
        )
    return sample, tokens
