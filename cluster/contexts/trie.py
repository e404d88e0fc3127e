"""Sequences of ids, found in a long array of ids at all positions at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.store.contexts import offsets_of

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: spreads neighbouring keys over the filter


@dataclass(frozen=True, eq=False)
class Trie:
    """V sequences of ids as a tree, whose root has one child for each first id.

    Attributes:
        roots: (I,) int32, the node of a first id, or −1.
        keys: (E,) uint64, ascending: node · 2^32 + the next id, for each edge below the first level.
        children: (E,) int32, the node that each edge leads to.
        present: a power of two of bool: a filter that most absent keys do not pass, without searching.
        ends: (nodes + 1,) int64: at node n end the sequences `rows[ends[n]:ends[n + 1]]`.
        rows: (V,) int32, the number of each sequence, ordered by node.
    """

    roots: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint64]
    children: npt.NDArray[np.int32]
    present: npt.NDArray[np.bool_]
    ends: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]

    def find(
        self, ids: npt.NDArray[np.int32], first: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int32]]]:
        """Yield where sequences stand: their length, and the positions and numbers, each (m,), of that length.

        Args:
            ids: (t,) ids of sentences, one behind the other.
            first: (t,) bool, where a sentence begins, which no sequence crosses.
        """
        nodes = self.roots[ids]
        positions = np.flatnonzero(nodes >= 0)
        nodes = nodes[positions]
        length = 1
        while len(positions):
            counts = self.ends[nodes + 1] - self.ends[nodes]
            if counts.any():
                taken = offsets_of(counts)
                where = np.arange(taken[-1]) + np.repeat(self.ends[nodes] - taken[:-1], counts)
                yield length, np.repeat(positions, counts), self.rows[where]
            inner = positions + length < len(ids)
            inner[inner] = ~first[positions[inner] + length]
            positions, nodes = self._step(positions[inner], nodes[inner], ids, length)
            length += 1

    def _step(
        self, positions: npt.NDArray[np.int64], nodes: npt.NDArray[np.int32], ids: npt.NDArray[np.int32], length: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return the positions from which the next id leads on, and to which nodes."""
        keys = _keys(nodes, ids[positions + length])
        likely = np.flatnonzero(self.present[_slots(keys, len(self.present))])
        keys = keys[likely]
        edges = np.searchsorted(self.keys, keys)
        edges[edges == len(self.keys)] = 0
        found = self.keys[edges] == keys if len(self.keys) else np.zeros(len(keys), dtype=np.bool_)
        return positions[likely[found]], self.children[edges[found]]


def grow(ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], size: int) -> Trie:
    """Make the tree of V sequences.

    Args:
        ids: the sequences, one behind the other.
        offsets: (V + 1,), where each begins; none is empty.
        size: number of ids that there are.
    """
    lengths = np.diff(offsets)
    roots = np.full(size, -1, dtype=np.int32)
    firsts, nodes = np.unique(ids[offsets[:-1]], return_inverse=True)
    roots[firsts] = np.arange(len(firsts))
    count, keys, children = len(firsts), [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int32)]
    for level in range(1, int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > level)
        edges, inverse = np.unique(_keys(nodes[longer], ids[offsets[longer] + level]), return_inverse=True)
        nodes[longer] = inverse + count
        keys.append(edges)
        children.append(np.arange(count, count + len(edges), dtype=np.int32))
        count += len(edges)
    joined = np.concatenate(keys)
    order = np.argsort(joined)
    joined = joined[order]
    # 16 slots for each key: of the keys that are not there, 94 % do not pass.
    present = np.zeros(1 << max(10, (16 * len(joined) - 1).bit_length() if len(joined) else 0), dtype=np.bool_)
    present[_slots(joined, len(present))] = True
    by_node = np.argsort(nodes, kind="stable")
    ends = np.searchsorted(nodes[by_node], np.arange(count + 1))
    return Trie(roots, joined, np.concatenate(children)[order], present, ends, by_node.astype(np.int32))


def _keys(nodes: npt.NDArray[np.integer], ids: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    return (nodes.astype(np.uint64) << np.uint64(32)) | ids.astype(np.uint64)


def _slots(keys: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.int64]:
    return ((keys * _MIX) >> np.uint64(64 - (size.bit_length() - 1))).astype(np.int64)
