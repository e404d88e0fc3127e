"""Who can write to a folder: nothing that other users of the machine can change is imported, loaded or deleted."""

import os
import stat
import sys
from pathlib import Path

import kotovec


def changeable(folder: Path) -> Path | None:
    """Return the first of a folder and its parents that another user could change or replace; None if there is none.

    Each of them must belong to root or to this user, and be writable by nobody else. A sticky folder such as /tmp may
    be writable by others, as they cannot rename or delete another user's files in it. Links are checked as well as
    their targets.

    Raises:
        OSError: the folder does not exist.
    """
    # Where a user namespace has no root, as in containers without privileges, `/` belongs to the overflow user.
    trusted = {0, os.geteuid(), Path("/").stat().st_uid}
    real, named = folder.resolve(strict=True), folder.absolute()
    for path in dict.fromkeys((named, *named.parents, real, *real.parents)):
        info = path.lstat()
        open_to_all = not stat.S_ISLNK(info.st_mode) and info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX
        if info.st_uid not in trusted or open_to_all:
            return path
    return None


def is_private(folder: Path) -> bool:
    """Return whether a folder is this user's own, no link, closed to all others, and in folders they cannot change."""
    try:
        info = folder.lstat()
        own = stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o077
        return own and changeable(folder) is None
    except OSError:
        return False


def is_public(folder: str) -> bool:
    """Return whether everyone can put a file into a folder, or create it if missing; '' is the working directory.

    A sticky folder counts, too: a file can be planted in it without deleting another one.
    """
    try:
        real, exists = Path(os.path.realpath(folder)), False
    except OSError:  # the working directory was deleted
        return True
    for path in (real, *real.parents):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & 0o002 and not (exists and mode & stat.S_ISVTX):
            return True
        exists = True
    return False


def drop_public_paths() -> None:
    """Remove the folders that everyone can write to from the `sys.path` of this process.

    `python -m` puts the working directory there, and so does an empty entry in PYTHONPATH. The folders of Python itself
    and of kotovec stay: both are running already, and on a file system without modes (a Windows one under Linux)
    every folder is writable by everyone.
    """
    running = [sys.prefix, sys.base_prefix, str(Path(kotovec.__file__).parents[1])]
    kept = [os.path.realpath(folder) for folder in running]
    sys.path[:] = [entry for entry in sys.path if _is_within(entry, kept) or not is_public(entry)]


def _is_within(entry: str, folders: list[str]) -> bool:
    if not entry:
        return False
    real = os.path.realpath(entry)
    return any(real == folder or real.startswith(folder.rstrip("/") + "/") for folder in folders)
