"""Vectors as text: a word and its numbers per line, as word2vec, GloVe and fastText write them.

word2vec and fastText begin with a line of the numbers of words and dimensions, GloVe does not. The numbers are
separated by single spaces, and one more may stand at the end of a line.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, quoted
from kotovec.store.exchange.formats import BOM
from kotovec.store.exchange.streams import Writable, reading
from kotovec.store.vectors import MOST_DIMENSIONS
from kotovec.text import counted

Block = npt.NDArray[np.float32]
MOST_LINE = 1 << 22  # bytes; 131,072 dimensions take half of it
NUMBERS = 1 << 18  # of a block: 1 MB as float32, and 17 MB as NumPy's texts
_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?([0-9]{1,12}) ([0-9]{1,12})")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_PLAIN = b"0123456789+-.eE "  # all that numbers and the spaces between them consist of
CORRECT = "download the file again, or correct the line"
_FORMAT = "check the format with --format"


class TextSource:
    """A file of text to import.

    Attributes:
        dimensions: D, known once the words have been read.
    """

    def __init__(self, path: Path, *, header: bool) -> None:
        self._path, self._header = path, header
        self.dimensions = 0

    def where(self, row: int) -> str:
        """Return the file and the line of a row."""
        return f"{self._path}:{row + 1 + self._header}"

    def words(self) -> Iterator[bytes]:
        """Yield the word of each line.

        Raises:
            InputError: a line has too few or too many numbers, or not as many lines follow as the header says.
        """
        claimed, row = None, -1
        lines = self._lines()
        first = list(islice(lines, 2))
        for row, line in enumerate(chain(first, lines)):
            if row == 0 and not self._header:
                self.dimensions = _dimensions(line, first[-1])
            elif row == 0:
                claimed, self.dimensions = self._read_header(line)
            if row == 0 and not 0 < self.dimensions <= MOST_DIMENSIONS:
                problem = "no word with numbers behind it" if not self._header else f"{self.dimensions:,} dimensions"
                raise InputError(f"{self._path}:1: {problem}", hint=_FORMAT)
            if row or not self._header:
                yield self._split(line, row - self._header)[0]
        if row < self._header:
            raise InputError(f"{self._path} holds no vector", hint="name a file of vectors")
        if claimed is not None and claimed != row:
            problem = f"the first line says {counted(claimed, 'word')}, and {counted(row, 'line')} follow"
            raise InputError(f"{self._path}:1: {problem}", hint="download it again, or put the right number there")

    def blocks(self) -> Iterator[Block]:
        """Yield the vectors in blocks of (n, D) float32.

        Raises:
            InputError: what stands for a number is none, or is not finite; the message names its line.
        """
        most = max(1, NUMBERS // self.dimensions)
        numbers: list[bytes] = []
        row = 0
        for line_number, line in enumerate(self._lines()):
            if line_number == 0 and self._header:
                continue
            numbers.append(self._split(line, row + len(numbers))[1])
            if len(numbers) == most:
                yield parse(numbers, self.dimensions, row, self.where)
                row += most
                numbers = []
        if numbers:
            yield parse(numbers, self.dimensions, row, self.where)

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines without their ends and without a space there; empty ones at the end are none."""
        blanks = 0
        with reading(self._path) as file:
            number = 0
            while line := file.readline(MOST_LINE):
                number += 1
                if len(line) == MOST_LINE:
                    raise InputError(f"{self._path}:{number}: over {MOST_LINE:,} bytes", hint=_FORMAT)
                line = line.removesuffix(b"\n").removesuffix(b"\r").removesuffix(b" ")
                line = line.removeprefix(BOM) if number == 1 else line
                if not line:
                    blanks += 1
                    continue
                if blanks:
                    raise InputError(f"{self._path}:{number - blanks}: the line is empty", hint="delete it")
                yield line

    def _read_header(self, line: bytes) -> tuple[int, int]:
        found = _HEADER.fullmatch(line)
        if found is None:
            problem = "the first line is not the numbers of words and of dimensions"
            raise InputError(f"{self._path}:1: {problem}", hint="try --format glove, whose files have no such line")
        return int(found[1]), int(found[2])

    def _split(self, line: bytes, row: int) -> tuple[bytes, bytes]:
        """Return the word of a line and its numbers; GloVe's own files have words with spaces (`. . .`)."""
        if line.count(b" ") == self.dimensions:
            word, _, numbers = line.partition(b" ")
            return word, numbers
        word, *found = line.rsplit(b" ", self.dimensions)
        more = word.split(b" ")[1:]
        if b"" in more:
            raise InputError(f"{self.where(row)}: two spaces in a row", hint=_FORMAT)
        numbered = len(found) + sum(_NUMBER.fullmatch(each) is not None for each in more)
        if numbered == self.dimensions == len(found):
            return word, b" ".join(found)
        what = "the first line says" if self._header else "the first line has"
        problem = f"{counted(numbered, 'number')}, and {what} {self.dimensions:,}"
        raise InputError(f"{self.where(row)}: {problem}", hint=_FORMAT if row < 1 else CORRECT)


def _dimensions(first: bytes, second: bytes) -> int:
    """Return the dimensions of a file without a header: a first word with spaces (`new york`) is not counted.

    It is one where so many numbers end its line as the second line has, and something else comes before them.
    """
    ends = [_numbers_at_end(line) for line in (first, second)]
    return ends[0] if ends[0] in (ends[1], second.count(b" ")) else first.count(b" ")


def _numbers_at_end(line: bytes) -> int:
    fields = line.split(b" ")[:0:-1]  # without the first, which is a word
    return next((index for index, each in enumerate(fields) if not _NUMBER.fullmatch(each)), len(fields))


def parse(lines: list[bytes], dimensions: int, row: int, where: Callable[[int], str]) -> Block:
    """Return the numbers of some lines, (n, D) float32.

    Args:
        lines: n lines, each with D - 1 spaces.
        dimensions: D.
        row: the row of the first.
        where: returns what an error names for a row.

    Raises:
        InputError: what stands for a number is none, or is not finite; the message names its line.
    """
    text = b" ".join(lines)
    # Where no two of the spaces are neighbours and the total is right, each line has D numbers.
    if b"  " not in text and not text.translate(None, _PLAIN):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                # In two thirds of the time of NumPy's conversion of a list of texts.
                found = np.fromstring(text, dtype=np.float32, sep=" ")
                if found.size == len(lines) * dimensions and np.isfinite(found).all():
                    return found.reshape(len(lines), -1)
            except (DeprecationWarning, ValueError):
                pass  # the line is found below
    return np.stack([_parse_line(line, where(row + index)) for index, line in enumerate(lines)])


def _parse_line(line: bytes, where: str) -> Block:
    fields = line.split(b" ")
    for column, field in enumerate(fields, 1):
        if _INFINITE.fullmatch(field):
            raise _error(where, column, field, "is not finite")
        if not _NUMBER.fullmatch(field):
            raise _error(where, column, field, "is no number")
    with np.errstate(over="ignore"):
        found = np.array(list(map(float, fields)), dtype=np.float32)
    if not np.isfinite(found).all():
        column = int(np.argmin(np.isfinite(found)))
        raise _error(where, column + 1, fields[column], "is too large for float32")
    return found


def _error(where: str, column: int, field: bytes, problem: str) -> InputError:
    shown = quoted(field[:40].decode("utf-8", "backslashreplace"))
    return InputError(f"{where}: {shown}, number {column} of the vector, {problem}", hint=CORRECT)


def write_text(file: Writable, words: Iterable[str], blocks: Iterable[Block], header: tuple[int, int] | None) -> None:
    """Write vectors as text; each number is the shortest that float32 reads back as the same.

    Args:
        file: what to write to.
        words: V texts without spaces.
        blocks: their vectors, in blocks of (n, D) float32.
        header: (V, D) for the first line, None for a file without.
    """
    if header is not None:
        file.write(b"%d %d\n" % header)
    word = iter(words)
    for block in blocks:
        lines = (f"{next(word)} {' '.join(numbers)}\n" for numbers in block.astype("U16").tolist())
        file.write("".join(lines).encode())
