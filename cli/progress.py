"""The display of a running command: its steps with their seconds, on a terminal live, elsewhere as plain lines."""

import threading
import time
from collections.abc import Callable
from typing import Any, Self

from rich.progress import BarColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text

from kotovec.cli.encodings import message, own
from kotovec.cli.lines import broken
from kotovec.cli.tables import console
from kotovec.cluster.events import Detail, Event, Notice, Phase, Progress
from kotovec.text import escaped

# Without a terminal, a line after so many seconds, or so much of the work, but no more than one per second.
LINE_SECONDS, LINE_SHARE, SECOND = 10.0, 0.05, 1.0
SHORT = 0.05  # seconds: a step that took less, and found nothing, is not worth a line
TEN_MB = 1e7  # bytes from which on a decimal says nothing
_SPINNER = ("dots", "line")  # the latter in ASCII
BAR, WIDE = 20, 72  # columns of the bar, and of a terminal that has room for it
# While a step runs, and when it is done.
STEPS = {
    "planning": ("planning", "plan"),
    "start": ("starting Ray", "start Ray"),
    "load": ("starting workers", "start workers"),
    "scan": ("scanning", "scan"),
    "gather": ("gathering sentences", "gather"),
    "encode": ("encoding", "encode"),
    "merge": ("merging", "merge"),
    "index": ("indexing", "index"),
}


class _Bar(BarColumn):
    """A bar, where the end is known."""

    def render(self, task: Task) -> Any:
        """Return the bar of a task, or nothing."""
        return super().render(task) if task.total is not None else Text("")


class Display:
    """Shows the steps of a command on stderr, and notices; nothing if quiet.

    Args:
        quiet: show nothing.
        lasting: whether finished steps are also printed where there is no terminal.
        clock: returns the time in seconds.
    """

    def __init__(self, *, quiet: bool, lasting: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._quiet, self._clock = console(stderr=True), quiet, clock
        self._is_live = self._console.is_terminal and not quiet
        self._lasting = self._is_live or (lasting and not quiet)
        self._step, self._detail, self._begun = "", "", clock()
        self._first = self._done = self._total = 0
        self._unit, self._note = "token", ""
        self._printed, self._share = clock(), 0.0  # when the last plain line was, and at which share
        self._over: list[str] = []  # lines of finished steps, not yet printed
        self._any_line = False  # whether any line was
        self._lock, self._ended = threading.RLock(), threading.Event()
        self._bar: Any = None
        if self._is_live:
            bar = [_Bar(bar_width=BAR)] if self._console.width >= WIDE else []
            text = TextColumn("{task.description}{task.fields[text]}", markup=False)
            self._bar = ProgressBar(
                SpinnerColumn(_SPINNER[self._console.options.ascii_only]),
                text,
                *bar,
                _Seconds(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, text="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        elif not self._quiet:
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._finish()
        self.close()

    def close(self) -> None:
        """Remove the live line."""
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()

    def say(self, phase: str) -> None:
        """Begin a step, which ends the one before; the step that already runs continues."""
        with self._lock:
            if phase == self._step:
                return
            self._finish()
            self._step, self._begun = phase, self._clock()
            if self._bar is not None:
                # At once: a job's log arrives in pieces, and the next step may be in the same one.
                self._bar.reset(self._task, description=_names(phase)[0], total=None, text="")
                self._bar.refresh()

    def forget(self) -> None:
        """Let the step that runs end without a line: there was nothing to do."""
        self._step = ""

    def note(self, text: str) -> None:
        """Print a note, unless quiet."""
        if not self._quiet:
            self._print(f"note: {escaped(text)}")

    def _print(self, text: str) -> None:
        """Print a text above the live line, in lines that fit."""
        self._console.print(Text(broken(message(text, stderr=True), self._console.width, follow="  ")), soft_wrap=True)

    def show(self, event: Event) -> None:
        """Show an event of the build."""
        match event:
            case Phase(name):
                self.say(name)
            case Detail(text):
                self._detail = text
            case Progress(done, total, unit, note):
                self._unit, self._note = unit, note
                self._advance(done, total)
            case Notice(text):
                self.note(text)

    def _advance(self, done: int, total: int) -> None:
        with self._lock:
            if not self._total:
                self._first, self._share = done, done / max(1, total)
            self._done, self._total = done, total
            if self._bar is not None:
                text = f"  {self._amount()}"
                self._bar.update(self._task, completed=done, total=total, text=text, refresh=done == total)
            elif done / max(1, total) >= self._share + LINE_SHARE and done < total and self._lasts():
                self._print_running()

    def _finish(self) -> None:
        """End the step that runs, and print it, unless it was over at once."""
        with self._lock:
            detail = self._detail
            if self._total:
                detail = f"{_amount(self._total, self._unit)}{self._speed()}{self._noted()}"
            seconds = self._clock() - self._begun
            if self._step and self._lasting and (detail or seconds >= SHORT):
                name = escaped(_names(self._step)[1])
                if self._is_live:
                    aligned = f"{name:<13}" if self._console.width >= WIDE else name
                    parts = filter(None, (aligned, message(detail, stderr=True), f"{seconds:.1f} s"))
                    lines = broken("  ".join(parts), self._console.width - 2)
                    shown = Text.assemble((own("✓", stderr=True), "green"), " ", lines.replace("\n", "\n  "))
                    self._console.print(shown, soft_wrap=True)
                else:
                    # Kept until something takes long: a command that fails at once prints its error alone.
                    self._over.append(f"{name}: {', '.join(filter(None, (detail, f'{seconds:.1f} s')))}")
                    if self._any_line or self._clock() - self._printed >= LINE_SECONDS:
                        self._line()
            self._step = self._detail = ""
            self._first = self._done = self._total = 0
            self._note = ""

    def _amount(self) -> str:
        if self._is_live and self._console.width < WIDE:
            return f"{self._done / max(1, self._total):.0%}"
        done = _amount(self._done, self._unit).partition(" ")[0]
        return f"{done}/{_amount(self._total, self._unit)}{self._speed()}{self._noted()}"

    def _speed(self) -> str:
        seconds, done = self._clock() - self._begun, self._done - self._first
        return f", {_amount(done / seconds, self._unit)}/s" if done and seconds > 0 else ""

    def _noted(self) -> str:
        return f", {self._note}" if self._note else ""

    def _beat(self) -> None:
        """Print a line wherever none was printed for a while."""
        while not self._ended.wait(LINE_SECONDS / 20):
            with self._lock:
                if self._step and self._clock() - self._printed >= LINE_SECONDS and self._lasts():
                    self._print_running()

    def _lasts(self) -> bool:
        """Return whether a line is worth it: the step runs, and the last line was, a second ago or more."""
        return self._clock() - max(self._printed, self._begun) >= SECOND

    def _print_running(self) -> None:
        """Print a line about the step that runs: how far it is, and since when."""
        if self._total:
            self._share = self._done / self._total
        amount = f"{self._share:.0%}, {self._amount()}" if self._total else self._detail
        seconds = f"{self._clock() - self._begun:.0f} s"
        self._line(f"{escaped(_names(self._step)[0])}: {', '.join(filter(None, (amount, seconds)))}")

    def _line(self, *texts: str) -> None:
        """Print lines, after those of the steps that were over before."""
        self._printed, self._any_line = self._clock(), True
        if not self._quiet:
            for each in (*self._over, *texts):
                self._print(each)
        self._over.clear()


class _Seconds(TextColumn):
    """The seconds since a step began, and, where that can be known, until it ends."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Return the seconds of a task."""
        left = f", {task.time_remaining:.0f} s left" if task.total and task.time_remaining else ""
        return Text(f"{task.elapsed or 0:.0f} s{left}")


def _amount(number: float, unit: str) -> str:
    """Return a number of tokens or words, or of bytes in MB."""
    if unit != "byte":
        return f"{number:,.0f} {unit}s"
    return f"{number / 1e6:,.{0 if number >= TEN_MB else 1}f} MB"


def _names(step: str) -> tuple[str, str]:
    return STEPS.get(step, (step, step))
