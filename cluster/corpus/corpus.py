"""A corpus: which files are read, how they are cut into sentences, and pieces of them for workers to read."""

from dataclasses import dataclass

from kotovec.cluster.corpus.kinds import Kind, kind_of
from kotovec.errors import InputError, quoted

FIELD = "text"  # of JSON lines and Parquet, where none is named
SENTENCE, LINE = "sentence", "line"
FEWEST_CUT = 8  # characters of `--split N`


@dataclass(frozen=True)
class Corpus:
    """What is read, and how it is cut.

    Attributes:
        paths: files, folders, patterns (`*`, `?`, `[…]`, `**`) and URLs that fsspec knows.
        field: field of JSON lines, column of Parquet; None is `text`.
        split: `sentence`, `line`, or a number of characters as text: `200`.
        min_chars, max_chars: bounds of a sentence in characters; others are counted and not used.

    Raises:
        InputError: nothing is named, the split is none of these, or no sentence can be within the bounds.
    """

    paths: tuple[str, ...]
    field: str | None = None
    split: str = SENTENCE
    min_chars: int = 8
    max_chars: int = 512

    def __post_init__(self) -> None:
        if not self.paths:
            raise InputError("no corpus is named", hint="name files, folders or URLs with --corpus")
        if not 1 <= self.min_chars <= self.max_chars:
            raise InputError(
                f"no sentence has at least {self.min_chars:,} and at most {self.max_chars:,} characters",
                hint="choose --min-chars of at least 1 and --max-chars of at least as many",
            )
        if self.split not in (SENTENCE, LINE):
            self._check_characters()

    def _check_characters(self) -> None:
        if not (self.split.isascii() and self.split.isdigit() and int(self.split) >= FEWEST_CUT):
            raise InputError(
                f"unknown split {quoted(self.split)}",
                hint=f"choose `{SENTENCE}`, `{LINE}`, or a number of characters from {FEWEST_CUT}",
            )
        if not self.min_chars <= int(self.split) <= self.max_chars:
            raise InputError(
                f"texts of {int(self.split):,} characters are not within {self.min_chars:,} to {self.max_chars:,}",
                hint=f"choose --min-chars and --max-chars around --split {self.split}",
            )

    @property
    def text_field(self) -> str:
        """The field that holds the text."""
        return FIELD if self.field is None else self.field

    @property
    def characters(self) -> int | None:
        """Characters of a piece of text, where texts are cut by their length."""
        return None if self.split in (SENTENCE, LINE) else int(self.split)


@dataclass(frozen=True, order=True)
class CorpusFile:
    """A file of a corpus.

    Attributes:
        path: absolute path, or URL.
        size: bytes; 0 where a server does not report it.
        stamp: changes with the content: the time of the last change in ns; of a URL, its ETag or what stands for it.
        whole: whether it can only be read from its beginning to its end, as its server sends no ranges.
    """

    path: str
    size: int
    stamp: str
    whole: bool = False

    @property
    def kind(self) -> Kind:
        """Form and compression.

        Raises:
            InputError: unknown.
        """
        kind = kind_of(self.path)
        if kind is None:
            raise InputError(f"{self.path} is of no known kind")
        return kind


@dataclass(frozen=True)
class Piece:
    """What one task reads.

    Attributes:
        number: its number in the corpus, from 0.
        file: the file that it is of.
        start, stop: bytes of text and JSON lines, where a line belongs to the piece of its first byte; row groups of
            Parquet; 0 and the size of a compressed file, which is one piece.
        size: its share of the bytes of the file, for progress.
    """

    number: int
    file: CorpusFile
    start: int
    stop: int
    size: int
