"""The sample of a corpus: which sentences the context spaces are made of."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Texts:
    """s texts in one block of UTF-8, decoded one by one on access.

    Attributes:
        block: (b,) uint8, the texts one behind the other, with nothing between them.
        offsets: (s + 1,) int64, ascending: text i is `block[offsets[i]:offsets[i + 1]]`.
    """

    block: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Return texts of Python in one block."""
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets_of(lengths))

    @classmethod
    def join(cls, parts: Iterable["Texts"]) -> "Texts":
        """Return several blocks as one, in their order."""
        block, offsets = join_ragged((part.block, part.offsets) for part in parts)
        return cls(block, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        return self.encoded(range(len(self))[index]).decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def encoded(self, index: int) -> bytes:
        """Return a text in UTF-8."""
        return self.block[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def take(self, indices: npt.NDArray[np.int64]) -> "Texts":
        """Return the texts of (n,) indices, in their order."""
        return Texts(*take_ragged(self.block, self.offsets, indices))


def offsets_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each of s runs of (s,) lengths begins, and where the last one ends, (s + 1,) int64."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def take_ragged(
    values: npt.NDArray[Any], offsets: npt.NDArray[np.int64], indices: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the runs of (n,) indices in their order, as values and offsets."""
    starts = offsets[indices]
    lengths = offsets[indices + 1] - starts
    taken = offsets_of(lengths)
    where = np.arange(taken[-1]) + np.repeat(starts - taken[:-1], lengths)
    return values[where], taken


def join_ragged(
    parts: Iterable[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return at least one array of runs, each as values and offsets, as one."""
    values, offsets = zip(*parts, strict=True)
    return np.concatenate(values), offsets_of(np.concatenate([np.diff(each) for each in offsets]))
