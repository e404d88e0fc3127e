"""Ctrl-C and SIGTERM while Ray starts and ends, when it sets, drops and is broken by handlers of its own."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from types import FrameType
from typing import Any

RENEW_SECONDS = 0.01
SHUTDOWN_SECONDS = 20.0  # where its server has died, Ray needs seven
SHUTDOWN_THREAD = "kotovec-shutdown"  # where it still runs, Python must not try to end it at exit


@contextlib.contextmanager
def own_signals(wait: Callable[[FrameType | None], bool] = lambda _: True) -> Iterator[Callable[[], None]]:
    """Keep this process' handlers of Ctrl-C and SIGTERM for the block; where `wait` says so, they wait for its end.

    Gives a function that sets them anew, where C++ has taken them away.

    Ray sets a handler of SIGTERM, which exits with 1. And where a handler raises in the midst of Ray's `connect` or
    of its shutdown, the process ends in a segmentation fault. While it connects, Ray's C++ has a handler of SIGTERM
    that prints a trace, calls ours, and has the process aborted by an alarm three seconds later.

    Args:
        wait: told the frame that a signal interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # signals arrive in the main thread, and only it may set handlers
        return
    module: Any = signal
    really_set = module.signal
    current = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in current.items() if callable(handler)}
    arrived: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if wait(frame):
            arrived.append(number)
        else:
            handlers[signal.Signals(number)](number, frame)

    def pretend_to_set(number: Any, handler: Any) -> Any:
        return handlers[number] if number in handlers else really_set(number, handler)

    def renew() -> None:
        for number in handlers:
            really_set(number, handle)

    renew()
    module.signal = pretend_to_set
    try:
        yield renew
    finally:
        module.signal = really_set
        for number, handler in handlers.items():
            really_set(number, handler)
        if arrived:
            signal.alarm(0)
            signal.raise_signal(arrived[0])


def connecting(frame: FrameType | None) -> bool:
    """Tell whether Ray is connecting: some 0.3 of the 4 seconds that its start takes.

    Or whether `logging` is at work: a handler that raises there can leave its lock locked, for which all else waits.
    """
    while frame is not None:
        module = frame.f_globals.get("__name__")
        # Not the `connect` of Ray's client, which can take minutes.
        if module == "logging" or (frame.f_code.co_name, module) == ("connect", "ray._private.worker"):
            return True
        frame = frame.f_back
    return False


def end_ray(shutdown: Callable[[], None]) -> None:
    """Shut Ray down; a signal that arrives meanwhile waits for its end.

    Its C++ puts SIGTERM's default in the handler's place, which ends a process at once, and a second passes until
    Ray's own processes have ended. Only the main thread may set handlers, so Ray is shut down in another. That one
    is left to itself after a while: it may wait for a lock which the thread that was interrupted still holds.
    """
    ending: futures.Future[None] = futures.Future()

    def end() -> None:
        try:
            shutdown()
        except BaseException as error:  # noqa: BLE001 — raised below
            ending.set_exception(error)
        else:
            ending.set_result(None)

    with own_signals() as renew:
        threading.Thread(target=end, name=SHUTDOWN_THREAD, daemon=True).start()
        latest = time.monotonic() + SHUTDOWN_SECONDS
        while not ending.done() and time.monotonic() < latest:
            futures.wait([ending], timeout=RENEW_SECONDS)
            renew()
    if ending.done():
        ending.result()
