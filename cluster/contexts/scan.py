"""One piece of a corpus read: its sentences hashed, tokenised and matched, and those kept that an item may take."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.matching import Matcher
from kotovec.cluster.contexts.pool import Batch, Pool
from kotovec.cluster.contexts.sketch import ALL, Sketches
from kotovec.cluster.corpus import Counts, hash_sentences
from kotovec.store.contexts import Texts
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


@dataclass(frozen=True, eq=False)
class Found:
    """What a piece gives: sentences, and the items that may take them.

    Attributes:
        sentences: the s sentences.
        rows: (e,) int32, the item of each entry; entries are ordered by row and hash.
        sentence: (e,) int32, the number of its sentence.
        inside: (e,) bool, whether the item stands inside a word there; such entries are only of items that are
            nowhere whole, as far as the piece and its thresholds tell.
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
        rows: number of rows of the model's input embedding matrix, if some tokens have none: a sentence with such a
            token is no context, as the model cannot read it.
    """

    splitter: Splitter
    matcher: Matcher
    limit: int
    seed: int = 0
    fraction: float = 1.0
    rows: int | None = None

    @property
    def bound(self) -> np.uint64:
        """The hash from which on sentences are not looked at."""
        return np.uint64(min(int(self.fraction * 2.0**64), int(ALL)))

    @property
    def readable(self) -> int:
        """The id from which on a token has no row, or is not in the vocabulary."""
        size = len(self.matcher.rows)
        return size if self.rows is None else min(self.rows, size)


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
        thresholds: (2, V) uint64 of `Sketches.thresholds`: the hashes from which on other pieces make a sentence
            useless for an item.
        counts: what the reader of the piece counts into.
    """
    sketches, pool = Sketches(scanner.matcher.items, scanner.limit, thresholds), Pool()
    limits = sketches.limits
    for texts in _batches(sentences):
        batch = _tokenise(texts, scanner, min(scanner.bound, limits.max(initial=0)))
        found = scanner.matcher.find(batch.ids, batch.id_offsets)
        hashes = batch.hashes[found.sentences]
        kept = np.flatnonzero(hashes < limits[found.inside.astype(np.intp), found.rows])
        sketches.add(found.rows[kept], hashes[kept], found.inside[kept])
        named = np.zeros(len(batch.texts), dtype=np.bool_)
        named[found.sentences[kept]] = True
        pool.add(batch.take(np.flatnonzero(named)))
        if pool.is_full:
            pool.clean(sketches.entries()[1])
    rows, hashes, inside = sketches.entries()
    held = pool.clean(hashes)
    numbers = np.searchsorted(held.hashes, hashes).astype(np.int32)
    taken = Sentences(held.hashes, Texts.of(held.texts), held.ids, held.id_offsets)
    return Found(taken, rows, numbers, inside, counts or Counts())


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


def _tokenise(texts: list[str], scanner: Scanner, bound: np.uint64) -> Batch:
    """Return the texts whose hash is below a bound, each once, by their hashes, with their ids."""
    hashes = hash_sentences(texts, scanner.seed)
    order = np.argsort(hashes)
    hashes = hashes[order]
    order = order[: np.searchsorted(hashes, bound)]
    hashes = hashes[: len(order)]
    chosen = [texts[index] for index in order.tolist()]
    if np.any(hashes[1:] == hashes[:-1]):
        # Two texts of one hash stay two here, so that it does not matter in which batch each of them is.
        pairs = dict(zip(chosen, hashes.tolist(), strict=True))
        chosen, hashes = list(pairs), np.fromiter(pairs.values(), dtype=np.uint64, count=len(pairs))
    batch = Batch(hashes, chosen, *scanner.splitter.split(chosen))
    unread = np.flatnonzero(batch.ids >= scanner.readable)
    if not len(unread):
        return batch
    sentences = np.searchsorted(batch.id_offsets, unread, side="right") - 1
    return batch.take(np.setdiff1d(np.arange(len(chosen)), sentences))
