"""The lock of a build: one process per store, released however that process ends."""

import contextlib
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock

from kotovec import access
from kotovec.errors import StoreBusyError, StoreError
from kotovec.store.files import NO_LOCKS
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
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock = _acquire(layout.lock)
    except filelock.Timeout as error:
        if not layout.lock.exists():  # filelock also times out on some errors of opening, as under /proc
            raise _unlockable(layout, parent, "no file can be made there") from error
        hint = "wait for it, or stop it"
        if layout.lock.stat().st_size:  # a soft lock, perhaps of another machine, which nobody can ask
            hint = f"wait for it; if it was killed on another machine, delete {layout.lock}"
        raise StoreBusyError(f"{layout.folder} is being built by another process", hint=hint) from error
    except OSError as error:
        raise _unlockable(layout, parent, str(error.strerror)) from error
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


def _unlockable(layout: Layout, parent: Path, reason: str) -> StoreError:
    """Return the error of a lock that cannot be made: it lies beside the store, which may itself be writable."""
    if not (layout.folder.is_dir() and access.is_writable(layout.folder)):
        return access.unwritable(parent, reason)
    return StoreError(
        f"nothing can be written in {parent} ({reason}), where the lock of {layout.folder.name} is made",
        hint="make that folder writable, or move the store into one that is",
    )


def _acquire(path: Path) -> filelock.BaseFileLock:
    """Take the lock at a path: the kernel's, or on a file system that has none a file that names its process."""
    lock: filelock.BaseFileLock = filelock.FileLock(path, timeout=PATIENCE_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # filelock itself goes over to a soft lock on ENOSYS, and warns
            lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        with contextlib.suppress(FileNotFoundError):
            if not path.stat().st_size:  # what the first try left
                path.unlink()
        lock = filelock.SoftFileLock(path, timeout=PATIENCE_SECONDS)
        lock.acquire()
    return lock


def check_free(layout: Layout) -> None:
    """Check that no other process holds a store's lock, before a model is read and Ray is started to build it.

    It is held from then on by the build alone: what takes it in between is noticed there.

    Raises:
        StoreBusyError, StoreError: as `locked`.
    """
    with locked(layout):
        pass


def check_writable(layout: Layout, folder: Path) -> None:
    """Check that a folder of a store can be written to, before something is computed for it.

    Raises:
        StoreBusyError: another process holds the store's lock.
        StoreError: nothing can be written.
    """
    with locked(layout):
        access.check_writable(folder)


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
