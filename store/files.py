"""Whole files or none: write beside the target, fsync, rename, fsync the folder; and what a full disk looks like."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


class Sink:
    """A file for libraries that cannot live with a failing write: takes everything, and keeps the first error.

    HDF5 cannot close a file whose metadata it cannot write: the descriptor, and with it the deleted file's
    space, stays taken until the process ends, and that end is a segmentation fault. faiss ignores what fclose
    reports, and leaves an index short of its last buffer. Both write through this instead.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb+", buffering=0)
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise the error of the first write that failed, if one did."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of the bytes, or nothing any more after an error."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += self._file.write(view[done:])
        except BaseException as error:  # noqa: BLE001 — Ctrl-C, too: `check` raises it when the library is done
            self._error = error
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the length, as HDF5 does when it closes a file."""
        try:
            self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size

    def read(self, size: int = -1) -> bytes:
        """Read from the current position."""
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return how many bytes."""
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the current position."""
        return self._file.tell()

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextlib.contextmanager
def sinking(target: Path) -> Iterator[Sink]:
    """Give a `Sink` that becomes `target`, as `replacing`; raises the sink's own error before any other."""
    with replacing(target) as part, contextlib.closing(Sink(part)) as sink:
        try:
            yield sink
        finally:
            sink.check()


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it came from, means that no space is left.

    HDF5 and faiss say so only in their text, and h5py's error on closing hides the one that came first.
    """
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return True
    return is_disk_full(error.__cause__ or error.__context__)


def disk_full(target: Path) -> DiskFullError:
    """Return the error that tells a person what to do about a full disk."""
    return DiskFullError(f"no space left while writing {target}: free some, then give the same command again")
