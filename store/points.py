"""The vectors of the contexts of an unfinished build, one for each context of each item, until they are divided.

Each shard has a file of its own beside its sums, which stays when these are folded. A file holds its vectors in blocks
of rows of the store, so that the vectors of some items are read from all files once, and no others with them.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError
from kotovec.space import Space
from kotovec.store.layout import HDF5, POINTS
from kotovec.store.merge import Machines
from kotovec.store.shard import Shard, ShardReader, writing_shard

BLOCK_BYTES = 32 << 20  # of a block's vectors, which are in memory together, once more in float64
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Points:
    """The files of the vectors of all contexts.

    Attributes:
        path: the folder of the shard files.
        fingerprint: the fingerprint that every file must carry.
        spaces: the spaces whose vectors they are, such as `context@2`.
        offsets: (V + 1,) int64, where the contexts of each row begin among all E of them, as in `Sample.offsets`.
        bounds: (B + 1,) int64, ascending from 0 to V: the rows where each block begins.
    """

    path: Path
    fingerprint: str
    spaces: tuple[Space, ...]
    offsets: Numbers
    bounds: Numbers

    @classmethod
    def of(cls, path: Path, fingerprint: str, spaces: tuple[Space, ...], offsets: Numbers, size: int) -> "Points":
        """Cut the rows into blocks whose vectors, of `size` numbers, fit in memory together."""
        most, bounds, rows = max(1, BLOCK_BYTES // (4 * size)), [0], len(offsets) - 1
        while bounds[-1] < rows:
            stop = int(np.searchsorted(offsets, offsets[bounds[-1]] + most, side="right")) - 1
            bounds.append(max(stop, bounds[-1] + 1))
        return cls(path, fingerprint, spaces, offsets, np.array(bounds, dtype=np.int64))

    @property
    def blocks(self) -> int:
        """The number of blocks, B."""
        return len(self.bounds) - 1

    def file(self, number: int) -> Path:
        """Return the path of a shard's file."""
        return self.path / f"{POINTS}{number:06d}{HDF5}"

    def write(self, head: Shard, pairs: Numbers, arrays: Mapping[Space, npt.NDArray[np.float32]]) -> None:
        """Write the vectors of a shard's contexts, completely or not at all.

        Args:
            head: number and machine of the shard.
            pairs: (c,) int64, which of the E contexts each vector is of.
            arrays: (c, D) vectors of each space.

        Raises:
            DiskFullError: no space is left.
        """
        order = np.argsort(pairs)
        cuts = np.searchsorted(pairs[order], self.offsets[self.bounds])
        with writing_shard(self.file(head.number), head, self.fingerprint) as write:
            for block in np.flatnonzero(np.diff(cuts)).tolist():
                part = order[cuts[block] : cuts[block + 1]]
                write(_name("pairs", block), pairs[part])
                for space in self.spaces:
                    write(_name(space.stem, block), arrays[space][part])

    def check(self, number: int, pairs: Numbers) -> None:
        """Check that a shard's file has what it must have.

        Args:
            number: number of the shard.
            pairs: (c,) int64, which contexts it has.

        Raises:
            DamagedError: it is damaged, of another build, or not there.
        """
        cuts = np.searchsorted(np.sort(pairs), self.offsets[self.bounds])
        blocks = np.flatnonzero(np.diff(cuts)).tolist()
        wanted = {_name(stem, block) for block in blocks for stem in ("pairs", *(space.stem for space in self.spaces))}
        with contextlib.closing(ShardReader(self.file(number), self.fingerprint, number)) as reader:
            if set(reader.names) != wanted:
                raise DamagedError(f"{reader.path} holds other contexts than planned")
            for name in wanted:
                reader.read(name)

    def read(self, space: Space, block: int, numbers: Iterable[int], machines: Machines) -> npt.NDArray[np.float32]:
        """Return the vectors of a block's contexts, (e, D), in the order of the contexts.

        Args:
            space: the space.
            block: number of the block.
            numbers: numbers of all shards.
            machines: what the machines that computed them are added to.

        Raises:
            DamagedError: a file is damaged, or a context has no vector.
        """
        first, last = self.offsets[self.bounds[block : block + 2]].tolist()
        found: npt.NDArray[Any] = np.empty((0, 0), dtype=np.float32)
        is_there = np.zeros(last - first, dtype=np.bool_)
        for number in numbers:
            with contextlib.closing(ShardReader(self.file(number), self.fingerprint, number)) as reader:
                machines.add(reader)
                if _name("pairs", block) not in reader.names:
                    continue
                pairs, vectors = reader.read(_name("pairs", block)) - first, reader.read(_name(space.stem, block))
                if not len(found):
                    found = np.empty((last - first, vectors.shape[1]), dtype=np.float32)
                found[pairs] = vectors
                is_there[pairs] = True
        if not is_there.all():
            raise DamagedError(f"{self.path} lacks the vectors of {int((~is_there).sum())} contexts")
        return found


def _name(stem: str, block: int) -> str:
    return f"{stem}.{block}"
