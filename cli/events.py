"""A build's events as lines of JSON, which a child process or a job writes, and the process that reads them shows."""

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Self, TextIO

from kotovec.cluster.events import Detail, Event, Notice, Phase, Progress
from kotovec.cluster.pieces import MARK

if TYPE_CHECKING:
    from kotovec.cli.progress import Display

VARIABLE = "KOTOVEC_EVENTS"  # set in a job's environment
MOST_TEXTS = 2  # of a progress: its unit and a note


class Lines:
    """Has the methods of a `Display`, and writes lines of JSON to a stream, by default stderr."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the stream stays open."""

    def close(self) -> None:
        """Do nothing: there is no bar."""

    def say(self, phase: str) -> None:
        """Write a phase."""
        self.write("phase", phase)

    def forget(self) -> None:
        """Do nothing: a phase has no end."""

    def note(self, text: str) -> None:
        """Write a notice."""
        self.write("notice", text)

    def show(self, event: Event) -> None:
        """Write an event of the build."""
        match event:
            case Phase(name):
                self.say(name)
            case Detail(text):
                self.write("detail", text)
            case Progress(done, total, unit, note):
                rest = (unit, note) if note else () if unit == "token" else (unit,)
                self.write("progress", [done, total, *rest])
            case Notice(text):
                self.note(text)

    def write(self, kind: str, value: Any) -> None:
        """Write a record with one key."""
        print(MARK + json.dumps({kind: value}), file=self._stream, flush=True)


def open_display(*, quiet: bool, lasting: bool = False) -> "Display | Lines":
    """Return what shows a build: a `Display` for a person, or `Lines` in a job, for the reader of its log."""
    if os.environ.get(VARIABLE):
        return Lines()
    from kotovec.cli.progress import Display

    return Display(quiet=quiet, lasting=lasting)


def parse(line: str) -> Any:
    """Return the record in a line, or None if it has none."""
    if not line.startswith(MARK):
        return None
    try:
        return json.loads(line.removeprefix(MARK))
    except (ValueError, RecursionError):  # another process wrote into the line, or its writer was killed
        return None


def read_event(line: str) -> Event | None:
    """Return the event in a line, or None if it has none."""
    match parse(line):
        case {"phase": str(name)}:
            return Phase(name)
        case {"detail": str(text)}:
            return Detail(text)
        case {"progress": [int(done), int(total), *rest]} if len(rest) <= MOST_TEXTS:
            return Progress(done, total, *map(str, rest))
        case {"notice": str(text)}:
            return Notice(text)
    return None
