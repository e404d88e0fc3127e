"""SIGTERM and Ctrl-C: what a command tidies up before it ends, and where it need not."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

TERMINATED = 143  # what a shell reports for a process that SIGTERM ended


def hear_sigterm() -> None:
    """Let SIGTERM raise `SystemExit(143)`, so that locks and partial files are deleted; by default nothing would be."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process within the block, also inside a library; nothing may need tidying.

    A Python handler waits until the library returns: a tokenizer of 75 MB takes 17 s to be read.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}
    before = [number for number, handler in usual.items() if signal.getsignal(number) is handler]
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, usual[number])
