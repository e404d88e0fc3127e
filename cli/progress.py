"""What a build shows while it runs, and how it is interrupted."""

import math
import os
import signal
import sys
import threading
import time
import warnings
from types import FrameType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text

from kotovec.cli.tables import console, harmless
from kotovec.cluster.events import Event, Notice, Phase, Progress

TIDY_SECONDS = 5.0  # within which an interrupted build has ended


class Interrupts:
    """Lets Ctrl-C and SIGTERM end a build alike, even when they arrive while Ray forks or forgets an actor.

    Python drops an exception that a signal handler raises within a fork or a `__del__`, with a traceback on stderr:
    it is raised again in a moment, and whoever listens to a build looks at `check` as well. A second signal in a row
    would only interrupt the tidying that the first one began.
    """

    def __init__(self) -> None:
        self._arrived = -math.inf
        self._before: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            # What a script starts in the background ignores SIGINT, and goes on doing so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._interrupt)
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._again
        return self

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._unraisable
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            # Once interrupted, this process only ends: some 1.5 s more, in which Python would put defaults in place.
            signal.signal(number, signal.SIG_IGN if self._arrived > -math.inf else handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived."""
        if self._arrived > -math.inf:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self._number, now = number, time.monotonic()
        if now - self._arrived > TIDY_SECONDS:
            self._arrived = now
            warnings.simplefilter("ignore")  # Cython's modules warn when their import is interrupted
            raise KeyboardInterrupt

    def _again(self, dropped: Any) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            self._unraisable(dropped)
            return
        self._arrived = -math.inf
        self._timer = threading.Timer(0.1, os.kill, (os.getpid(), self._number))
        self._timer.daemon = True
        self._timer.start()


class Display:
    """Phases and a bar for tokens on a terminal's stderr; notices always, unless quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._console, self._quiet = console(stderr=True), quiet
        self._bar: Any = None
        if self._console.is_terminal and not quiet:
            self._bar = ProgressBar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("plan", total=None, rate="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def say(self, phase: str) -> None:
        """Show a phase, at once: a job's log comes in pieces, and the next phase may stand in the same one."""
        if self._bar is not None:
            self._bar.update(self._task, description=phase, refresh=True)

    def note(self, text: str) -> None:
        """Print a line for a person."""
        if not self._quiet:
            self._console.print(Text(f"note: {harmless(text)}"), soft_wrap=True)

    def show(self, event: Event) -> None:
        """Draw an event of the build."""
        match event:
            case Phase(name):
                self.say(
                    {"start": "starting Ray", "load": "starting workers", "encode": "encoding", "merge": "merging"}.get(
                        name, name
                    )
                )
            case Progress(done, total) if self._bar is not None:
                task = self._bar.tasks[0]
                speed = f"{task.speed:,.0f} tokens/s" if task.speed else ""
                self._bar.update(self._task, completed=done, total=total, rate=speed)
            case Notice(text):
                self.note(text)
