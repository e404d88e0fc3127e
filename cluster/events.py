"""What a build tells as it goes: plain values for whoever listens (the command line draws them)."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A phase began."""

    name: str


@dataclass(frozen=True)
class Progress:
    """So many of the tokens are encoded and written."""

    done: int
    total: int


@dataclass(frozen=True)
class Notice:
    """Something a person should know: a worker died, a rest of an earlier build is used."""

    text: str


Event = Phase | Progress | Notice
Report = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Listen to nothing."""
