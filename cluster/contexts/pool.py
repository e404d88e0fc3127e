"""Tokenised sentences that some item may still take, while a piece is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.store.contexts import join_ragged, take_ragged

SPARE = 1 << 16  # sentences that are held, at the least, before those that nothing names are dropped


@dataclass(frozen=True, eq=False)
class Batch:
    """s tokenised sentences.

    Attributes:
        hashes: (s,) uint64.
        texts: the normalised texts; in bytes, each selection of some would cost more than all the rest.
        ids: token ids without special tokens, (t,) int32, one sentence behind the other.
        id_offsets: (s + 1,) int64, where each sentence begins in `ids`.
    """

    hashes: npt.NDArray[np.uint64]
    texts: Sequence[str]
    ids: npt.NDArray[np.int32]
    id_offsets: npt.NDArray[np.int64]

    def take(self, indices: npt.NDArray[np.int64]) -> "Batch":
        """Return the sentences of (n,) indices, in their order."""
        if len(indices) == len(self.texts) and np.all(indices[1:] > indices[:-1]):
            return self
        ids, offsets = take_ragged(self.ids, self.id_offsets, indices)
        return Batch(self.hashes[indices], [self.texts[index] for index in indices.tolist()], ids, offsets)


EMPTY = Batch(np.empty(0, dtype=np.uint64), (), np.empty(0, dtype=np.int32), np.zeros(1, dtype=np.int64))


class Pool:
    """The sentences of a piece that entries name, and those that they no longer do, until it is cleaned."""

    def __init__(self) -> None:
        self._parts: list[Batch] = []
        self._held = self._added = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to clean: as many sentences were added as are held."""
        return self._added >= max(SPARE, self._held)

    def add(self, batch: Batch) -> None:
        """Add sentences."""
        self._parts.append(batch)
        self._added += len(batch.texts)

    def clean(self, hashes: npt.NDArray[np.uint64]) -> Batch:
        """Return the sentences of these hashes, (n,), each once and by its hash, and drop all others."""
        wanted = np.sort(hashes)
        parts = [part.take(np.flatnonzero(_is_in(part.hashes, wanted))) for part in self._parts]
        held = _join(parts or [EMPTY])
        self._parts, self._held, self._added = [held], len(held.texts), 0
        return held


def _is_in(hashes: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    if not len(wanted):
        return np.zeros(len(hashes), dtype=np.bool_)
    nearest = wanted[np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)]
    return np.equal(nearest, hashes)


def _join(parts: Sequence[Batch]) -> Batch:
    """Return the sentences of at least one part by their hashes, each once; of two texts of one hash, the smaller."""
    hashes = np.concatenate([part.hashes for part in parts])
    texts = [text for part in parts for text in part.texts]
    ids, offsets = join_ragged((part.ids, part.id_offsets) for part in parts)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    first = np.ones(len(order) + 1, dtype=np.bool_)
    first[1:-1] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    several = np.flatnonzero(np.diff(starts) > 1)
    for start, stop in zip(starts[several].tolist(), starts[several + 1].tolist(), strict=True):
        order[start] = min(order[start:stop], key=lambda index: texts[index].encode())
    return Batch(hashes, texts, ids, offsets).take(order[starts[:-1]])
