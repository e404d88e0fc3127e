"""Means from the sums of shards: added up exactly, whatever the order, and folded together while a build runs.

A shard of sums has whole vectors of int64 for each row that it touches, and rows recur in many shards: they soon take
more room than all sums together. `fold` then adds them to one file, and deletes them.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError
from kotovec.fixed import MOST
from kotovec.space import Space
from kotovec.store import checksum, hdf5, sums
from kotovec.store.files import Sink, sinking
from kotovec.store.layout import FOLD, Layout
from kotovec.store.opened import Dataset, File
from kotovec.store.shard import Machines, ShardReader, energy_of, open_shard, path_of
from kotovec.store.writer import writing_space

BLOCK_BYTES = 256 << 20  # of sums in memory: each block reads the shards that have rows in it
FEWEST_BYTES = 1 << 30  # of shards that are folded together
KIND = "kotovec-fold"  # encoding-type of the file
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Fold:
    """The file of folded shards.

    Attributes:
        datasets: `shards` (count,) uint8, whether each is in it; `counts` (V,); sums (V, D) and energies (V,) by space.
        machines: the machines that computed them.
    """

    datasets: dict[str, Dataset]
    machines: dict[str, list[str]]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.datasets[name].array


@dataclass(frozen=True)
class Means:
    """The sums of a build in its folder.

    Attributes:
        folder: the folder of the shard files.
        fingerprint: the fingerprint that every file must carry.
        spaces: the spaces, which every shard has.
        count: number of shards.
        rows: number of rows of the store, V.
    """

    folder: Path
    fingerprint: str
    spaces: tuple[Space, ...]
    count: int
    rows: int

    def done(self) -> tuple[npt.NDArray[np.bool_], Machines]:
        """Return which shards are folded already, (count,) bool, and the machines that computed them.

        A damaged file is deleted: its shards are encoded again.
        """
        machines = Machines()
        try:
            fold = self._fold()
        except DamagedError:
            (self.folder / FOLD).unlink(missing_ok=True)
            fold = None
        if fold is None:
            return np.zeros(self.count, dtype=np.bool_), machines
        _add(machines, fold)
        return fold["shards"].astype(np.bool_), machines

    def fold(self, *, least: int = FEWEST_BYTES) -> bool:
        """Fold the shard files together if they take more room than the sums themselves; return whether they did.

        Args:
            least: bytes of shards that are worth it.

        Raises:
            DamagedError: a file is damaged or not as planned.
            DiskFullError: no space is left; the shards are still there.
        """
        before = self._fold()
        loose = self._loose(before)
        if not loose:
            return False
        sizes = sum(path_of(self.folder, number).stat().st_size for number in loose)
        widths = self._widths(loose)
        if sizes < max(least, 8 * self.rows * sum(widths.values())):
            return False
        shards = np.zeros(self.count, dtype=np.uint8) if before is None else before["shards"].copy()
        shards[loose] = 1
        machines = Machines()
        with sinking(self.folder / FOLD) as sink, hdf5.create(sink) as file:
            hdf5.mark(file, KIND)
            for space in self.spaces:
                dataset = file.create_dataset(space.stem, shape=(self.rows, widths[space]), dtype=np.int64)
                _write_blocks(dataset, self._blocks(space, widths[space], before, loose, machines), sink)
            tables = {"counts": self._counts("counts", before, loose), "shards": shards}
            tables |= {energy_of(space): self._counts(energy_of(space), before, loose) for space in self.spaces}
            for name, array in tables.items():
                written = file.create_dataset(name, data=array)
                hdf5.write_attributes(written, {"sha256": checksum.of_array(array)})
            if before is not None:
                _add(machines, before)
            of = json.dumps({name: sorted(found) for name, found in vars(machines).items()})
            hdf5.write_attributes(file, {"fingerprint": self.fingerprint, "machines": of})
        for number in loose:
            path_of(self.folder, number).unlink()
        return True

    def merge(
        self,
        layout: Layout,
        space: Space,
        dtype: str,
        contexts: Numbers,
        identity: str,
        made: dict[str, Any],
    ) -> None:
        """Write the file of a space whose vectors are means, completely or not at all.

        Its bytes depend neither on how the vectors were split into shards, nor on their order, nor on what was folded.
        A row without vectors becomes zeros. The file also has `n`, the contexts of each row; `uses`, how many vectors
        it is the mean of; and `energy`, their mean squared norm.

        Args:
            layout: the layout of the store.
            space: one of the spaces.
            dtype: `float32` or `float16`.
            contexts: (V,) int64 numbers of contexts.
            identity: the identity of the store's tokens.
            made: how the vectors were made; the machines that computed them are added.

        Raises:
            DamagedError: a shard is missing, damaged or not as planned; nothing is written.
            InputError: a row has more than 32,768 vectors, whose sum int64 may not hold.
            DiskFullError: no space is left; nothing is written.
        """
        before, machines, made = self._fold(), Machines(), {**made}
        loose = [
            number for number in range(self.count) if before is None or not before["shards"][number]
        ]  # all of them
        counts = self._counts("counts", before, loose)
        if counts.max(initial=0) > MOST:
            row = int(counts.argmax())
            raise InputError(
                f"row {row} is a mean of {counts[row]:,} vectors, over {MOST:,}", hint="use fewer --contexts"
            )
        energies = self._counts(energy_of(space), before, loose)
        width = before[space.stem].shape[1] if before is not None else self._widths(loose)[space]
        with writing_space(layout, space, (self.rows, width), dtype, identity, made) as writer:
            for start, block in self._blocks(space, width, before, loose, machines):
                writer.add(sums.mean(block, counts[start : start + len(block)]))
            writer.parts = {"n": contexts, "uses": counts, "energy": sums.mean_energy(energies, counts)}
            if before is not None:
                _add(machines, before)
            made |= machines.as_dict()

    def _loose(self, before: _Fold | None) -> list[int]:
        """Return the numbers of the shards that have a file of their own; one that is folded may still have it."""
        folded = np.zeros(self.count, dtype=np.uint8) if before is None else before["shards"]
        return [number for number in np.flatnonzero(folded == 0).tolist() if path_of(self.folder, number).is_file()]

    def _open(self, number: int) -> "contextlib.AbstractContextManager[ShardReader]":
        return open_shard(self.folder, number, self.fingerprint)

    def _widths(self, loose: Sequence[int]) -> dict[Space, int]:
        with self._open(loose[0]) as first:
            return {space: first.read(space.stem).shape[1] for space in self.spaces}

    def _counts(self, name: str, before: _Fold | None, loose: Sequence[int]) -> Numbers:
        """Return the sums of one number a row, (V,) int64."""
        total = np.zeros(self.rows, dtype=np.int64) if before is None else before[name].copy()
        for number in loose:
            with self._open(number) as shard:
                total[shard.read("ids")] += shard.read(name)
        return total

    def _blocks(
        self, space: Space, width: int, before: _Fold | None, loose: Sequence[int], machines: Machines
    ) -> Iterator[tuple[int, Numbers]]:
        """Yield the first row and the sums of each block of rows, (n, D) int64."""
        step = max(1, BLOCK_BYTES // (8 * width))
        for start in range(0, self.rows, step):
            stop = min(start + step, self.rows)
            total = np.zeros((stop - start, width), dtype=np.int64)
            if before is not None:
                total += before[space.stem][start:stop]
            for number in loose:
                with self._open(number) as shard:
                    machines.add(shard)
                    numbers = shard.read("ids")
                    inside = slice(*np.searchsorted(numbers, (start, stop)))
                    if inside.start < inside.stop:
                        total[numbers[inside] - start] += shard.read(space.stem)[inside]
            yield start, total

    def _fold(self) -> _Fold | None:
        """Return the folded shards; None where none are.

        Raises:
            DamagedError: the file is damaged, or of another build.
        """
        path = self.folder / FOLD
        names = ("shards", "counts", *(space.stem for space in self.spaces), *map(energy_of, self.spaces))
        try:
            with contextlib.closing(File(path)) as file:
                attributes, datasets = file.read(KIND, names)
            fold = _Fold(datasets, dict(json.loads(attributes["machines"])))
            ours = attributes["fingerprint"] == self.fingerprint
        except FileNotFoundError:
            return None
        except hdf5.UNREADABLE as error:  # StoreError and DamagedError, too
            raise DamagedError(f"{path} cannot be read: {error}") from error
        shapes = {"shards": (self.count,), "counts": (self.rows,)}
        if not ours or any(fold[name].shape != shape for name, shape in shapes.items()):
            raise DamagedError(f"{path} belongs to another build")
        if not all(dataset.is_whole() for dataset in datasets.values()):
            raise DamagedError(f"{path} does not match its checksums")
        return fold


def _add(machines: Machines, fold: _Fold) -> None:
    for name, found in vars(machines).items():
        found.update(fold.machines[name])


def _write_blocks(dataset: h5py.Dataset, blocks: Iterator[tuple[int, Numbers]], sink: Sink) -> None:
    digest = hashlib.sha256()
    for start, block in blocks:
        dataset[start : start + len(block)] = block
        sink.check()
        digest.update(block.view(np.uint8).data)
    hdf5.write_attributes(dataset, {"sha256": digest.hexdigest()})
