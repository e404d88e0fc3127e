"""The lock of a build: one process a store, released however that process ends."""

import contextlib
import os
from collections.abc import Iterator

import filelock

from kotovec.errors import StoreBusyError, StoreError
from kotovec.store.layout import Layout


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the build lock of a store for the block.

    Raises:
        StoreBusyError: another process holds it.
        StoreError: it cannot be made.
    """
    parent = layout.folder.absolute().parent
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    lock = filelock.FileLock(layout.lock, blocking=False)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise StoreBusyError(f"{layout.folder} is being built by another process: wait for it, or stop it") from error
    except OSError as error:
        raise StoreError(f"the store cannot be made in {parent}: {error.strerror}") from error
    try:
        yield
    finally:
        # Deleted while it is held: whoever opened it meanwhile finds that out, and makes a new one.
        with contextlib.suppress(OSError):
            os.unlink(layout.lock)  # noqa: PTH108 — the lock's own call
        lock.release()
        for folder in made:  # those that a failed build leaves empty
            with contextlib.suppress(OSError):
                folder.rmdir()
