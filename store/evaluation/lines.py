"""Lines of the files of data sets, and all that is wrong with them in one error."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kotovec.errors import ACCESS, InputError, quoted
from kotovec.text import counted

Line = tuple[int, str]  # its number from 1, and its text
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


def read_lines(path: Path, problems: Problems) -> Iterator[Line]:
    """Yield the lines of a file that are not blank, each with its number from 1 and without its end.

    Lines that are not UTF-8 are problems. What is a comment is up to the format; see `part_head`.

    Raises:
        InputError: the file cannot be read.
    """
    for number, line in enumerate(_bytes_of(path).split(b"\n"), start=1):
        if number == 1 and line.startswith(_UTF_16):
            problems.add(path, number, "is UTF-16, not UTF-8")
            return
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError:
            problems.add(path, number, "is not UTF-8")
            continue
        if text.strip():
            yield number, text


def part_head(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Return the lines that begin with `#` before the first other one, and the lines from there on.

    The first are comments where they are no items of the format: a token may be `#`.
    """
    count = next((index for index, (_, text) in enumerate(lines) if not text.startswith("#")), len(lines))
    return list(lines[:count]), list(lines[count:])


def _bytes_of(path: Path) -> bytes:
    hint = "name a file of a data set"
    if path.exists() and not path.is_file():
        raise InputError(f"{quoted(path)} is not a file", hint=hint)
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{quoted(path)} has more than {LARGEST >> 30} GB", hint=hint)
        return path.read_bytes()
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=ACCESS) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
