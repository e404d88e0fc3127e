"""One piece of a corpus read: its sentences hashed, tokenised and matched, and those kept that an item may take."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.matching import Matcher
from kotovec.cluster.contexts.sketch import ALL, PENDING, Sketches
from kotovec.cluster.corpus import Counts, hash_sentences
from kotovec.store.contexts import Texts, join_ragged, take_ragged
from kotovec.workers.splitter import Splitter

BATCH = 4096  # sentences that are tokenised at a time
BATCH_CHARS = 1 << 20


@dataclass(frozen=True, eq=False)
class Sentences:
    """s sentences of distinct hashes.

    Attributes:
        hashes: (s,) uint64, ascending.
        texts: the normalised texts.
        ids: token ids without special tokens, (t,) int32, one sentence behind the other.
        id_offsets: (s + 1,) int64, where each sentence begins in `ids`.
    """

    hashes: npt.NDArray[np.uint64]
    texts: Texts
    ids: npt.NDArray[np.int32]
    id_offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.hashes)

    def take(self, indices: npt.NDArray[np.int64]) -> "Sentences":
        """Return the sentences of (n,) indices, in their order."""
        ids, offsets = take_ragged(self.ids, self.id_offsets, indices)
        return Sentences(self.hashes[indices], self.texts.take(indices), ids, offsets)

    @classmethod
    def join(cls, parts: Iterable["Sentences"]) -> "Sentences":
        """Return the sentences of at least one part, each once; of two texts with one hash, the smaller."""
        parts = list(parts)
        hashes = np.concatenate([part.hashes for part in parts])
        ids, offsets = join_ragged((part.ids, part.id_offsets) for part in parts)
        joined = cls(hashes, Texts.join(part.texts for part in parts), ids, offsets)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = ordered[1:] != ordered[:-1]
        starts = np.flatnonzero(first)
        for start in np.flatnonzero(first & ~np.append(first[1:], True)):
            stop = start + 1 + np.argmax(np.append(first[start + 1 :], True))
            order[start] = min(order[start:stop], key=joined.texts.encoded)
        return joined.take(order[starts])


EMPTY = Sentences(np.empty(0, dtype=np.uint64), Texts.of([]), np.empty(0, dtype=np.int32), np.zeros(1, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Found:
    """What a piece gives: sentences, and the items that may take them.

    Attributes:
        sentences: the s sentences, by hash.
        rows: (e,) int32, the item of each entry; entries are ordered by row, those inside words last, then by hash.
        sentence: (e,) int32, the number of its sentence.
        inside: (e,) bool, whether the item stands inside a word there, and nowhere else in the piece.
        counts: what was read.
    """

    sentences: Sentences
    rows: npt.NDArray[np.int32]
    sentence: npt.NDArray[np.int32]
    inside: npt.NDArray[np.bool_]
    counts: Counts


@dataclass(frozen=True)
class Scanner:
    """What a piece is read with.

    Attributes:
        splitter: the tokenizer.
        matcher: finds the items.
        limit: N, sentences of an item.
        seed: key of the hashes.
        fraction: the part of all sentences that is looked at: those of the smallest hashes.
    """

    splitter: Splitter
    matcher: Matcher
    limit: int
    seed: int = 0
    fraction: float = 1.0

    @property
    def bound(self) -> np.uint64:
        """The hash from which on sentences are not looked at."""
        return min(ALL, np.uint64(min(int(self.fraction * 2.0**64), int(ALL))))


def scan_piece(
    sentences: Iterable[str],
    scanner: Scanner,
    thresholds: npt.NDArray[np.uint64] | None = None,
    counts: Counts | None = None,
) -> Found:
    """Read a piece.

    Args:
        sentences: its normalised sentences.
        scanner: what it is read with.
        thresholds: (2, V) uint64 of `Sketches.thresholds`: what other pieces have made useless.
        counts: what the reader of the piece counts into.
    """
    sketches = Sketches(scanner.matcher.items, scanner.limit, thresholds)
    limits, pool = sketches.thresholds(), _Pool()
    for texts in _batches(sentences):
        batch = _tokenise(texts, scanner, min(scanner.bound, limits.max(initial=0)))
        found = scanner.matcher.find(batch.ids, batch.id_offsets)
        hashes = batch.hashes[found.sentences]
        kept = hashes < limits[found.inside.astype(np.intp), found.rows]
        rows, numbers, inside = found.rows[kept], found.sentences[kept], found.inside[kept]
        sketches.add(rows, hashes[kept], inside)
        pool.add(batch, numbers)
        if pool.entries >= PENDING:
            limits = sketches.thresholds()
            pool.clean(sketches.entries()[1])
    rows, hashes, inside = sketches.entries()
    held = pool.clean(hashes)
    return Found(held, rows, np.searchsorted(held.hashes, hashes).astype(np.int32), inside, counts or Counts())


class _Pool:
    """The sentences that entries name, and those that they no longer do, until it is cleaned."""

    def __init__(self) -> None:
        self.entries = 0
        self._parts: list[Sentences] = []

    def add(self, batch: Sentences, numbers: npt.NDArray[np.int32]) -> None:
        """Add the sentences of these numbers, one of each entry."""
        named = np.zeros(len(batch), dtype=np.bool_)
        named[numbers] = True
        self._parts.append(batch.take(np.flatnonzero(named)))
        self.entries += len(numbers)

    def clean(self, hashes: npt.NDArray[np.uint64]) -> Sentences:
        """Drop the sentences that are none of these hashes, and return the others."""
        parts = []
        wanted = np.unique(hashes)
        for part in self._parts:
            where = np.searchsorted(wanted, part.hashes)
            where[where == len(wanted)] = 0
            parts.append(
                part.take(np.flatnonzero(wanted[where] == part.hashes)) if len(wanted) else part.take(where[:0])
            )
        held = Sentences.join(parts or [EMPTY])
        self._parts, self.entries = [held], 0
        return held


def _batches(sentences: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    chars = 0
    for text in sentences:
        batch.append(text)
        chars += len(text)
        if len(batch) >= BATCH or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _tokenise(texts: list[str], scanner: Scanner, bound: np.uint64) -> Sentences:
    """Return the texts whose hash is below a bound, each once, by their hashes, with their ids."""
    hashes = hash_sentences(texts, scanner.seed)
    order = np.argsort(hashes)
    order = order[: np.searchsorted(hashes[order], bound)]
    ordered = hashes[order]
    chosen = [texts[index] for index in order]
    alike = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    if len(alike):  # two texts of one hash stay two here, so that it does not matter in which batch each is
        chosen, ordered = _distinct(chosen, ordered)
    ids, offsets = scanner.splitter.split(chosen)
    return Sentences(ordered, Texts.of(chosen), ids, offsets)


def _distinct(texts: list[str], hashes: npt.NDArray[np.uint64]) -> tuple[list[str], npt.NDArray[np.uint64]]:
    pairs = dict(zip(texts, hashes.tolist(), strict=True))
    return list(pairs), np.fromiter(pairs.values(), dtype=np.uint64, count=len(pairs))
