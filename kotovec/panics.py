"""Panics of Rust libraries such as `tokenizers`: errors like any other, and no lines of Rust's own on stderr."""

import contextlib
import os
from collections.abc import Callable, Iterator
from threading import RLock

_STDERR = 2
_lock = RLock()  # two threads would restore each other's descriptors
# A process that is forked while another thread holds it would never get it, nor its stderr back.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@contextlib.contextmanager
def panics_as(error: Callable[[str], Exception]) -> Iterator[None]:
    """Raise an error in place of a panic, which is a BaseException that nothing else catches.

    What anybody writes to stderr meanwhile appears afterwards; if there was a panic, it does not: that takes 10 us.

    Args:
        error: makes the error from the first line of the panic.
    """
    with _lock, _captured() as forget:
        try:
            yield
        except BaseException as panic:
            if type(panic).__name__ != "PanicException":
                raise
            forget()
            raise error((str(panic).strip() or "a panic").splitlines()[0]) from None


@contextlib.contextmanager
def _captured() -> Iterator[Callable[[], None]]:
    """Hold back stderr; yield a function that drops what was written."""
    try:
        real = os.dup(_STDERR)
    except OSError:  # closed
        yield lambda: None
        return
    held = os.memfd_create("stderr") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
    os.dup2(held, _STDERR)
    try:
        yield lambda: os.ftruncate(held, 0)
    finally:
        os.dup2(real, _STDERR)
        with contextlib.suppress(OSError):
            if size := os.fstat(held).st_size:
                os.write(real, os.pread(held, size, 0))
        os.close(held)
        os.close(real)
