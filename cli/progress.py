"""The display of a running build."""

from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text

from kotovec.cli.tables import console
from kotovec.cluster.events import Event, Notice, Phase, Progress
from kotovec.text import escaped


class Display:
    """Shows phases and a progress bar if stderr is a terminal, and notices in any case; nothing if quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._console, self._quiet = console(stderr=True), quiet
        self._bar: Any = None
        if self._console.is_terminal and not quiet:
            self._bar = ProgressBar(
                TextColumn("{task.description}", markup=False),
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
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def say(self, phase: str) -> None:
        """Show a phase at once: a job's log arrives in pieces, and the next phase may be in the same one."""
        if self._bar is not None:
            self._bar.update(self._task, description=escaped(phase), refresh=True)

    def note(self, text: str) -> None:
        """Print a note, unless quiet."""
        if not self._quiet:
            self._console.print(Text(f"note: {escaped(text)}"), soft_wrap=True)

    def show(self, event: Event) -> None:
        """Show an event of the build."""
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
