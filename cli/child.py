"""A build in a process of its own: what Ray does to signal handlers it does there, and Ctrl-C here only ends it."""

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

from kotovec import errors
from kotovec.cli.events import Lines, parse, read_event
from kotovec.cluster.events import Report
from kotovec.errors import KotovecError, WorkerError, first_line

Result = dict[str, Any]
Work = Callable[[Report], Result]


def can_fork() -> bool:
    """Tell whether a forked process could do the work of this one.

    The command line's own process can: it has one thread and nothing heavy. In somebody else's, as in a test, the
    fork of a Ray or of torch's threads would wait for ever for the ones that it has not.
    """
    ray: Any = sys.modules.get("ray")
    running = ray is not None and ray.is_initialized()
    return not running and "torch" not in sys.modules and threading.active_count() == 1


class Child:
    """A forked process in a session of its own; for the block, Ctrl-C and SIGTERM end it and all that is of its group.

    It hears neither itself: the terminal signals this process' group alone. It ends with this process however that
    ends, by the SIGIO that the kernel sends where a pipe's other end is closed: a thread that waits for that would wait
    for the import that is under way as well, and `prctl` is Linux' alone.

    Nothing is raised out of a signal handler: Python drops what is raised within a `__del__`.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._status = 0
        self._interrupted = False
        self._before: dict[int, Any] = {}
        self._pipes = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            # What a script starts in the background ignores SIGINT, and goes on doing so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for number, handler in self._before.items():
            # Once interrupted, this process only tidies and ends.
            signal.signal(number, signal.SIG_IGN if self._interrupted else handler)

    def start(self, work: Work) -> None:
        """Start the work.

        Raises:
            KeyboardInterrupt: a signal has arrived already.
        """
        if self._interrupted:
            raise KeyboardInterrupt
        reader, writer = os.pipe()
        watched, held = os.pipe()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()  # or both processes would write what is in the buffer
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
            KeyboardInterrupt: a signal has arrived.
            WorkerError: the process was killed.
        """
        result = self._read(report)
        self.end()
        if result is not None:
            return result
        if self._interrupted:
            raise KeyboardInterrupt
        how = os.waitstatus_to_exitcode(self._status)
        told = f"was killed by {signal.Signals(-how).name} (out of memory?)" if how < 0 else f"exited with {how}"
        raise WorkerError(f"the process that builds {told}: the same command goes on with what is whole")

    def end(self) -> None:
        """Kill what there still is: a build loses nothing by it."""
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
                case {"error": [str(name), str(message), str(trace)]}:
                    raise _error(name, message, trace)
            if event := read_event(line):
                report(event)
        return None

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupted = True
        self._kill()

    def _kill(self) -> None:
        if self._pid:  # it is 0 in the child, which may meet a signal before it has its own group
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    kill(self._pid, signal.SIGKILL)

    def _be(self, work: Work, writer: int, watched: int) -> None:
        """Do the work in the child, and end it: Python's own end would wait for threads, and Ray's for a second."""
        try:
            os.setsid()
            fcntl.fcntl(watched, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(watched, fcntl.F_SETFL, os.O_ASYNC)
            _reset(self._before)
            with os.fdopen(writer, "w", encoding="utf-8") as stream:
                lines = Lines(stream)
                try:
                    lines.write("result", work(lines.show))
                except BaseException as error:  # noqa: BLE001 — raised by the parent
                    message = str(error) if isinstance(error, KotovecError) else first_line(error)
                    lines.write("error", [type(error).__name__, message, traceback.format_exc()])
        finally:
            os._exit(0)


def _reset(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)


def _error(name: str, message: str, trace: str) -> Exception:
    """Return an error as the child raised it; of one of a library's, which is not imported here, name and message."""
    error: Exception = (getattr(errors, name, None) or type(name, (Exception,), {}))(message)
    error.add_note(trace)
    return error
