"""fastText's own `.bin`: a word's vector is the mean of its row and of the rows of its character n-grams.

The layout, the n-grams and their hash (FNV-1a of 32 bits, with bytes as signed numbers) are those of fastText's
`args.cc`, `dictionary.cc` and `matrix.cc`. Words that are not in its dictionary have the mean of their n-grams alone.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, quoted
from kotovec.store.exchange.arrays import finite
from kotovec.store.exchange.formats import MODEL
from kotovec.store.exchange.streams import reading
from kotovec.store.exchange.text import MOST_LINE, NUMBERS, Block
from kotovec.store.files import open_descriptor
from kotovec.store.vectors import MOST_DIMENSIONS

_VERSIONS = (11, 12)  # version 11 has no n-grams in supervised models
_SUPERVISED = 3
_ARGUMENTS = struct.Struct("<2i12id")  # magic and version, dim … lrUpdateRate, t
_COUNTS = struct.Struct("<3i2q")  # entries, words, labels; tokens, pruned n-grams
_ENTRY = struct.Struct("<qb")  # count, type: 0 for a word
_MATRIX = struct.Struct("<?2q")  # quantised; rows, columns
_BEGIN, _END, _SENTENCE = b"<", b">", b"</s>"
_DOWNLOAD = "download it again"
_SIGNED = [byte if byte < 0x80 else byte | 0xFFFFFF00 for byte in range(0x100)]  # noqa: PLR2004 — the sign of int8_t


class NgramSource:
    """A model of fastText to import: the words of its dictionary, and others that its n-grams answer.

    Args:
        path: the file.
        words: a file of further words, one per line; those of the dictionary are left out. None for none.

    Attributes:
        dimensions: D.
    """

    def __init__(self, path: Path, words: Path | None = None) -> None:
        self._path, self._more = path, words
        with open_descriptor(path) as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read()
        except InputError:
            raise
        except (struct.error, ValueError) as error:
            raise InputError(f"{path} is no complete model of fastText", hint=_DOWNLOAD) from error
        self._lines: list[int] = []  # of the further words that are rows

    def _read(self) -> None:
        magic, version, *arguments, _ = _ARGUMENTS.unpack_from(self._map)
        if struct.pack("<i", magic) != MODEL or version not in _VERSIONS:
            raise InputError(f"{self._path} is no model of fastText", hint="check the format with --format")
        self.dimensions, self._bucket, self._least, self._most = arguments[0], *arguments[8:11]
        if version == _VERSIONS[0] and arguments[7] == _SUPERVISED:
            self._most = 0
        start = _ARGUMENTS.size
        entries, self._count, _, _, pruned = _COUNTS.unpack_from(self._map, start)
        start += _COUNTS.size
        if not 0 < self._count <= entries <= len(self._map):
            raise ValueError("no words, or more than there are bytes")
        self._starts = np.zeros(self._count, dtype=np.int64)
        for entry in range(entries):
            if entry < self._count:
                self._starts[entry] = start
            start = self._end(start) + 1 + _ENTRY.size
        self._kept = None
        if pruned >= 0:
            pairs = np.frombuffer(self._map, dtype="<i4", count=2 * pruned, offset=start).reshape(-1, 2)
            self._kept = dict(pairs.tolist())
            start += pairs.nbytes
        quantised, rows, columns = _MATRIX.unpack_from(self._map, start)
        if quantised:
            raise InputError(f"{self._path} is quantised", hint="take the .bin of the model, and not its .ftz")
        fit = self._count <= rows and columns == self.dimensions and 0 < columns <= MOST_DIMENSIONS
        if not fit or (self._bucket <= 0 < self._most):
            raise ValueError("sizes that do not fit")
        numbers = np.frombuffer(self._map, dtype="<f4", count=rows * columns, offset=start + _MATRIX.size)
        self._rows: npt.NDArray[np.float32] = numbers.reshape(rows, columns)

    def where(self, row: int) -> str:
        """Return the file and the number of a word, or the line of a further one."""
        if row < self._count:
            return f"{self._path}: word {row + 1:,}"
        return f"{self._more}:{self._lines[row - self._count]}"

    def words(self) -> Iterator[bytes]:
        """Yield the words of the dictionary, and then the further ones.

        Raises:
            InputError: a further word has no n-gram.
        """
        for row in range(self._count):
            yield self._word(row)
        yield from self._further()

    def blocks(self) -> Iterator[Block]:
        """Yield the vectors in blocks of (n, D) float32.

        Raises:
            InputError: a number is not finite; the message names its row.
        """
        most = max(1, NUMBERS // self.dimensions)
        start, found = 0, []
        for vector in self._vectors():
            found.append(vector)
            if len(found) == most:
                yield finite(np.stack(found), self._path, start)
                start += most
                found = []
        if found:
            yield finite(np.stack(found), self._path, start)

    def _vectors(self) -> Iterator[Block]:
        for row in range(self._count):
            yield self._mean([row, *self._ngrams(self._word(row))])
        for word in self._further():
            yield self._mean(self._ngrams(word))

    def _further(self) -> Iterator[bytes]:
        if self._more is None:
            return
        self._lines.clear()
        known = set(map(self._word, range(self._count)))
        with reading(self._more) as file:
            number = 0
            while line := file.readline(MOST_LINE):
                number += 1
                word = line.removesuffix(b"\n").removesuffix(b"\r")
                if not word or word in known:
                    continue
                self._lines.append(number)
                if not self._ngrams(word):
                    shown = quoted(word.decode("utf-8", "backslashreplace"))
                    raise InputError(f"{self._more}:{number}: {shown} has no n-gram", hint="leave it out")
                yield word

    def _word(self, row: int) -> bytes:
        start = int(self._starts[row])
        return self._map[start : self._end(start)]

    def _end(self, start: int) -> int:
        """Return where the word that begins at a position ends."""
        end = self._map.find(b"\0", start)
        if end < 0:
            raise ValueError("a word without an end")
        return end

    def _mean(self, rows: list[int]) -> Block:
        total: Block = np.add.reduce(self._rows[rows], axis=0)  # row by row, as fastText adds
        return total * np.float32(1 / len(rows))

    def _ngrams(self, word: bytes) -> list[int]:
        """Return the rows of the n-grams of a word, in fastText's order."""
        if word == _SENTENCE:
            return []
        hashes = ngram_hashes(_BEGIN + word + _END, self._least, self._most)
        found = [number % self._bucket for number in hashes]
        if self._kept is not None:
            found = [self._kept[number] for number in found if number in self._kept]
        return [self._count + number for number in found]


def ngram_hashes(word: bytes, least: int, most: int) -> Iterator[int]:
    """Yield the hashes of a word's n-grams in fastText's order: by their first character, then by their length.

    Args:
        word: UTF-8 between < and >, which alone are no n-grams.
        least: fewest characters of an n-gram.
        most: most characters.
    """
    for start, first in enumerate(word):
        if first & 0xC0 == 0x80:  # noqa: PLR2004 — within a character
            continue
        number, stop = 2166136261, start
        for size in range(1, most + 1):
            if stop >= len(word):
                break
            begins = True
            while stop < len(word) and (begins or word[stop] & 0xC0 == 0x80):  # noqa: PLR2004
                number = (number ^ _SIGNED[word[stop]]) * 16777619 & 0xFFFFFFFF
                stop, begins = stop + 1, False
            if size >= least and not (size == 1 and (start == 0 or stop == len(word))):
                yield number
