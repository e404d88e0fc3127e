"""The pair of files that TensorBoard's Embedding Projector loads: numbers by tabs, and a word per line beside them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from kotovec.errors import InputError
from kotovec.store.exchange.formats import FORMATS, Format
from kotovec.store.exchange.lines import WordLines
from kotovec.store.exchange.streams import Writable, reading
from kotovec.store.exchange.text import MOST_LINE, NUMBERS, Block, parse
from kotovec.text import counted

METADATA = FORMATS[Format.PROJECTOR].words


class ProjectorSource:
    """A pair of files of the Projector to import.

    Attributes:
        dimensions: D.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.dimensions = next(self._lines(), b"").count(b" ") + 1
        metadata = WordLines(path.with_name(path.stem + METADATA), path, self._count)
        self.where, self._words = metadata.where, metadata.words

    def words(self) -> Iterator[bytes]:
        """Yield the words, of which the metadata may have no other columns.

        Raises:
            InputError: they have; or see `WordLines.words`.
        """
        for row, word in enumerate(self._words()):
            if b"\t" in word:
                raise InputError(f"{self.where(row)}: several columns", hint="leave the column of the words alone")
            yield word

    def blocks(self) -> Iterator[Block]:
        """Yield the vectors in blocks of (n, D) float32.

        Raises:
            InputError: a line has too few or too many numbers, or what stands for a number is none.
        """
        most = max(1, NUMBERS // self.dimensions)
        numbers: list[bytes] = []
        row = 0
        for line in self._lines():
            if line.count(b" ") + 1 != self.dimensions:
                found = counted(line.count(b" ") + 1, "number")
                problem = f"{self._line(row + len(numbers))}: {found}, and the first line has {self.dimensions:,}"
                raise InputError(problem, hint="put a tab between two numbers")
            numbers.append(line)
            if len(numbers) == most:
                yield parse(numbers, self.dimensions, row, self._line)
                row += most
                numbers = []
        if numbers:
            yield parse(numbers, self.dimensions, row, self._line)

    def _line(self, row: int) -> str:
        return f"{self._path}:{row + 1}"

    def _count(self) -> int:
        return sum(1 for _ in self._lines())

    def _lines(self) -> Iterator[bytes]:
        with reading(self._path) as file:
            while line := file.readline(MOST_LINE):
                yield line.removesuffix(b"\n").removesuffix(b"\r").replace(b"\t", b" ")


def write_numbers(file: Writable, blocks: Iterable[Block]) -> None:
    """Write vectors with tabs between their numbers."""
    for block in blocks:
        file.write("".join("\t".join(numbers) + "\n" for numbers in block.astype("U16").tolist()).encode())
