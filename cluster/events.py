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
    """Progress: `done` of `total` tokens, or words of a list, are encoded and written."""

    done: int
    total: int
    unit: str = field(default="token", repr=False)


@dataclass(frozen=True)
class Notice:
    """A message for the user: a worker died, or shards of an earlier build are used."""

    text: str


Event = Phase | Detail | Progress | Notice
Report = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Ignore an event."""
