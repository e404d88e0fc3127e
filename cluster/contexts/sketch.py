"""Which sentences each item takes: those of the smallest hashes, whatever the order in which they come."""

import numpy as np
import numpy.typing as npt

from kotovec.store.contexts import offsets_of

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)  # threshold of an item that takes whatever comes
PENDING = 1 << 17  # entries that wait, at the least, before they are sorted in
_HIGH = np.uint64(40)  # bits of a hash that are sorted together with the row


class Sketch:
    """The smallest distinct hashes of each of V items: its sample, and one more, from which its total is estimated.

    It is a set: the order in which entries come, and how often each does, change nothing.

    Args:
        items: V.
        limit: N, hashes of an item that make its sample.
        thresholds: (V,) uint64, only smaller hashes are taken; lowered in place. By default all are.
    """

    def __init__(self, items: int, limit: int, thresholds: npt.NDArray[np.uint64] | None = None) -> None:
        self.items, self.limit = items, limit
        self._thresholds = np.full(items, ALL) if thresholds is None else thresholds
        self._rows = np.empty(0, dtype=np.int32)
        self._hashes = np.empty(0, dtype=np.uint64)
        self._pending: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64]]] = []
        self._waiting = 0
        self._closed = False  # whether entries of closed rows may be held

    def add(self, rows: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64]) -> None:
        """Add entries: the hash of a sentence for the row of an item that is in it, each (n,)."""
        small = hashes < self._thresholds[rows]
        if not small.all():
            rows, hashes = rows[small], hashes[small]
        self._pending.append((rows, hashes))
        self._waiting += len(rows)
        if self._waiting >= max(PENDING, len(self._rows) // 2):
            self.settle()

    def close(self, rows: npt.NDArray[np.int32]) -> None:
        """Drop all entries of these rows, (n,), and take no more."""
        self._thresholds[rows] = 0
        self._closed = True

    def merge(self, other: "Sketch") -> None:
        """Add all entries of another sketch of the same items and the same limit."""
        self.add(*other.entries())

    def thresholds(self) -> npt.NDArray[np.uint64]:
        """Return, (V,) uint64, the hash of each item from which on nothing changes its sample or its estimate."""
        self.settle()
        return self._thresholds.copy()

    def entries(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
        """Return the entries, at most N + 1 of each row, by row and hash: rows and hashes, each (n,)."""
        self.settle()
        return self._rows, self._hashes

    def counts(self) -> npt.NDArray[np.int64]:
        """Return the size of each item's sample, (V,) int64, at most N."""
        return np.minimum(self._held(), self.limit)

    def sample(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Return the sample of row r as `hashes[offsets[r]:offsets[r + 1]]`, ascending; offsets are (V + 1,) int64."""
        rows, hashes = self.entries()
        return offsets_of(self.counts()), hashes[_ranks(rows) < self.limit]

    def estimate(self, fraction: float = 1.0) -> npt.NDArray[np.float64]:
        """Return how many distinct sentences have each item, (V,) float64.

        That is exact up to N. Above, N / (the N + 1st smallest hash, as a fraction of 2^64) is unbiased, with a
        relative standard error of about 1 / sqrt(N − 1) (Bar-Yossef et al. 2002, Cohen and Kaplan 2007).

        Args:
            fraction: the part of all hashes that was looked at.
        """
        held = self._held()
        found = held / fraction
        hashes = self.entries()[1]
        more = held > self.limit
        last = (np.cumsum(held) - 1)[more]
        found[more] = self.limit / (hashes[last].astype(np.float64) / 2.0**64)
        return found

    def settle(self) -> None:
        """Sort waiting entries in, and drop what is above the smallest N + 1 of its row."""
        if not (self._waiting or self._closed):
            return
        rows = np.concatenate([self._rows, *(rows for rows, _ in self._pending)])
        hashes = np.concatenate([self._hashes, *(hashes for _, hashes in self._pending)])
        self._pending, self._waiting = [], 0
        if self._closed:
            taken = self._thresholds[rows] > 0
            rows, hashes, self._closed = rows[taken], hashes[taken], False
        order = _order(rows, hashes)
        rows, hashes = rows[order], hashes[order]
        distinct = np.ones(len(rows), dtype=np.bool_)
        distinct[1:] = (rows[1:] != rows[:-1]) | (hashes[1:] != hashes[:-1])
        rows, hashes = rows[distinct], hashes[distinct]
        ranks = _ranks(rows)
        last = ranks == self.limit
        self._thresholds[rows[last]] = hashes[last]
        kept = ranks <= self.limit
        self._rows, self._hashes = rows[kept], hashes[kept]

    def _held(self) -> npt.NDArray[np.int64]:
        return np.bincount(self.entries()[0], minlength=self.items)


class Sketches:
    """Two sketches of V items: of sentences in which an item is whole, and of those in which it is inside a word.

    The second is of use only for an item that is never seen whole.

    Args:
        items: V.
        limit: N.
        thresholds: (2, V) uint64, as `thresholds` returns them: only smaller hashes are taken.

    Attributes:
        limits: (2, V) uint64, the thresholds so far: those of `thresholds` before waiting entries were sorted in.
    """

    def __init__(self, items: int, limit: int, thresholds: npt.NDArray[np.uint64] | None = None) -> None:
        self.limits = np.full((2, items), ALL) if thresholds is None else thresholds.copy()
        self.whole, self.inside = (Sketch(items, limit, limits) for limits in self.limits)

    def add(self, rows: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64], inside: npt.NDArray[np.bool_]) -> None:
        """Add entries, each (n,): row, hash of the sentence, and whether the item stands inside a word there."""
        whole = rows[~inside]
        self.inside.close(whole)
        self.whole.add(whole, hashes[~inside])
        if inside.any():
            self.inside.add(rows[inside], hashes[inside])

    def thresholds(self) -> npt.NDArray[np.uint64]:
        """Return, (2, V) uint64, the hashes of each item from which on a sentence is of no use: whole, inside."""
        return np.stack([self.whole.thresholds(), self.inside.thresholds()])

    def entries(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
        """Return all entries, by row and hash: rows, hashes and whether inside, each (n,)."""
        parts = self.whole.entries(), self.inside.entries()
        rows, hashes = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
        inside = np.repeat([False, True], [len(part[0]) for part in parts])
        order = np.argsort(rows, kind="stable")
        return rows[order], hashes[order], inside[order]


def _ranks(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return the number of each entry within its row, (n,), of rows that ascend."""
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = rows[1:] != rows[:-1]
    starts = np.flatnonzero(first)
    return np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))


def _order(rows: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the order by row and hash. One key of both takes a fifth of `lexsort`'s time."""
    if rows.max(initial=0) >> 24:
        return np.lexsort((hashes, rows))
    keys = (rows.astype(np.uint64) << _HIGH) | (hashes >> (np.uint64(64) - _HIGH))
    order = np.argsort(keys)
    keys, ordered = keys[order], hashes[order]
    if np.any((keys[1:] == keys[:-1]) & (ordered[1:] < ordered[:-1])):  # two hashes of a row begin alike: once in 2^40
        return np.lexsort((hashes, rows))
    return order
