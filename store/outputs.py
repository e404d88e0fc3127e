"""Files that a user names for a result: replaced in one step, or written through, where they are no regular files."""

import os
import stat
from pathlib import Path

from kotovec.errors import InputError
from kotovec.store.files import disk_full, is_disk_full, sinking

MOST_LINKS = 40  # the limit of Linux


def write_output(path: Path, data: bytes | memoryview) -> None:
    """Write a file that the user named.

    A regular file is replaced in one step and keeps its permissions, or stays as it was; to anything else, such as a
    pipe or a device, the bytes are written directly. A link stays a link.

    Raises:
        InputError: the path is a folder, or a link of another user.
        DiskFullError: no space is left; a regular file stays as it was.
    """
    target = _behind_links(path)
    if target.exists() and not target.is_file():
        _write_through(target, data)
        return
    mode = stat.S_IMODE(target.stat().st_mode) & 0o777 if target.is_file() else None
    with sinking(target.parent.resolve() / target.name, mode=mode) as sink:
        sink.write(data)


def _write_through(path: Path, data: bytes | memoryview) -> None:
    """Write to a pipe or a device; `path` is a link only in /proc, where no name leads to a pipe."""
    try:
        follow = 0 if path.is_symlink() else os.O_NOFOLLOW
        with open(os.open(path, os.O_WRONLY | follow), "wb") as file:  # noqa: PTH123
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"{path} became another file meanwhile", hint="run the same command again")
            file.write(data)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path) from error
        raise InputError(f"{path} cannot be written: {error.strerror}", hint="name another file") from error


def _behind_links(path: Path) -> Path:
    """Return the target of a link that belongs to this user or to root, and other paths unchanged.

    Links in place of folders on the way are checked, too.

    Raises:
        InputError: a link belongs to another user, who could choose what is overwritten, or is part of a cycle.
    """
    for _ in range(MOST_LINKS):
        for each in (path, *path.absolute().parents):
            if each.is_symlink() and each.lstat().st_uid not in (0, os.geteuid()):
                raise InputError(f"{each} is a link of another user's", hint="delete it, or name another file")
        if not path.is_symlink():
            return path
        behind = path.parent / path.readlink()
        if path.exists() and not os.path.lexists(behind):  # in /proc, where the target of an open pipe is no path
            return path
        path = behind
    raise InputError(f"{path} is a link to itself", hint="name another file")
