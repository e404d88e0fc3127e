"""A build's events as lines: a job without a terminal writes them, and `kotovec submit` draws them."""

import json
import os
import sys
from typing import Any, Self

from kotovec.cli.progress import Display
from kotovec.cluster.events import Event, Notice, Phase, Progress
from kotovec.cluster.pieces import MARK

VARIABLE = "KOTOVEC_EVENTS"  # set in a job's environment


class Lines:
    """Does what a `Display` does, as lines of JSON on stderr."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing open."""

    def close(self) -> None:
        """Do nothing: there is no bar."""

    def say(self, phase: str) -> None:
        """Write a phase."""
        self._write("phase", phase)

    def note(self, text: str) -> None:
        """Write a line for a person."""
        self._write("notice", text)

    def show(self, event: Event) -> None:
        """Write an event of the build."""
        match event:
            case Phase(name):
                self.say(name)
            case Progress(done, total):
                self._write("progress", [done, total])
            case Notice(text):
                self.note(text)

    def _write(self, kind: str, value: Any) -> None:
        print(MARK + json.dumps({kind: value}), file=sys.stderr, flush=True)


def open_display(*, quiet: bool) -> Display | Lines:
    """Return what shows a build: to a person, or in a job to whoever reads its log."""
    return Lines() if os.environ.get(VARIABLE) else Display(quiet=quiet)


def read_event(line: str) -> Event | None:
    """Return the event in a line of a job's log, or None where it holds none."""
    if not line.startswith(MARK):
        return None
    try:
        record = json.loads(line.removeprefix(MARK))
    except ValueError:  # another process wrote into the line
        return None
    match record:
        case {"phase": str(name)}:
            return Phase(name)
        case {"progress": [int(done), int(total)]}:
            return Progress(done, total)
        case {"notice": str(text)}:
            return Notice(text)
    return None
