"""Locks of threads that forked processes can use: a lock that another thread held is free there."""

import os
from threading import Lock
from types import TracebackType
from weakref import WeakSet


class ForkLock:
    """A lock that no forked process inherits locked: the thread that held it is not there to release it."""

    def __init__(self) -> None:
        self._lock = Lock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Become free, whoever holds it."""
        self._lock = Lock()


_all: WeakSet[ForkLock] = WeakSet()


def _renew_all() -> None:
    for lock in _all:
        lock.renew()


os.register_at_fork(after_in_child=_renew_all)
