"""What reading a corpus counted: bytes, lines, sentences, and every fault with its file and line."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 8  # faults of a kind that are kept with file and line; the rest are numbers

NOT_UTF8 = "lines that are not UTF-8"
TOO_LONG = "lines longer than 16 MB"
NOT_JSON = "lines that are not JSON objects"
HALF_PAIR = "texts with half a surrogate pair"
TRUNCATED = "truncated files"
DAMAGED = "damaged files"
NOT_CLOSED = "pages that are not closed"


_CURES = {
    NOT_UTF8: "save the files as UTF-8",
    HALF_PAIR: "save the files as UTF-8",
    NOT_JSON: "write one JSON object per line",
    TRUNCATED: "restore the files",
    DAMAGED: "restore the files",
}
_RECORDS = "records"  # what the faults of a field begin with


def cure(kind: str, otherwise: str) -> str:
    """Return what to do where a kind of fault leaves nothing of a corpus, or what else is to be done."""
    if kind.startswith(_RECORDS):
        return "name another field with --corpus-field"
    return f"{_CURES[kind]}, or {otherwise}" if kind in _CURES else otherwise


def no_field(name: str) -> str:
    """Return the kind of fault of a record that lacks a field, or has null in it."""
    return f"{_RECORDS} without the field '{name}'"


def no_text(name: str) -> str:
    """Return the kind of fault of a record whose field holds something else than text."""
    return f"{_RECORDS} whose field '{name}' is not text"


@dataclass(frozen=True, order=True)
class Fault:
    """Where something was skipped.

    Attributes:
        path: the file.
        start: where the piece starts in its file, as `Piece.start`.
        line: number of the line, from 1, within the piece; of the row in Parquet, of the page in a dump of Wikipedia.
        kind: what is wrong, in the plural, such as `lines that are not UTF-8`.
    """

    path: str
    start: int
    line: int
    kind: str


@dataclass
class Counts:
    """Numbers of a piece, or of pieces added up, in any order.

    Attributes:
        bytes: bytes of the lines that were read, decompressed; UTF-8 of the texts in Parquet.
        lines: lines, each in the piece of its first byte; rows of Parquet, pages of a dump of Wikipedia.
        documents: texts that are not blank: lines of plain text, fields of records, articles.
        sentences: sentences within the bounds, with repeated ones.
        too_short, too_long: sentences that the bounds in characters exclude.
        faults: number of skipped lines and files by kind.
        examples: the first faults of each kind, by path and line.
    """

    bytes: int = 0
    lines: int = 0
    documents: int = 0
    sentences: int = 0
    too_short: int = 0
    too_long: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    examples: tuple[Fault, ...] = ()

    def add(self, fault: Fault) -> None:
        """Count a fault, and keep it among the examples if it is one of the first."""
        self.faults[fault.kind] = count = self.faults.get(fault.kind, 0) + 1
        if count <= EXAMPLES or any(fault < each for each in self.examples if each.kind == fault.kind):
            self.examples = _first((*self.examples, fault))

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sum, which is the same whatever the order and the grouping of the summands."""
        return Counts(
            self.bytes + other.bytes,
            self.lines + other.lines,
            self.documents + other.documents,
            self.sentences + other.sentences,
            self.too_short + other.too_short,
            self.too_long + other.too_long,
            {
                kind: self.faults.get(kind, 0) + other.faults.get(kind, 0)
                for kind in sorted({*self.faults, *other.faults})
            },
            _first((*self.examples, *other.examples)),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        examples = [[each.path, each.start, each.line, each.kind] for each in self.examples]
        return {**vars(self), "faults": dict(sorted(self.faults.items())), "examples": examples}

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> "Counts":
        """Return what `as_json` wrote."""
        return cls(**{**written, "examples": tuple(Fault(*each) for each in written["examples"])})


def locate(counts: Iterable[tuple[str, int, Counts]]) -> list[Fault]:
    """Return the first faults of each kind, by path and line, which is counted from the beginning of the file.

    Args:
        counts: path, start and counts of every piece of the corpus.
    """
    before: dict[str, int] = defaultdict(int)  # lines of the pieces of a file so far
    found = []
    for path, _, each in sorted(counts, key=lambda piece: piece[:2]):
        found += [Fault(fault.path, 0, before[path] + fault.line, fault.kind) for fault in each.examples]
        before[path] += each.lines
    return list(_first(found))


def _first(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the first faults of each kind, by path and line."""
    kept: dict[str, int] = defaultdict(int)
    found = []
    for fault in sorted(faults):
        kept[fault.kind] += 1
        if kept[fault.kind] <= EXAMPLES:
            found.append(fault)
    return tuple(found)
