"""Whether files can be written in a folder, found out by writing one: the modes alone do not say it.

By the modes, root may write anywhere, also where the kernel makes no files (/proc, /sys), and a file system of a
network has rules of its own.
"""

import errno
import tempfile
from pathlib import Path

from kotovec.errors import StoreError

# They say nothing about the folder: a full disk and too many open files have errors of their own, later.
_ELSEWHERE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
REPAIR = "name another path, or make this one writable"


def existing(path: Path) -> Path:
    """Return a path if it exists, or the nearest of its parents that does, in which it would be made."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def obstacle(folder: Path) -> str | None:
    """Return why no file can be made in a folder that exists, in the system's words; None if one can.

    The file has no name where the system can do without (Linux), and is gone at once elsewhere.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        if error.errno in _ELSEWHERE:
            return None
        # In /proc and /sys the system says that the new file does not exist.
        return "no file can be made there" if error.errno == errno.ENOENT else str(error.strerror)


def is_writable(path: Path) -> bool:
    """Return whether files can be written in a folder, or the folder be made."""
    return obstacle(existing(path)) is None


def check_writable(path: Path, hint: str = REPAIR) -> None:
    """Check that files can be written in a folder, or the folder be made, before anything is computed for it.

    Raises:
        StoreError: they cannot; names the folder and the reason.
    """
    folder = existing(path)
    reason = obstacle(folder)
    if reason is not None:
        raise unwritable(folder, reason, hint)


def unwritable(folder: Path, reason: str, hint: str = REPAIR) -> StoreError:
    """Return the error of a folder in which nothing can be written."""
    return StoreError(f"nothing can be written in {folder} ({reason})", hint=hint)
