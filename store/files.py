"""Whole files or none: write beside the target, fsync, rename, fsync the folder."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from kotovec.errors import DiskFullError


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; when the block ends well, it becomes `target` in one step.

    After an error nothing is left of it. After SIGKILL or a power cut the temporary file may stay: the next
    write of the same target takes its place.

    Raises:
        DiskFullError: the disk or the quota has no room (also where a library hides that in another error).
    """
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        sync(part)
        part.replace(target)
        sync(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if is_disk_full(error):
            raise disk_full(target) from error
        raise


def sync(path: Path) -> None:
    """Fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(target: Path, text: str) -> None:
    """Write a whole UTF-8 file or none."""
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8")


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error means that no space is left; HDF5 and faiss say so only in their text."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    return "No space left on device" in text or "Disk quota exceeded" in text


def disk_full(target: Path) -> DiskFullError:
    """Return the error that tells a person what to do about a full disk."""
    return DiskFullError(f"no space left while writing {target}: free some, then give the same command again")
