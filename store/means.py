"""Spaces whose vectors are means: the sums of shards are folded as they come, and become means at the end.

A shard holds the sums of the vectors of some rows. Shards that lie loose are folded into one file once they are larger
than the sums of all rows, so that the disk holds three times those at the most, whatever the size of the corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec import sums
from kotovec.errors import DamagedError, InputError, NonFiniteError
from kotovec.space import Space
from kotovec.store.layout import FOLD, Layout
from kotovec.store.merge import Machines
from kotovec.store.shard import Shard, ShardReader, energy_name, open_shard, path_of, writing_shard
from kotovec.store.spread import PAIR, Directions, Means, measure
from kotovec.store.writer import writing_space

BLOCK_BYTES = 256 << 20  # of sums in memory: each block reads the shards that have rows in it
_NUMBER = -1  # of a fold, in place of a shard's
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Folder:
    """The sums of an unfinished build: a fold, where there is one, and the shards that lie loose.

    Attributes:
        path: the folder of the shard files.
        fingerprint: the fingerprint that every file must carry.
        spaces: the spaces that every file has.
        rows: number of rows of the store, V.
        loose: numbers of the shards that are not in the fold.
        folded: numbers of those that are.
    """

    path: Path
    fingerprint: str
    spaces: tuple[Space, ...]
    rows: int
    loose: tuple[int, ...]
    folded: frozenset[int] = frozenset()

    def with_loose(self, number: int) -> "Folder":
        """Return the same with one more loose shard."""
        return replace(self, loose=(*self.loose, number))

    @property
    def sources(self) -> Iterator[ShardReader]:
        """Yield the open fold, then each open shard; the one before is closed."""
        if self.folded:
            reader = _open_fold(self.path, self.fingerprint)
            try:
                yield reader
            finally:
                reader.close()
        for number in self.loose:
            with open_shard(self.path, number, self.fingerprint) as shard:
                yield shard

    @property
    def width(self) -> int:
        """The number of dimensions D of the sums.

        Raises:
            DamagedError: the first file is damaged.
        """
        for source in self.sources:
            name = self.spaces[0].stem
            return int(source.read(_block_name(name, 0) if self.folded else name).shape[1])
        raise DamagedError(f"{self.path} holds no sums")


def fold(folder: Folder) -> Folder:
    """Fold the loose shards; a process that is killed in between leaves the old fold and all shards, or the new one.

    Raises:
        DamagedError: a file is damaged; nothing is changed.
        DiskFullError: no space is left; nothing is changed.
    """
    machines, counts = Machines(), np.zeros(folder.rows, dtype=np.int64)
    for source in folder.sources:
        machines.add(source)
        counts[_rows(source, folder)] += source.read("counts")
    width = folder.width
    folded = folder.folded | set(folder.loose)
    hosts, cpus, products = machines.as_lines()
    head = Shard(_NUMBER, np.array(sorted(folded), dtype=np.int64), {}, hosts, cpus, counts, products)
    with writing_shard(folder.path / FOLD, head, folder.fingerprint) as write:
        write("shards", head.ids)
        write("counts", counts)
        for space in folder.spaces:
            energies = np.zeros((folder.rows, 2), dtype=np.int64)
            for source in folder.sources:
                energies[_rows(source, folder)] += source.read(energy_name(space))
            write(energy_name(space), energies)
            for block in range(len(_bounds(folder.rows, width)) - 1):
                write(_block_name(space.stem, block), _block(folder, space, width, block))
    for number in folder.loose:
        path_of(folder.path, number).unlink(missing_ok=True)
    return replace(folder, loose=(), folded=frozenset(folded))


def read_folded(path: Path, fingerprint: str) -> frozenset[int]:
    """Return the numbers of the shards in a folder's fold, all of which is checked; none without one.

    Raises:
        DamagedError: the fold is damaged, or of another build.
    """
    if not (path / FOLD).exists():
        return frozenset()
    reader = _open_fold(path, fingerprint)
    try:
        for name in reader.names:
            if name != "shards":
                reader.read(name)
        return frozenset(reader.read("shards").tolist())
    finally:
        reader.close()


def merge_means(
    layout: Layout,
    space: Space,
    folder: Folder,
    identity: str,
    made: dict[str, Any],
    contexts: Numbers | None = None,
    dtype: str = "float32",
) -> None:
    """Write the file of a space whose vectors are means, completely or not at all.

    Its bytes depend neither on how the vectors were split into shards nor on the order of the shards.

    A row without vectors becomes zeros. Beside the vectors the file has `n`, (V,) int64: how many contexts each is the
    mean of; `uses`, (V,) int64: how many vectors, as an item may stand twice in a context; and `energy`, (V,) float64:
    the mean of their squared norms. `made` gets the `Spread`, which would take a pass over all vectors later.

    Args:
        layout: the layout of the store.
        space: the space, which every shard has.
        folder: the sums.
        identity: the identity of the store's tokens.
        made: how the vectors were made; the hosts, CPUs and products that computed them are added.
        contexts: (V,) number of contexts of each row; None where each vector is one.
        dtype: `float32` or `float16`.

    Raises:
        DamagedError: a shard is damaged or not as planned; nothing is written.
        NonFiniteError: a mean is too large for float16; nothing is written.
        InputError: a row has more than 32,768 vectors, whose sum int64 may not hold.
        DiskFullError: no space is left; nothing is written.
    """
    machines, made = Machines(), {**made}
    uses, energies = np.zeros(folder.rows, dtype=np.int64), np.zeros((folder.rows, 2), dtype=np.int64)
    for source in folder.sources:
        machines.add(source)
        rows = _rows(source, folder)
        uses[rows] += source.read("counts")
        energies[rows] += source.read(energy_name(space))
    if uses.max(initial=0) > sums.MOST:
        row = uses.argmax()
        raise InputError(f"row {row} is a mean of {uses[row]:,} vectors, over {sums.MOST:,}")
    width = folder.width
    with writing_space(layout, space, (folder.rows, width), dtype, identity, made) as writer:
        directions = Directions(width)
        for block, (start, stop) in enumerate(pairwise(_bounds(folder.rows, width))):
            vectors = as_stored(sums.mean(_block(folder, space, width, block), uses[start:stop]), space, dtype)
            writer.add(vectors)
            directions.add(vectors, uses[start:stop] >= PAIR)
        n = uses if contexts is None else np.asarray(contexts, dtype=np.int64)
        writer.parts = {"n": n, "uses": uses, "energy": sums.mean_energy(energies, uses)}
        spread = measure(Means(writer.norms, n, uses, writer.parts["energy"]), directions)
        made |= machines.as_dict() | {"spread": spread.as_dict()}


def as_stored(means: npt.NDArray[np.floating[Any]], space: Space, dtype: str) -> npt.NDArray[np.floating[Any]]:
    """Return means in the stored dtype.

    Raises:
        NonFiniteError: one is too large for float16.
    """
    with np.errstate(over="ignore"):
        stored = means.astype(dtype)
    if not np.isfinite(stored).all():
        raise NonFiniteError(
            f"a mean of {space} is beyond 65,504, where float16 ends", hint="use float32 for --store-dtype"
        )
    return stored


def _block(folder: Folder, space: Space, width: int, block: int) -> Numbers:
    """Return the sums of the rows of a block, (n, D)."""
    start, stop = _bounds(folder.rows, width)[block : block + 2]
    total = np.zeros((stop - start, width), dtype=np.int64)
    for source in folder.sources:
        if source.is_fold:
            total += source.read(_block_name(space.stem, block))
            continue
        rows = source.read("ids")
        inside = slice(*np.searchsorted(rows, (start, stop)))
        if inside.start < inside.stop:
            total[rows[inside] - start] += source.read(space.stem)[inside]
    return total


def _rows(source: ShardReader, folder: Folder) -> Numbers | slice:
    """Return which rows the numbers of a file are of: a fold has all of them."""
    if source.is_fold:
        return slice(None)
    rows: Numbers = source.read("ids")
    if len(rows) and not 0 <= rows[0] <= rows[-1] < folder.rows:
        raise DamagedError(f"{source.path} holds rows that the store has not")
    return rows


def _bounds(rows: int, width: int) -> list[int]:
    return [*range(0, rows, max(1, BLOCK_BYTES // (8 * width))), rows]


def _block_name(stem: str, block: int) -> str:
    return f"{stem}.{block}"


def _open_fold(path: Path, fingerprint: str) -> ShardReader:
    return ShardReader(path / FOLD, fingerprint, _NUMBER)
