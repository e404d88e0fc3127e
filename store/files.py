"""Atomic writes: write beside the target, fsync, rename, fsync the folder; and how a full disk is recognized."""

import contextlib
import errno
import fcntl
import io
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kotovec.errors import DiskFullError, StoreError
from kotovec.store.layout import PART, part_name

# What flock reports on a file system without locks, such as NFS without its lock daemon, and fsync for a folder.
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})


def _nothing() -> None:
    """Do nothing before a new file takes its place."""


@contextlib.contextmanager
def _replacing(target: Path, mode: int | None = None, before: Callable[[], None] = _nothing) -> Iterator[io.FileIO]:
    """Yield a new file in the target's folder; if the block succeeds, it becomes `target` in one step.

    No link is followed, neither at the target nor in place of its folder: whoever provided the folder could have put
    a link to any other file there. The new file has a random name, and is locked while it is written.

    Raises:
        StoreError: the folder is a link, or the target is what must not be replaced.
        DiskFullError: the disk or the quota has no room (also where a library hides that in another error).
    """
    check_replaceable(target)
    with open_folder(target.parent) as folder:
        part = part_name()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with open(os.open(part, flags, 0o666, dir_fd=folder), "wb+", buffering=0) as file:  # noqa: PTH123
                _lock(file.fileno())
                if mode is not None:
                    with contextlib.suppress(PermissionError):  # a file system without modes
                        os.fchmod(file.fileno(), mode)
                yield file
                os.fsync(file.fileno())
                before()
            os.replace(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)
            sync_folder(folder)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=folder)
            if is_disk_full(error):
                raise disk_full(target) from error
            raise


def check_replaceable(target: Path) -> None:
    """Make sure that a new file would take the place of no folder, pipe or device.

    Raises:
        StoreError: it would.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = target.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise StoreError(f"{target} is not a regular file", hint="move it")


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder whose path does not end in a link.

    Raises:
        StoreError: the path is a link.
        OSError: the folder cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if path.is_symlink():
            raise StoreError(
                f"{path} is a link, and nothing is written through it", hint="put a folder in its place"
            ) from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[io.BufferedReader]:
    """Give a regular file to read: a pipe would wait for a writer, a device never end.

    Raises:
        FileNotFoundError: there is no file.
        OSError: the path is not a regular file, or cannot be read.
    """
    with open_descriptor(path) as file:
        yield file


def open_descriptor(path: Path) -> io.BufferedReader:
    """Open a regular file to read; see `open_regular`."""
    _check_regular(path, path.stat().st_mode)  # before it is opened: opening alone winds a tape back
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")  # noqa: PTH123, SIM115 — the caller closes it
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)
    except OSError:
        file.close()
        raise
    return file


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, os.strerror(number) if number == errno.EISDIR else "not a regular file", str(path))


def read_regular(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file of limited size: a sparse one of 75 GB takes no space on the disk.

    Args:
        path: the path of the file; a link is followed.
        most: most bytes that the file may have.

    Raises:
        FileNotFoundError: there is no file.
        OSError: the path is not a regular file, or one that cannot be read, or is larger.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
        return file.read(most)


@contextlib.contextmanager
def open_below(folder: Path, path: str, flags: int) -> Iterator[int]:
    """Yield a descriptor of a file below a folder; create the folders on the way, and follow no link.

    Args:
        folder: the folder to start from; from here on no link is followed.
        path: the path of the file below the folder, with slashes.
        flags: the flags of `os.open`.

    Raises:
        OSError: a link is in the way (ELOOP, ENOTDIR), the file has another name (EMLINK), or it cannot be opened.
    """
    *folders, name = path.split("/")
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for each in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(each, dir_fd=parent)
            below = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
            parent = below
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        if os.fstat(descriptor).st_nlink > 1:  # a hard link: another name of a file that may be anyone's
            raise OSError(errno.EMLINK, "a hard link", path)
        yield descriptor
    finally:
        os.close(descriptor)


def delete_parts(folder: Path) -> None:
    """Delete the files that killed writers left in a folder: nobody holds their locks any more."""
    with contextlib.suppress(FileNotFoundError), open_folder(folder) as descriptor:
        for name in filter(PART.fullmatch, os.listdir(descriptor)):  # noqa: PTH208 — by descriptor
            with contextlib.suppress(OSError):
                part = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
                try:
                    status = os.fstat(part)
                    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and _lock(part):
                        os.unlink(name, dir_fd=descriptor)
                finally:
                    os.close(part)


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; return whether no other process holds it.

    On a file system without locks, that is left to the store's own: nobody writes into a store without it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    return True


def sync(path: Path) -> None:
    """Fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if path.is_dir():
            sync_folder(descriptor)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(descriptor: int) -> None:
    """Fsync a folder, where the file system can: SMB and some FUSE ones cannot."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_LOCKS | {errno.EBADF, errno.EISDIR}:
            raise


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file, completely or not at all."""
    with sinking(target) as sink:
        sink.write(text.encode())


def written(path: Path) -> dict[str, Any]:
    """Return the size of a file in `bytes`, and in `written` when it came to be, in UTC, as JSON-ready data."""
    status = path.stat()
    moment = datetime.fromtimestamp(status.st_mtime, UTC)
    return {"bytes": status.st_size, "written": moment.isoformat(timespec="seconds")}


class Sink:
    """A file for libraries that cannot handle a failing write: it accepts everything, and keeps the first error.

    HDF5 cannot close a file whose metadata it cannot write: the descriptor, and with it the deleted file's
    space, stays in use until the process ends, with a segmentation fault. faiss ignores the result of fclose,
    and leaves an index without its last buffer. Both write through a sink instead.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._error: BaseException | None = None
        self._hastened = 0

    def check(self) -> None:
        """Raise the error of the first write that failed, if one did."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of the bytes, or nothing once a write has failed."""
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

    def sync(self) -> None:
        """Write to the disk what has been written so far; raise the error of the first write that failed."""
        self.check()
        os.fsync(self._file.fileno())

    def hasten(self) -> None:
        """Let the system begin to write what was written since the last call, where it can; nothing waits for it.

        It would begin at gigabytes, and a disk that idles until then is waited for at the end.
        """
        if hasattr(os, "posix_fadvise"):
            end = self._file.tell()
            with contextlib.suppress(OSError):  # a file system that takes no advice
                os.posix_fadvise(self._file.fileno(), self._hastened, end - self._hastened, os.POSIX_FADV_DONTNEED)
            self._hastened = end

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()


@contextlib.contextmanager
def sinking(target: Path, *, mode: int | None = None, before: Callable[[], None] = _nothing) -> Iterator[Sink]:
    """Yield a `Sink` that becomes `target`, completely or not at all; raise the sink's own error before any other.

    After an error nothing is left of it. After SIGKILL or a power cut its `.part` file may stay, until `delete_parts`
    deletes it.

    Args:
        target: the path of the file.
        mode: its permissions; None for those of any new file.
        before: called when the new file is complete, just before it takes its place; may raise.

    Raises:
        StoreError: the target's folder is a link.
        DiskFullError: the disk or the quota is full (also if a library hides that in another error).
    """
    with _replacing(target, mode, before) as file:
        sink = Sink(file)
        try:
            yield sink
        finally:
            sink.check()


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, means that no space is left.

    HDF5 and faiss report it only in the text of an error, and h5py's error on closing hides the first one.
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
    """Return the error that says what to do about a full disk."""
    return DiskFullError(
        f"no space left while writing {target}", hint="free some space, then run the same command again"
    )
