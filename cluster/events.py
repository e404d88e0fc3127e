"""The events that a build reports: plain values for any listener (the command line draws them)."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Phase:
    """A phase began."""

    name: str


@dataclass(frozen=True)
class Detail:
    """What the phase that runs has found, for a person: shown when it ends."""

    text: str


@dataclass(frozen=True)
class Progress:
    """Progress: `done` of `total` are encoded and written, or scanned.

    Attributes:
        done, total: numbers of tokens, of words of a list, or of bytes of a corpus.
        unit: which of them: `token`, `word` or `byte`.
        note: what else there is to say so far, for a person.
    """

    done: int
    total: int
    unit: str = field(default="token", repr=False)
    note: str = field(default="", repr=False)


@dataclass(frozen=True)
class Notice:
    """A message for the user: a worker died, or shards of an earlier build are used."""

    text: str


Event = Phase | Detail | Progress | Notice
Report = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Ignore an event."""
