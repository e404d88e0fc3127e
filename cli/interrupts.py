"""SIGTERM and Ctrl-C: what a command tidies up before it ends, and where it need not."""

import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from kotovec.deaf import around

INTERRUPTED, TERMINATED = 130, 143  # what a shell reports for a process that Ctrl-C or SIGTERM ended
GRACE = 2.0  # seconds in which a child process may tidy up; UMAP's compiled loops do not hear of signals for longer
_SAID = b"error: interrupted\n"


def leave_at_once() -> None:
    """Let Ctrl-C and SIGTERM end the process in one line while the command line is imported."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for number, handler in usual.items():
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is handler:
            signal.signal(number, _leave)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, _SAID)
    os._exit(128 + number)


def hear_interrupts() -> None:
    """Let Ctrl-C and SIGTERM raise exceptions from now on, so that locks and partial files are deleted."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hear_sigterm()


def hear_sigterm() -> None:
    """Let SIGTERM raise `SystemExit(143)`, so that locks and partial files are deleted; by default nothing would be."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) in (
        signal.SIG_DFL,
        _leave,
    ):
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process in one line within the block; nothing may need tidying.

    While a library is `deaf`, they end it without the line: a Python handler would wait until the library returns.
    """
    with _handled({signal.SIGINT: _leave, signal.SIGTERM: _leave}):
        token = around.set(partial(_handled, {signal.SIGINT: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL}))
        try:
            yield
        finally:
            around.reset(token)


@contextlib.contextmanager
def _handled(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Let handlers take the place of the usual ones within the block; an ignored signal stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in handlers}
    changed = {number: old for number, old in before.items() if old in (signal.default_int_handler, _terminate, _leave)}
    for number in changed:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number, old in changed.items():
            signal.signal(number, old)


def in_child(work: Callable[[], int]) -> int:
    """Run some work in a forked process and return its exit code, so that a library may hear no signals, or crash.

    Ctrl-C and SIGTERM are handed on once, for the work to tidy up; after `GRACE`, or at the second one, it is killed.
    It ends with this process, however that ends, as a build does.

    Args:
        work: returns an exit code, or raises `SystemExit`.

    Returns:
        The exit code, or, negative, the number of the signal that killed the process, which nobody here sent.
    """
    watched, held = os.pipe()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    heard = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)  # until both processes have their own handlers
    pid = os.fork()
    if not pid:
        os.close(held)
        _be(work, watched, heard)
    os.close(watched)
    interrupted = 0

    def kill(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            kill()
            return
        interrupted = number
        signal.setitimer(signal.ITIMER_REAL, GRACE)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def stop(number: int, _frame: FrameType | None) -> None:
        """Stop both processes, as Ctrl-Z asks, until the shell continues this one."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, stop)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        signal.signal(signal.SIGTSTP, stop)
    for number in heard:
        signal.signal(number, kill if number == signal.SIGALRM else hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.close(held)
    if code < 0 and interrupted:
        os.write(2, _SAID)
        return 128 + interrupted
    return code


def _be(work: Callable[[], int], watched: int, heard: Iterable[signal.Signals]) -> NoReturn:
    """Do the work in the forked process, and exit at once."""
    code: object = 1
    try:
        os.setsid()  # the terminal signals only the parent, which hands it on
        fcntl.fcntl(watched, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(watched, fcntl.F_SETFL, os.O_ASYNC)  # SIGIO, which ends it, when the parent's end is closed
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
        code = work()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except SystemExit as error:
        code = error.code
    except (KeyboardInterrupt, BrokenPipeError) as error:
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 0
    finally:
        os._exit(code if isinstance(code, int) else 1)
