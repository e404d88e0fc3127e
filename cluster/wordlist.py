"""A list of words: read from a file or any iterable, each word once, in its order; a million take some 30 MB."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from os import PathLike
from pathlib import Path

import numpy as np

from kotovec.errors import InputError, choices, quoted
from kotovec.store.files import open_descriptor
from kotovec.store.tokens import LONGEST, Strings
from kotovec.text import counted

MOST_WORDS = 1 << 23  # a store opens with twice as many
MOST_BYTES = 1 << 27  # of all words; a million have 10 MB
MOST_LINE = 1 << 20  # bytes of a line, which may have other columns
JSON_ENDINGS = (".jsonl", ".ndjson")
_BOM = b"\xef\xbb\xbf"
_NAMED = 8  # columns that an error names
_UTF8 = "save the file as UTF-8 text"


@dataclass(frozen=True, eq=False)
class Wordlist:
    """V words, each once, in their order.

    Attributes:
        words: the words.
        name: name of the file; empty for an iterable of Python.
        sha256: SHA-256 of the file's bytes; of an iterable, of its words with a line feed behind each.
        column: name of the column that the words are in, or empty.
        duplicates, blanks: numbers of words that were there before, and of lines without a word.
    """

    words: Strings
    name: str
    sha256: str
    column: str = ""
    duplicates: int = 0
    blanks: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the words themselves, whatever file or column they were in."""
        return hashlib.sha256(self.words.block).hexdigest()


def check_file(path: Path, column: str | None = None) -> None:
    """Check what can be seen of a file of words without reading it.

    Raises:
        InputError: there is none, it is not a regular file or cannot be read, or its format needs a column.
    """
    _open(path).close()
    if path.suffix.lower() in JSON_ENDINGS and not column:
        raise InputError(f"{path} is JSON lines", hint="name the key that holds the words with --words-column")


def hash_file(path: Path) -> str:
    """Return `Wordlist.sha256` of a file.

    Raises:
        InputError: as `check_file`.
    """
    with _open(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path, column: str | None = None) -> Wordlist:
    """Read a file of words: a word per line, up to a tab; or a column of tab-separated values or of JSON lines.

    Space around a word in text is no part of it; a word in JSON is as it stands.

    Args:
        path: the file; `.jsonl` and `.ndjson` are JSON lines.
        column: name of the column: in the first line of tab-separated values, or a key of JSON.

    Raises:
        InputError: the file cannot be read, is not UTF-8 text, lacks the column, or holds no word.
    """
    check_file(path, column)
    gathered = _Gathered(str(path))
    digest = hashlib.sha256()
    with _open(path) as file:
        lines = _lines(path, file, digest.update)
        for number, word in _words(path, lines, column):
            gathered.add(word, number)
    return gathered.finish(path.name, digest.hexdigest(), column or "")


def gather(words: Iterable[str]) -> Wordlist:
    """Return the words of an iterable.

    Raises:
        InputError: an item is not a text, is too long, or holds a NUL; or there is none.
    """
    gathered, digest = _Gathered("words", "item"), hashlib.sha256()
    for number, word in enumerate(words):
        if not isinstance(word, str):
            raise InputError(f"words: item {number} is a {type(word).__name__}", hint="give texts")
        gathered.add(word if word.strip() else "", number)
        digest.update(f"{word}\n".encode())
    return gathered.finish("", digest.hexdigest(), "")


def load(words: "str | PathLike[str] | Wordlist | Iterable[str]", column: str | None = None) -> Wordlist:
    """Return words as a list: those of a file, of an iterable, or a list that was read before."""
    if isinstance(words, Wordlist):
        return words
    return read(Path(words), column) if isinstance(words, str | PathLike) else gather(words)


class _Gathered:
    """The words so far: texts in one block and a hash of each, as a set of a million objects would take 100 MB."""

    def __init__(self, name: str, unit: str = "line") -> None:
        self._name, self._unit = name, unit
        self._block, self._hashes = bytearray(b"\0"), bytearray()
        self._count = self._blanks = 0

    def add(self, word: str, number: int) -> None:
        """Add a word, or count a blank one.

        Raises:
            InputError: the word cannot be in a table.
        """
        if not word:
            self._blanks += 1
            return
        try:
            encoded = word.encode()
        except UnicodeEncodeError as error:
            raise self._error(number, "holds half a surrogate pair, which is no character") from error
        if b"\0" in encoded:
            raise self._error(number, "holds a NUL character")
        if len(encoded) > LONGEST:
            raise self._error(number, f"holds a word of {len(encoded):,} bytes, over {LONGEST:,}", "one word per line")
        self._count += 1
        self._block += encoded + b"\0"
        if self._count > MOST_WORDS or len(self._block) > MOST_BYTES:
            most = f"{MOST_WORDS:,} words or {MOST_BYTES >> 20} MB"
            raise InputError(f"{self._name} holds more than {most}", hint="split it into several lists")
        self._hashes += hashlib.blake2b(encoded, digest_size=16).digest()

    def finish(self, name: str, sha256: str, column: str) -> Wordlist:
        """Return the list, in which each word is once, where it was first.

        Raises:
            InputError: there is no word.
        """
        if not self._count:
            raise InputError(f"{self._name} holds no word", hint="write one word per line")
        hashes = np.frombuffer(self._hashes, dtype=np.uint64).reshape(-1, 2)
        order = np.lexsort(hashes.T)  # stable: of equal ones, the first comes first
        ordered = hashes[order]
        first = np.ones(self._count, dtype=np.bool_)
        first[order[1:]] = (ordered[1:] != ordered[:-1]).any(axis=1)
        words = Strings(np.frombuffer(self._block, dtype=np.uint8))
        if not first.all():
            words = words.keep(first)
        return Wordlist(words, name, sha256, column, self._count - len(words), self._blanks)

    def _error(self, number: int, what: str, hint: str | None = None) -> InputError:
        return InputError(f"{self._name}: {self._unit} {number} {what}", hint=hint)


def _open(path: Path) -> BufferedReader:
    try:
        return open_descriptor(path)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}", hint="name a file of words with --words") from error
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} is no list of words ({reason})", hint="name a file of text with --words") from error


def _lines(path: Path, file: BufferedReader, update: Callable[[bytes], None]) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line, without its end."""
    for number, line in enumerate(_split(path, file, update), 1):
        if len(line) >= MOST_LINE:
            raise InputError(f"{path}: line {number} has more than {MOST_LINE:,} bytes", hint="write one word per line")
        if b"\0" in line:
            raise InputError(f"{path}: line {number} holds a NUL character", hint=_UTF8)
        if number == 1:
            line = line.removeprefix(_BOM)  # noqa: PLW2901 — of the first line alone
        try:
            yield number, line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: line {number} is not UTF-8", hint=_UTF8) from error


def _split(path: Path, file: BufferedReader, update: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield the lines of a file, or as much of one as makes it too long; CR alone ends a line of text, not of JSON."""
    ends = (b"\r\n", b"\n") if path.suffix.lower() in JSON_ENDINGS else (b"\r\n", b"\r")
    rest = b""
    while chunk := file.readline(MOST_LINE):
        if chunk.endswith(b"\r") and file.peek(1)[:1] == b"\n":
            chunk += file.read(1)
        update(chunk)
        for end in ends:
            chunk = chunk.replace(end, b"\n")
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) >= MOST_LINE:
            break
    if rest:
        yield rest


def _words(path: Path, lines: Iterator[tuple[int, str]], column: str | None) -> Iterator[tuple[int, str]]:
    """Yield the number of each line and its word; an empty text for a blank line."""
    if path.suffix.lower() in JSON_ENDINGS:
        return _of_json(path, lines, column or "")
    return _of_columns(path, lines, column)


def _of_columns(path: Path, lines: Iterator[tuple[int, str]], column: str | None) -> Iterator[tuple[int, str]]:
    index = 0
    if column is not None:
        names = next(lines, (0, ""))[1].split("\t")
        if column not in names:
            has = f"choose {choices(names[:_NAMED])} with --words-column"
            raise InputError(f"{path} has no column {quoted(column)} in its first line", hint=has)
        index = names.index(column)
    for number, line in lines:
        cells = line.split("\t")
        if index >= len(cells) and line.strip():
            problem = f"{path}: line {number} has {counted(len(cells), 'column')}, and the word is in the next"
            raise InputError(problem, hint="put a tab between columns")
        yield number, cells[index].strip() if index < len(cells) else ""


def _of_json(path: Path, lines: Iterator[tuple[int, str]], column: str) -> Iterator[tuple[int, str]]:
    hint = f'write one object per line, such as {{"{column}": "word"}}'
    for number, line in lines:
        if not line.strip():
            yield number, ""
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is not JSON", hint=hint) from error
        word = found.get(column) if isinstance(found, dict) else None
        if not isinstance(word, str):
            raise InputError(f"{path}: line {number} has no text under the key {quoted(column)}", hint=hint)
        yield number, word if word.strip() else ""
