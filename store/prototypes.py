"""Spaces of prototypes: of each item several vectors, the centres of its vectors in its contexts.

Where one vector per item is needed, it is the mean over all contexts: that of the space `context` in the same layer,
whose file is the only one that holds it.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError, quoted
from kotovec.space import PROTOTYPES, Space
from kotovec.store import checksum, hdf5
from kotovec.store.contexts import Stream, offsets_of
from kotovec.store.files import sinking
from kotovec.store.layout import SPACE, Layout
from kotovec.store.opened import CURE, Dataset, File, SpaceFile

# The datasets of such a file: P centres of V items, whose contexts are E together.
CENTRES, NORMS, OFFSETS, SIZES = "centres", "centre_norms", "centre_offsets", "centre_sizes"
LABELS = "centre_of_context"
_TYPES = {NORMS: "<f8", OFFSETS: "<i8", SIZES: "<i8", LABELS: "|u1"}
NAMES = (CENTRES, *_TYPES)
MOST = 256  # centres of an item: a sparse file that claims more takes no space on the disk, and all memory
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The centres of a space.

    Attributes:
        centres: (P, D) float32 or float16 vectors, as stored.
        norms: (P,) float64, their L2 norms.
        offsets: (V + 1,) int64: the centres of row r are `centres[offsets[r]:offsets[r + 1]]`; none without contexts.
        sizes: (P,) int64, of how many contexts each is the mean; those of a row descend.
        labels: (E,) uint8, for each context, as `Sample.sentences` has them, the number of its centre within its row.
    """

    centres: npt.NDArray[np.floating[Any]]
    norms: npt.NDArray[np.float64]
    offsets: Numbers
    sizes: Numbers
    labels: npt.NDArray[np.uint8]

    @cached_property
    def owners(self) -> Numbers:
        """(P,) int64, the row that each centre is of, ascending."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def of(self, row: int) -> "Centres":
        """Return the centres of a row."""
        part = slice(self.offsets[row], self.offsets[row + 1])
        # Where the contexts of a row begin is what the sizes of all centres before it add up to.
        first, last = int(self.sizes[: part.start].sum()), int(self.sizes[: part.stop].sum())
        return Centres(np.array(self.centres[part]), np.array(self.sizes[part]), np.array(self.labels[first:last]))


@dataclass(frozen=True, eq=False)
class Centres:
    """The k prototypes of one item, the one of most contexts first.

    Attributes:
        vectors: (k, D) float32 or float16.
        sizes: (k,) int64, of how many contexts each is the mean.
        labels: (n,) uint8, which of them each context of the item belongs to, from 0; in the order of `Store.contexts`.
    """

    vectors: npt.NDArray[np.floating[Any]]
    sizes: Numbers
    labels: npt.NDArray[np.uint8]


def check_single(space: Space, what: str) -> None:
    """Refuse a space of several vectors per token.

    Raises:
        InputError: it is one; the hint names the space of their means.
    """
    if space.name == PROTOTYPES:
        raise InputError(
            f"{space} has several vectors per token, and {what} takes one",
            hint=f"choose {quoted(str(space.averaged))}, their mean",
        )


class Writer:
    """Writes centres block by block."""

    def __init__(self, stream: Stream, norms: npt.NDArray[np.float64]) -> None:
        self._stream, self._norms = stream, norms
        self._written = 0

    def add(self, block: npt.NDArray[np.floating[Any]]) -> None:
        """Append (p, D) centres in the stored dtype.

        Raises:
            DiskFullError: no space is left.
        """
        self._stream.add(block)
        stop = self._written + len(block)
        self._norms[self._written : stop] = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        self._written = stop


@contextlib.contextmanager
def writing_prototypes(
    layout: Layout, space: Space, like: Prototypes, identity: str, made: Mapping[str, Any]
) -> Iterator[Writer]:
    """Yield a writer for the centres of a space; the complete file appears if the block succeeds.

    Args:
        layout: the layout of the store.
        space: the space.
        like: offsets, sizes and labels, which are written, and centres of no row, of the width and dtype to write.
        identity: the identity of the store's tokens.
        made: how the centres were made, JSON-ready; what the block adds to it is written, too.

    Raises:
        ValueError: fewer or more centres were added than `offsets` says.
        DiskFullError: no space is left.
    """
    count, width = int(like.offsets[-1]), like.centres.shape[1]
    norms = np.zeros(count)
    layout.spaces.mkdir(exist_ok=True)
    with sinking(layout.space(space)) as sink, hdf5.create(sink) as file:
        hdf5.mark(file, SPACE)
        stream = Stream(file.create_dataset(CENTRES, shape=(count, width), dtype=like.centres.dtype), sink)
        yield Writer(stream, norms)
        stream.finish()
        for name, array in ((NORMS, norms), (OFFSETS, like.offsets), (SIZES, like.sizes), (LABELS, like.labels)):
            dataset = file.create_dataset(name, data=array)
            hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
        written = {"space": str(space), "identity": identity, "made": json.dumps(made, sort_keys=True)}
        hdf5.write_attributes(file, written)


def read_space(file: File, space: Space, identity: str, base: SpaceFile) -> SpaceFile:
    """Return an open file of prototypes as a space: the vectors are those of `context`, the centres parts beside them.

    Args:
        file: the open file.
        space: the space.
        identity: the identity of the store's tokens.
        base: the space of their means.

    Raises:
        DamagedError: the file is damaged, or of other tokens or other contexts than the means.
    """
    attributes, found = file.read(SPACE, NAMES)
    try:
        if attributes["identity"] != identity or attributes["space"] != str(space):
            raise DamagedError(f"{file.path} is of other tokens or of another space", hint=CURE)
        made = dict(json.loads(attributes["made"]))
        samples = [each.get("settings", {}).get("sample") for each in (made, base.made)]
        if samples[0] != samples[1] or "n" not in base.parts:
            raise DamagedError(f"{file.path} is of other contexts than {space.averaged}", hint=CURE)
        _check(found, base)
    except hdf5.UNREADABLE as error:
        raise file.unreadable(error) from error
    return replace(base, made=made, parts={**base.parts, **found})


def _check(found: Mapping[str, Dataset], base: SpaceFile) -> None:
    """Check that the numbers of a file can be trusted to lie within its arrays.

    Raises:
        ValueError: they do not, or an array has another type or shape.
    """
    arrays = {name: dataset.array for name, dataset in found.items()}
    centres, offsets, sizes = (arrays[name] for name in (CENTRES, OFFSETS, SIZES))
    rows, width = base.vectors.array.shape
    plain = all(arrays[name].ndim == 1 and arrays[name].dtype.str == dtype for name, dtype in _TYPES.items())
    shapes = centres.dtype, centres.shape, arrays[NORMS].shape, sizes.shape, offsets.shape
    count = len(sizes)
    if count > MOST * rows:
        raise ValueError("more centres than any build makes")
    if not plain or shapes != (base.vectors.array.dtype, (count, width), (count,), (count,), (rows + 1,)):
        raise ValueError("an array of another type or shape")
    if not (found[OFFSETS].is_whole() and found[SIZES].is_whole()):
        raise ValueError("an array that does not match its checksum")
    counts = np.add.reduceat(np.append(sizes, 0), offsets[:-1]) * (np.diff(offsets) > 0) if rows else offsets[:0]
    is_within = offsets[0] == 0 and offsets[-1] == count and bool((np.diff(offsets) >= 0).all())
    if not is_within or not np.array_equal(counts, base.parts["n"].array) or sizes.sum() != len(arrays[LABELS]):
        raise ValueError("centres of other contexts")


def of_parts(parts: Mapping[str, Dataset]) -> Prototypes:
    """Return the prototypes of a space that was read: of `Vectors.parts`."""
    return Prototypes(*(parts[name].array for name in NAMES))


def base_of(labels: npt.NDArray[np.uint8], offsets: Numbers) -> tuple[Numbers, Numbers]:
    """Return where the centres of each row begin, (V + 1,), and how many contexts each has, (P,).

    Args:
        labels: (E,) the number of each context's centre within its row.
        offsets: (V + 1,) where the contexts of each row begin.
    """
    counts = np.diff(offsets)
    most = np.zeros(len(counts), dtype=np.int64)
    filled = np.flatnonzero(counts)
    if len(filled):
        most[filled] = np.maximum.reduceat(labels, offsets[:-1][filled]).astype(np.int64) + 1
    centres = offsets_of(most)
    numbers = np.repeat(centres[:-1], counts) + labels
    return centres, np.bincount(numbers, minlength=int(centres[-1]))
