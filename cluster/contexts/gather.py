"""Gather a sample: the sentences that were chosen, streamed out of the files of the pieces into one file."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.pieces import Pieces
from kotovec.cluster.contexts.scan import Sentences
from kotovec.store.contexts import IDS, TEXT, Numbers, Sample, offsets_of, writing_contexts

BLOCK_BYTES = 128 << 20  # of texts, or of ids, in memory: each block opens the files that have sentences in it


@dataclass(frozen=True, eq=False)
class _Places:
    """Where S sentences are found.

    Attributes:
        piece: (S,) int32 number of the piece.
        index: (S,) int32 position of the sentence in it.
        text, ids: (S + 1,) int64 offsets of all texts, and of all ids, one after the other.
    """

    piece: npt.NDArray[np.int32]
    index: npt.NDArray[np.int32]
    text: Numbers
    ids: Numbers


def gather(path: Path, sample: Sample, identity: str, pieces: Pieces, count: int, *, keep_text: bool) -> None:
    """Write the file of a sample with the token ids of its sentences, and their texts where they are kept.

    The bytes do not depend on how the corpus was cut into pieces. Memory stays at some arrays of one number a sentence
    and one block of texts.

    Args:
        path: the path of the file.
        sample: the sample, without texts and ids.
        identity: what the sample is of.
        pieces: what was found in the pieces.
        count: number of pieces.
        keep_text: whether the texts are kept.

    Raises:
        DamagedError: the file of a piece is damaged.
        ValueError: a sentence is in none of the pieces.
        DiskFullError: no space is left.
    """
    found_in = _find(sample.hashes, pieces, count)
    offsets = {IDS: found_in.ids} | ({TEXT: found_in.text} if keep_text else {})
    with writing_contexts(path, sample, identity, offsets) as streams:
        for name, stream in streams.items():
            for start, stop in _blocks(offsets[name], BLOCK_BYTES // (1 if name == TEXT else 4)):
                stream.add(_block(name, found_in, offsets[name], start, stop, pieces))


def _find(hashes: npt.NDArray[np.uint64], pieces: Pieces, count: int) -> _Places:
    """Find each sentence in the first piece that has it.

    Two texts have one hash in one of 10^19 pairs: then the smaller text is taken, in any order of the pieces.
    """
    piece = np.full(len(hashes), -1, dtype=np.int32)
    index, length, tokens = (np.zeros(len(hashes), dtype=np.int32) for _ in range(3))
    sums = np.zeros(len(hashes), dtype=np.uint32)
    for number in range(count):
        found = pieces.read(number).sentences
        if not len(hashes) or not len(found.hashes):
            continue
        at = np.minimum(np.searchsorted(hashes, found.hashes), len(hashes) - 1)
        here = np.flatnonzero(hashes[at] == found.hashes)
        at = at[here]
        texts, ids = np.diff(found.texts.offsets)[here], np.diff(found.id_offsets)[here]
        checks = _checks(found, here)
        taken = piece[at] >= 0
        for pair in np.flatnonzero(taken & ((length[at] != texts) | (sums[at] != checks))).tolist():
            other = pieces.read(int(piece[at[pair]])).sentences.texts.encoded(int(index[at[pair]]))
            taken[pair] = other <= found.texts.encoded(int(here[pair]))
        new, at = here[~taken], at[~taken]
        piece[at], index[at] = number, new
        length[at], tokens[at], sums[at] = texts[~taken], ids[~taken], checks[~taken]
    if (piece < 0).any():
        raise ValueError(f"{int((piece < 0).sum())} sentences are in no piece")
    return _Places(piece, index, offsets_of(length), offsets_of(tokens))


def _checks(found: Sentences, indexes: Numbers) -> npt.NDArray[np.uint32]:
    """Return a checksum of 32 bits of some texts: they are compared in full only where it differs."""
    block, offsets = found.texts.block.data, found.texts.offsets
    pairs = zip(offsets[indexes].tolist(), offsets[indexes + 1].tolist(), strict=True)
    return np.fromiter((zlib.crc32(block[start:stop]) for start, stop in pairs), dtype=np.uint32, count=len(indexes))


def _blocks(offsets: Numbers, most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of sentences that have at most so many numbers or characters together, or are one sentence."""
    bounds = [0]
    while bounds[-1] < len(offsets) - 1:
        stop = int(np.searchsorted(offsets, offsets[bounds[-1]] + most, side="right")) - 1
        bounds.append(max(stop, bounds[-1] + 1))
    return pairwise(bounds)


def _block(
    name: str, found_in: _Places, offsets: Numbers, start: int, stop: int, pieces: Pieces
) -> npt.NDArray[np.generic]:
    """Return the texts, or the ids, of the sentences from `start` to `stop`, one after the other."""
    block = np.empty(offsets[stop] - offsets[start], dtype=np.uint8 if name == TEXT else np.int32)
    starts = offsets[start:stop] - offsets[start]
    order = np.argsort(found_in.piece[start:stop], kind="stable")
    numbers, firsts = np.unique(found_in.piece[start:stop][order], return_index=True)
    for number, within in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
        found = pieces.read(number, checked=False).sentences
        source, bounds = (found.texts.block, found.texts.offsets) if name == TEXT else (found.ids, found.id_offsets)
        indexes = found_in.index[start:stop][within]
        for at, first, last in zip(
            starts[within].tolist(), bounds[indexes].tolist(), bounds[indexes + 1].tolist(), strict=True
        ):
            block[at : at + last - first] = source[first:last]
    return block
