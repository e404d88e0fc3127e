"""word2vec's binary format: the numbers of words and dimensions, then each word, a space, and its float32 numbers."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from kotovec.errors import InputError
from kotovec.store.exchange.streams import Writable, reading
from kotovec.store.exchange.text import NUMBERS, Block
from kotovec.store.tokens import LONGEST
from kotovec.store.vectors import MOST_DIMENSIONS
from kotovec.text import counted

CHUNK = 1 << 20  # bytes that are read at a time
MOST_HEADER = 64  # bytes
_HEADER = re.compile(rb"([0-9]{1,12}) ([0-9]{1,12}) *\r?\n")
_LIES = "download it again, or check the format with --format"


class BinarySource:
    """A file in word2vec's binary format to import.

    Attributes:
        dimensions: D, known once the words have been read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.dimensions = 0

    def where(self, row: int) -> str:
        """Return the file and the number of a word, as there are no lines."""
        return f"{self._path}: word {row + 1:,}"

    def words(self) -> Iterator[bytes]:
        """Yield the words.

        Raises:
            InputError: there is no header, or not as much follows as it says.
        """
        return (word for word, _ in self._entries())

    def blocks(self) -> Iterator[Block]:
        """Yield the vectors in blocks of (n, D) float32.

        Raises:
            InputError: a number is not finite; the message names its word.
        """
        most = max(1, NUMBERS // self.dimensions)
        row, found = 0, []
        for _, vector in self._entries():
            found.append(vector)
            if len(found) == most:
                yield self._block(found, row)
                row += most
                found = []
        if found:
            yield self._block(found, row)

    def _block(self, vectors: list[bytes], row: int) -> Block:
        block = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise InputError(f"{self.where(row + int(np.argmin(finite)))}: its vector is not finite", hint=_LIES)
        return block

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each word and the bytes of its numbers."""
        with reading(self._path) as file:
            count, self.dimensions = self._read_header(file.readline(MOST_HEADER))
            width, buffer, start = 4 * self.dimensions, b"", 0
            for row in range(count):
                # A line break behind the numbers, which word2vec writes and gensim does not, begins the next word.
                end = buffer.find(b" ", start)
                while end < 0 or len(buffer) < end + 1 + width:
                    if end < 0 and len(buffer) - start > 2 * LONGEST:
                        raise InputError(f"{self.where(row)}: no space ends the word", hint=_LIES)
                    more = file.read(max(CHUNK, width))
                    if not more:
                        problem = f"the file ends in word {row + 1:,} of {count:,} that its first line says"
                        raise InputError(f"{self._path}: {problem}", hint=_LIES)
                    buffer, start = buffer[start:] + more, 0
                    end = buffer.find(b" ")
                yield buffer[start:end].lstrip(b"\n"), buffer[end + 1 : end + 1 + width]
                start = end + 1 + width
            if (buffer[start:] + file.read(MOST_HEADER)).strip():
                problem = f"more follows than the {counted(count, 'word')} that its first line says"
                raise InputError(f"{self._path}: {problem}", hint=_LIES)

    def _read_header(self, line: bytes) -> tuple[int, int]:
        found = _HEADER.fullmatch(line)
        if found is None:
            problem = "it does not begin with a line of the numbers of words and of dimensions"
            raise InputError(f"{self._path}: {problem}" if line else f"{self._path} is empty", hint=_LIES)
        count, dimensions = int(found[1]), int(found[2])
        if not count or not 0 < dimensions <= MOST_DIMENSIONS:
            raise InputError(f"{self._path}: {count:,} words of {dimensions:,} dimensions", hint=_LIES)
        return count, dimensions


def write_binary(file: Writable, words: Iterable[str], blocks: Iterable[Block], header: tuple[int, int]) -> None:
    """Write vectors in word2vec's binary format, as word2vec does: a line break behind each vector.

    Args:
        file: what to write to.
        words: V texts without spaces.
        blocks: their vectors, in blocks of (n, D) float32.
        header: (V, D).
    """
    file.write(b"%d %d\n" % header)
    word = iter(words)
    for block in blocks:
        entries = (next(word).encode() + b" " + vector.tobytes() + b"\n" for vector in block.astype("<f4"))
        file.write(b"".join(entries))
