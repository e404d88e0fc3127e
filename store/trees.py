"""Folders that may also hold others' files: walk them, and delete what is known in them, without following a link."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from kotovec.store.layout import FORMER, MANIFEST, PLAN, TOKENS

LAST = (TOKENS, FORMER, PLAN, MANIFEST)  # by these, a folder is recognized


class Entry(NamedTuple):
    """A file or folder below a folder: its path from there, and its mode as `stat` returns it."""

    path: str
    mode: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and not a link to one."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, and not a link to one."""
        return stat.S_ISREG(self.mode)


def walk(folder: Path, part: str = "") -> Iterator[Entry]:
    """Yield everything below a folder, or below one of its sub-folders, the deepest first."""
    return (entry for entry, _ in _walk(folder, part))


def delete(folder: Path, is_known: Callable[[Entry], bool], part: str = "") -> None:
    """Delete the regular files that are known, then the folders that are empty, `folder` or its sub-folder included.

    By descriptors: a folder that somebody exchanges for a link meanwhile leads nowhere else. A file of `LAST` goes
    after all else in its folder: whoever finds the rest of an interrupted deletion sees by it whose that is.
    Nothing is deleted where `folder` itself is a link.
    """
    if folder.is_symlink():  # its sub-folders would be reached through it
        return
    for entry, descriptor in _walk(folder, part):
        with contextlib.suppress(OSError):  # a folder that is not empty
            if entry.is_folder:
                os.rmdir(entry.name, dir_fd=descriptor)
            elif entry.is_file and is_known(entry):
                os.unlink(entry.name, dir_fd=descriptor)
    with contextlib.suppress(OSError):
        (folder / part).rmdir()


def _walk(folder: Path, part: str) -> Iterator[tuple[Entry, int]]:
    """Yield each entry with a descriptor of the folder that it is in; nothing where there is no folder."""
    if (folder / part).is_symlink() or not (folder / part).is_dir():  # os.fwalk would wait for a writer of a pipe
        return
    for path, folders, files, descriptor in os.fwalk(folder / part, topdown=False):
        for name in sorted((*folders, *files), key=LAST.__contains__):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                yield Entry(Path(path, name).relative_to(folder).as_posix(), status.st_mode), descriptor
