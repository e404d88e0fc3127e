"""The words of vectors that lie in another file: one per line, in a file beside it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kotovec.errors import InputError
from kotovec.store.exchange.formats import BOM
from kotovec.store.exchange.streams import Writable, reading
from kotovec.store.exchange.text import MOST_LINE
from kotovec.text import counted


class WordLines:
    """A file of V words, one per line.

    Args:
        path: the file.
        vectors: the file of the vectors, which an error names.
        count: returns the number of its vectors.
    """

    def __init__(self, path: Path, vectors: Path, count: Callable[[], int]) -> None:
        self._path, self._vectors, self._count = path, vectors, count

    def where(self, row: int) -> str:
        """Return the file and the line of a word."""
        return f"{self._path}:{row + 1}"

    def words(self) -> Iterator[bytes]:
        """Yield the words; an empty line is the empty word.

        Raises:
            InputError: there is no such file, or it has more or fewer words than there are vectors.
        """
        if not self._path.is_file():
            problem = f"{self._vectors} holds no words, and there is no file {self._path}"
            raise InputError(problem, hint="put its words there, one per line")
        rows = 0
        with reading(self._path) as file:
            while line := file.readline(MOST_LINE):
                rows += 1
                line = line.removeprefix(BOM) if rows == 1 else line
                yield line.removesuffix(b"\n").removesuffix(b"\r")
        if rows != (count := self._count()):
            problem = f"{self._path} has {counted(rows, 'word')}, and {self._vectors} {counted(count, 'vector')}"
            raise InputError(problem, hint="put one word per vector into it")


def write_lines(file: Writable, words: Iterable[str]) -> None:
    """Write words, one per line."""
    for word in words:
        file.write(f"{word}\n".encode())
