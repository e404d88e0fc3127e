"""The lock of a build: one process per store, released however that process ends."""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import filelock

from kotovec.errors import StoreBusyError, StoreError
from kotovec.store.layout import Layout

MOST_BYTES = 512
_SOFT = re.compile(rb"\d+\n[\w.:\n-]*")  # process id, and name of the machine
PATIENCE_SECONDS = 0.5  # a build whose command was killed ends a moment after it


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the build lock of a store for the block.

    Raises:
        StoreBusyError: another process holds it.
        StoreError: the lock cannot be created.
    """
    parent = layout.folder.absolute().parent
    created = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    _check_ours(layout.lock)
    lock = filelock.FileLock(layout.lock, timeout=PATIENCE_SECONDS)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        if not layout.lock.exists():  # filelock also times out on some errors of opening, as under /proc
            raise _no_place(parent, "no file can be made there") from error
        raise StoreBusyError(
            f"{layout.folder} is being built by another process", hint="wait for it, or stop it"
        ) from error
    except OSError as error:
        raise _no_place(parent, str(error.strerror)) from error
    try:
        yield
    finally:
        # Deleted while it is held: a process that opened it meanwhile notices, and creates a new one.
        with contextlib.suppress(OSError):
            os.unlink(layout.lock)  # noqa: PTH108 — the lock's own call
        lock.release()
        for folder in created:  # folders that a failed build leaves empty
            with contextlib.suppress(OSError):
                folder.rmdir()


def _check_ours(lock: Path) -> None:
    """Refuse to lock, and later delete, a file that is not a lock.

    A lock is an empty file; on a file system that has none, filelock writes a process id and a machine's name into it.
    """
    try:
        status = lock.lstat()
        known = stat.S_ISREG(status.st_mode) and (
            not status.st_size or (status.st_size <= MOST_BYTES and _SOFT.fullmatch(lock.read_bytes()) is not None)
        )
    except OSError:  # there is no file
        return
    if not known:
        raise StoreError(f"{lock} is not kotovec's, and its lock would take its place", hint="move it")


def _no_place(parent: Path, reason: str) -> StoreError:
    return StoreError(
        f"nothing can be written in {parent} ({reason})", hint="name another path, or make this one writable"
    )
