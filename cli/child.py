"""A build in a child process: Ray replaces the signal handlers there, and Ctrl-C here only has to kill the child."""

import contextlib
import fcntl
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Self

from kotovec import errors, limits
from kotovec.cli.events import Lines, parse, read_event
from kotovec.cli.interrupts import TERMINATED
from kotovec.cluster.events import Report
from kotovec.errors import ACCESS, RESUME, KotovecError, StoreError, WorkerError, first_line

Result = dict[str, Any]
Work = Callable[[Report], Result]
_STDERR = 2


def can_fork() -> bool:
    """Return whether a forked process could do the work of this one.

    The command line's own process can be forked: it has one thread and has loaded nothing heavy. Another process, such
    as a test's, may have loaded Ray or torch: its fork would lack their threads, and would wait for them for ever.
    """
    ray: Any = sys.modules.get("ray")
    running = ray is not None and ray.is_initialized()
    return not running and "torch" not in sys.modules and threading.active_count() == 1


class Child:
    """A forked process in its own session; within the block, Ctrl-C and SIGTERM kill it and its process group.

    The child receives neither signal itself: the terminal signals only the process group of its parent. It ends with
    its parent, however that ends, through the SIGIO that the kernel sends when the other end of a pipe is closed. A
    thread that waits for this would also wait for an import in progress, and `prctl` exists only on Linux.

    No signal handler raises: Python drops what is raised within a `__del__`.

    Args:
        held: whether what libraries print on stderr is held back, and forgotten if the work fails: the error says why.
        quiet: whether it is forgotten in any case.
    """

    def __init__(self, *, held: bool = False, quiet: bool = False) -> None:
        self._held, self._quiet = held, quiet
        self._printed: int | None = None
        self._pid = 0
        self._status = 0
        self._interrupted = 0  # the number of the signal
        self._before: dict[int, Any] = {}
        self._pipes = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A process that a script starts in the background ignores SIGINT, and must continue to.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for number, handler in self._before.items():
            # After an interruption, this process only cleans up and ends.
            signal.signal(number, signal.SIG_IGN if self._interrupted else handler)

    def start(self, work: Work) -> None:
        """Start the work.

        Raises:
            KeyboardInterrupt, SystemExit: a signal has already arrived.
        """
        if self._interrupted:
            raise self._interruption()
        reader, writer = os.pipe()
        watched, held = os.pipe()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()  # or both processes would write what is in the buffer
        if self._held:
            self._printed = _hold()
            self._pipes.callback(os.close, self._printed)
        self._pid = os.fork()
        if not self._pid:
            os.close(held)
            self._be(work, writer, watched)
        os.close(writer)
        os.close(watched)
        self._pipes.callback(os.close, held)
        self._lines = self._pipes.enter_context(os.fdopen(reader, encoding="utf-8"))
        if self._interrupted:
            self._kill()

    def result(self, report: Report) -> Result:
        """Report the events of the work until it ends; return what it returned, or raise what it raised.

        Raises:
            KeyboardInterrupt: Ctrl-C has arrived.
            SystemExit: SIGTERM has arrived.
            WorkerError: the process was killed.
        """
        result = self._read(report)
        if result is not None and not self._quiet:
            self._print()
        self.end()
        if result is not None:
            return result
        if self._interrupted:
            raise self._interruption()
        how = os.waitstatus_to_exitcode(self._status)
        end = f"was killed by {signal.Signals(-how).name} (out of memory?)" if how < 0 else f"exited with {how}"
        raise WorkerError(f"the process that builds {end}", hint=RESUME)

    def _print(self) -> None:
        """Print what libraries printed."""
        if self._printed is not None and sys.stderr is not None:
            size = os.fstat(self._printed).st_size
            sys.stderr.write(os.pread(self._printed, size, 0).decode(errors="replace"))

    def end(self) -> None:
        """Kill the process if it still runs; a build loses no completed shard by it."""
        if self._pid:
            self._kill()
            _, self._status = os.waitpid(self._pid, 0)
            self._pid = 0
        self._pipes.close()

    def _read(self, report: Report) -> Result | None:
        for line in self._lines:
            match parse(line):
                case {"result": dict(result)}:
                    return result
                case {"error": [str(name), str(message), str() | None as hint, str(trace)]}:
                    raise _error(name, message, hint, trace)
            if event := read_event(line):
                report(event)
        return None

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self._interrupted = self._interrupted or number
        self._kill()

    def _interruption(self) -> BaseException:
        return SystemExit(TERMINATED) if self._interrupted == signal.SIGTERM else KeyboardInterrupt()

    def _kill(self) -> None:
        if self._pid:  # 0 in the child, which may receive a signal before it has its own group
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    kill(self._pid, signal.SIGKILL)

    def _be(self, work: Work, writer: int, watched: int) -> None:
        """Do the work in the child, and exit at once: Python would wait for threads, and Ray for a second."""
        try:
            os.setsid()
            fcntl.fcntl(watched, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(watched, fcntl.F_SETFL, os.O_ASYNC)
            _reset(self._before)
            if self._printed is not None:
                os.dup2(self._printed, _STDERR)
            with os.fdopen(writer, "w", encoding="utf-8") as stream:
                lines = Lines(stream)
                try:
                    lines.write("result", work(lines.show))
                except BaseException as error:  # noqa: BLE001 — raised by the parent
                    lines.write("error", [*_described(error), traceback.format_exc()])
        finally:
            os._exit(0)


def _hold() -> int:
    """Return a descriptor of a file without a name, which needs no folder that can be written to."""
    return os.memfd_create("stderr") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)


def _described(error: BaseException) -> tuple[str, str, str | None]:
    """Return the name of an error's type, its message and its hint; those of a limit where that is the cause."""
    if limit := limits.explain(error):
        return KotovecError.__name__, *limit
    if isinstance(error, KotovecError):
        return type(error).__name__, str(error), error.hint
    if isinstance(error, PermissionError) and error.filename is not None:
        return StoreError.__name__, f"{error.filename} cannot be opened: {error.strerror}", ACCESS
    return type(error).__name__, first_line(error), None


def _reset(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)


def _error(name: str, message: str, hint: str | None, trace: str) -> Exception:
    """Return the error that the child raised; of a library's, which is not imported here, only name and message."""
    known: type[KotovecError] | None = getattr(errors, name, None)
    error: Exception = type(name, (Exception,), {})(message) if known is None else known(message, hint=hint)
    error.add_note(trace)
    return error
