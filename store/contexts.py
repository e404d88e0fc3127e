"""`contexts.h5`: the sample of a corpus, that is, which sentences the context spaces of a store are made of."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError
from kotovec.store import checksum, hdf5
from kotovec.store.files import Sink, sinking
from kotovec.store.opened import CURE, Dataset, File

KIND = "kotovec-contexts"  # encoding-type of the file
TABLES = {"hashes": "<u8", "offsets": "<i8", "sentences": "<i4", "inside": "|u1", "occurrences": "<f8"}
TEXT, IDS = "text", "ids"  # of the sentences; each with its offsets
STREAMS = {TEXT: "|u1", IDS: "<i4"}
BLOCK = 16 << 20  # bytes that are written at a time
Numbers = npt.NDArray[np.int64]


def offsets_name(stream: str) -> str:
    """Return the name of the dataset that says where each sentence begins in `text` or `ids`."""
    return f"{stream}_offsets"


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """n texts in one block of UTF-8, decoded one by one on access.

    Attributes:
        block: (B,) uint8, the texts one after the other; any text may hold any character.
        offsets: (n + 1,) int64, ascending: text i is `block[offsets[i]:offsets[i + 1]]`.
    """

    block: npt.NDArray[np.uint8]
    offsets: Numbers

    @classmethod
    def of(cls, texts: Iterable[str | bytes]) -> "Texts":
        """Return some texts as one block; bytes are UTF-8 already."""
        encoded = [text if isinstance(text, bytes) else text.encode("utf-8", "replace") for text in texts]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets_of(lengths))

    @classmethod
    def join(cls, parts: Iterable["Texts"]) -> "Texts":
        """Return at least one block of texts as one, in their order."""
        return cls(*join_ragged((part.block, part.offsets) for part in parts))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Texts": ...
    def __getitem__(self, index: int | slice) -> "str | Texts":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        return self.encoded(index).decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory."""
        return self.block.nbytes + self.offsets.nbytes

    def encoded(self, index: int) -> bytes:
        """Return a text in UTF-8."""
        return self.block[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def take(self, indices: Numbers) -> "Texts":
        """Return the texts of (m,) indices, in their order."""
        return Texts(*take_ragged(self.block, self.offsets, indices))


def offsets_of(lengths: npt.NDArray[np.integer[Any]]) -> Numbers:
    """Return where each of n runs of (n,) lengths begins, and where the last one ends, (n + 1,) int64."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def take_ragged(values: npt.NDArray[Any], offsets: Numbers, indices: Numbers) -> tuple[npt.NDArray[Any], Numbers]:
    """Return some runs of an array, one after the other, and their offsets.

    Args:
        values: (t,) contiguous.
        offsets: (n + 1,) where each of n runs begins.
        indices: (m,) which runs, in which order.
    """
    starts, stops = offsets[:-1][indices], offsets[1:][indices]
    size, taken = values.itemsize, offsets_of(stops - starts)
    # By slices: an array of all positions would take eight times the memory of a text.
    block = memoryview(np.ascontiguousarray(values).view(np.uint8).data)
    pairs = zip((starts * size).tolist(), (stops * size).tolist(), strict=True)
    return np.frombuffer(b"".join([block[start:stop] for start, stop in pairs]), dtype=values.dtype), taken


def join_ragged(parts: Iterable[tuple[npt.NDArray[Any], Numbers]]) -> tuple[npt.NDArray[Any], Numbers]:
    """Return at least one array of runs, each as values and offsets, as one."""
    values, offsets = zip(*parts, strict=True)
    return np.concatenate(values), offsets_of(np.concatenate([np.diff(each) for each in offsets]))


@dataclass(frozen=True, eq=False)
class Sample:
    """The contexts of V items: sentences of a corpus, each of which may be the context of several items.

    Attributes:
        hashes: (S,) uint64 hashes of the sentences' texts, ascending, each once.
        offsets: (V + 1,) int64, ascending: the contexts of the item in row r are
            `sentences[offsets[r]:offsets[r + 1]]`.
        sentences: (E,) int32 numbers of sentences, ascending for each item, and so by their hashes.
        inside: (V,) bool, whether the contexts of a word have it inside of other words, as it was never seen whole.
        occurrences: (V,) float64, how many distinct sentences of the corpus have the item: an estimate where there are
            more than `limit`.
        limit: most contexts of an item, N.
        made: how the sample was drawn, JSON-ready: seed, fraction, how the corpus was cut, and what was counted.
        texts: S sentences, or None where they are not kept.
        ids: (T,) int32 token ids of the sentences, without special tokens, or None.
        id_offsets: (S + 1,) int64: those of sentence s are `ids[id_offsets[s]:id_offsets[s + 1]]`.
    """

    hashes: npt.NDArray[np.uint64]
    offsets: Numbers
    sentences: npt.NDArray[np.int32]
    inside: npt.NDArray[np.bool_]
    occurrences: npt.NDArray[np.float64]
    limit: int
    made: Mapping[str, Any] = field(default_factory=dict)
    texts: Texts | None = None
    ids: npt.NDArray[np.int32] | None = None
    id_offsets: Numbers | None = None

    @property
    def counts(self) -> Numbers:
        """(V,) int64, how many contexts each item has: at most `limit`."""
        return np.diff(self.offsets)

    def of(self, row: int) -> npt.NDArray[np.int32]:
        """Return the numbers of the sentences that are the contexts of an item, (n,) int32."""
        return self.sentences[self.offsets[row] : self.offsets[row + 1]]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of which sentences are the contexts of which items: vectors of another sample are other ones."""
        digest = hashlib.sha256()
        for name in ("hashes", "offsets", "sentences", "inside"):
            digest.update(_stored(self, name).view(np.uint8).data)
        return digest.hexdigest()


class Stream:
    """A dataset of known length that is written block by block."""

    def __init__(self, dataset: h5py.Dataset, sink: Sink) -> None:
        self._dataset, self._sink = dataset, sink
        self._digest = hashlib.sha256()
        self._written = 0

    def add(self, block: npt.NDArray[Any]) -> None:
        """Append a block.

        Raises:
            DiskFullError: no space is left.
        """
        if not len(block):
            return
        block = np.ascontiguousarray(block, dtype=self._dataset.dtype)
        self._dataset[self._written : self._written + len(block)] = block
        self._sink.check()
        self._digest.update(block.view(np.uint8).data)
        self._written += len(block)

    def finish(self) -> None:
        """Write the checksum.

        Raises:
            ValueError: fewer or more numbers were added than were announced.
        """
        if self._written != len(self._dataset):
            raise ValueError(f"{self._dataset.name}: {self._written} of {len(self._dataset)} written")
        hdf5.write_attributes(self._dataset, {"sha256": self._digest.hexdigest()})


@contextlib.contextmanager
def writing_contexts(
    path: Path, sample: Sample, identity: str, streams: Mapping[str, Numbers]
) -> Iterator[dict[str, Stream]]:
    """Write a sample whose texts and ids are added block by block; the complete file appears if the block succeeds.

    Args:
        path: the path of the file.
        sample: the sample; its own texts and ids are not written.
        identity: what the sample is of: the identity of a store's tokens.
        streams: (S + 1,) offsets of `text`, of `ids`, or of both, which are written in full.

    Yields:
        what `text` and `ids` are to be added to, in the order of the sentences.

    Raises:
        ValueError: more or less was added than the offsets say.
        DiskFullError: no space is left.
    """
    with sinking(path) as sink, hdf5.create(sink) as file:
        hdf5.mark(file, KIND)
        made = json.dumps(sample.made, sort_keys=True)
        values = {"identity": identity, "digest": sample.digest, "limit": sample.limit, "made": made}
        hdf5.write_attributes(file, values)
        tables = {name: _stored(sample, name) for name in TABLES}
        tables |= {offsets_name(name): offsets for name, offsets in streams.items()}
        for name, array in tables.items():
            dataset = file.create_dataset(name, data=array)
            hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
            sink.check()
        added = {
            name: Stream(file.create_dataset(name, shape=(int(offsets[-1]),), dtype=STREAMS[name]), sink)
            for name, offsets in streams.items()
        }
        yield added
        for stream in added.values():
            stream.finish()


def write_contexts(path: Path, sample: Sample, identity: str, *, keep_text: bool, with_ids: bool = False) -> None:
    """Write a sample, completely or not at all.

    Args:
        path: the path of the file.
        sample: the sample.
        identity: what the sample is of: the identity of a store's tokens.
        keep_text: whether the sentences are written, too.
        with_ids: whether their token ids are.

    Raises:
        ValueError: the sample lacks what is to be written.
        DiskFullError: no space is left.
    """
    blocks: dict[str, tuple[npt.NDArray[Any], Numbers]] = {}
    if keep_text:
        if sample.texts is None:
            raise ValueError("the sample has no texts")
        blocks[TEXT] = sample.texts.block, sample.texts.offsets
    if with_ids:
        if sample.ids is None or sample.id_offsets is None:
            raise ValueError("the sample has no ids")
        blocks[IDS] = sample.ids, sample.id_offsets
    offsets = {name: each for name, (_, each) in blocks.items()}
    with writing_contexts(path, sample, identity, offsets) as streams:
        for name, (block, _) in blocks.items():
            step = BLOCK // block.itemsize
            for start in range(0, len(block), step):
                streams[name].add(block[start : start + step])


def read_contexts(path: Path, identity: str | None, *, checked: bool = True) -> Sample:
    """Return a sample, whose arrays are read-only memory maps.

    Args:
        path: the path of the file.
        identity: what the sample must be of; None for anything.
        checked: whether every checksum is recomputed, a second per gigabyte; else headers and those of the texts.

    Raises:
        FileNotFoundError: there is no file.
        StoreError: the file is not kotovec's, or has a newer format.
        DamagedError: the file is damaged, or of other items.
    """
    with contextlib.closing(File(path)) as file:
        streams = tuple(STREAMS)
        attributes, found = file.read(KIND, tuple(TABLES), (*streams, *map(offsets_name, streams)))
        try:
            if identity is not None and attributes["identity"] != identity:
                raise DamagedError(f"{path} is of other tokens", hint=CURE)
            sample = _sample(attributes, found)
        except hdf5.UNREADABLE as error:
            raise file.unreadable(error) from error
    kept = {name: dataset for name, dataset in found.items() if name not in TABLES}  # of which the digest says nothing
    if damaged := _damaged(found if checked else kept):
        raise DamagedError(f"{path}: {damaged[0]} does not match its checksum", hint=CURE)
    return sample


def _damaged(found: Mapping[str, Dataset]) -> list[str]:
    return [name for name, dataset in found.items() if not dataset.is_whole()]


def _stored(sample: Sample, name: str) -> npt.NDArray[Any]:
    """Return a table as the file holds it."""
    return np.ascontiguousarray(getattr(sample, name), dtype=TABLES[name])


def _sample(attributes: Mapping[str, Any], found: Mapping[str, Dataset]) -> Sample:
    """Return the sample of a file, whose numbers can be trusted to lie within its arrays.

    Raises:
        ValueError: they do not, or an array has another type or shape.
    """
    arrays = {name: dataset.array for name, dataset in found.items()}
    types = TABLES | STREAMS | {offsets_name(name): "<i8" for name in STREAMS}
    if any(array.ndim != 1 or array.dtype.str != types[name] for name, array in arrays.items()):
        raise ValueError("an array of another type or shape")
    hashes, offsets, sentences, inside, occurrences = (arrays[name] for name in TABLES)
    _check_offsets(offsets, len(sentences))
    if not len(offsets) - 1 == len(inside) == len(occurrences):
        raise ValueError("tables of different lengths")
    if len(sentences) and not 0 <= sentences.min() <= sentences.max() < len(hashes):
        raise ValueError("a sentence that is not there")
    if len(inside) and inside.max() > 1:
        raise ValueError("neither true nor false")
    for name in STREAMS:
        if name in arrays:
            within = arrays[offsets_name(name)]
            _check_offsets(within, len(arrays[name]))
            if len(within) != len(hashes) + 1:
                raise ValueError("tables of different lengths")
    made = json.loads(attributes["made"])
    if not isinstance(made, dict):
        raise TypeError("made is no table")
    return Sample(
        hashes,
        offsets,
        sentences,
        inside.view(np.bool_),
        occurrences,
        int(attributes["limit"]),
        made,
        Texts(arrays[TEXT], arrays[offsets_name(TEXT)]) if TEXT in arrays else None,
        arrays.get(IDS),
        arrays.get(offsets_name(IDS)),
    )


def _check_offsets(offsets: npt.NDArray[Any], end: int) -> None:
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != end or (len(offsets) > 1 and np.diff(offsets).min() < 0):
        raise ValueError("offsets that do not ascend to the end")
