"""Lines of the files of data sets, and all that is wrong with them in one error."""

from collections.abc import Iterator
from pathlib import Path

from kotovec.errors import InputError, quoted
from kotovec.text import counted

LARGEST = 1 << 30  # bytes of a file: the largest data set, BATS as questions, has 4 MB
MOST_NAMED = 100  # malformed lines that an error names
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Problems:
    """Malformed lines, gathered while files are read."""

    def __init__(self) -> None:
        self._found: dict[tuple[Path, int], str] = {}

    def add(self, path: Path, number: int, problem: str) -> None:
        """Note what is wrong with a line of a file, unless something is noted already; lines count from 1."""
        self._found.setdefault((path, number), problem)

    def check(self, hint: str) -> None:
        """Refuse the files if a line of theirs was malformed.

        Raises:
            InputError: it names every such line, up to a hundred, with its file and number.
        """
        if not self._found:
            return
        named = [f"{path}:{number} {problem}" for (path, number), problem in self._found.items()]
        more = len(named) - MOST_NAMED
        shown = "; ".join([*named[:MOST_NAMED], *([f"and {more:,} more"] if more > 0 else [])])
        raise InputError(f"{counted(len(named), 'malformed line')}: {shown}", hint=hint)


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not blank, each with its number from 1 and without its end.

    Comments are the lines that begin with `#` before the first other one. Lines that are not UTF-8 are problems.

    Raises:
        InputError: the file cannot be read.
    """
    is_head = True
    for number, line in enumerate(_bytes_of(path).split(b"\n"), start=1):
        if number == 1 and line.startswith(_UTF_16):
            problems.add(path, number, "is UTF-16, not UTF-8")
            return
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError:
            problems.add(path, number, "is not UTF-8")
            continue
        if not text.strip() or (is_head and text.startswith("#")):
            continue
        is_head = False
        yield number, text


def _bytes_of(path: Path) -> bytes:
    hint = "name a file of a data set"
    if path.exists() and not path.is_file():
        raise InputError(f"{quoted(path)} is not a file", hint=hint)
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{quoted(path)} has more than {LARGEST >> 30} GB", hint=hint)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
