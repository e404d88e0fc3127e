"""Memory that processes of one machine share: a file without a name, which ends with the last of them."""

import contextlib
import ctypes
import errno
import mmap
import os
import uuid
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PAGE = 4096
ALIGNMENT = 2 << 20  # bytes: MKL counts from multiples of it, in whatever process
_CLOSE_ON_EXEC = 1  # of memfd_create(2)
_AT_THE_ADDRESS = 0x10  # MAP_FIXED of mmap(2)


@dataclass(frozen=True)
class Place:
    """Where another process of the same machine finds it: `path` is what `/proc` calls it, `name` its own."""

    path: str
    name: str


class Memory:
    """Memory that is written once and read by all.

    Attributes:
        place: where others find it, while this process has it; None where the system shares none so: on anything but
            Linux, or where a sandbox refuses it.
    """

    def __init__(self, place: Place | None = None) -> None:
        """Take what is in a place, or new memory where nothing of its name is left there.

        Raises:
            OSError: memory or descriptors are short.
        """
        self._descriptor: int | None = None
        self.place: Place | None = None
        with _where_refused():
            descriptor = None if place is None else _open(place)
            if descriptor is None:
                descriptor = _create(f"kotovec-{uuid.uuid4().hex}")
            weakref.finalize(self, os.close, descriptor)
            self.place = Place(f"/proc/{os.getpid()}/fd/{descriptor}", _name(descriptor))
            self._descriptor = descriptor

    def fill(self, size: int, write: Callable[[npt.NDArray[np.uint8]], None]) -> npt.NDArray[np.uint8] | None:
        """Return the memory, (size,) and not to be written any more; the first process that asks has written it.

        The others wait for it. In each of them it begins at a multiple of `ALIGNMENT`. None where there is none to be
        shared, also for one who wants another size than the first one.

        Args:
            size: in bytes.
            write: given zeros, or what a process has left that died over it.

        Raises:
            OSError: memory is short.
        """
        if self._descriptor is None:
            return None
        import fcntl  # there is none on Windows

        whole = size + PAGE  # its last byte tells that it is written
        with _where_refused():
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                if os.fstat(self._descriptor).st_size not in (0, whole):
                    return None
                os.ftruncate(self._descriptor, whole)
                memory = _map(self._descriptor, whole)
                if not memory[-1]:
                    write(memory[:size])
                    memory[-1] = 1
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            memory.flags.writeable = False
            return memory[:size]
        return None


@contextlib.contextmanager
def _where_refused() -> Iterator[None]:
    """Go on where the system refuses to share; what is short for a moment stays an error, as all must do alike."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise


def _open(place: Place) -> int | None:
    """Return a descriptor of what is in a place; None where that is nothing, or another file of a later process."""
    with contextlib.suppress(OSError):
        descriptor = os.open(place.path, os.O_RDWR | os.O_NONBLOCK)
        if _name(descriptor) == place.name:
            return descriptor
        os.close(descriptor)
    return None


def _create(name: str) -> int:
    """Return a descriptor of a new, empty file in memory.

    Raises:
        OSError: the system has none, or refuses it.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    try:  # many Pythons are built for an older C library than the machine's, which has it
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = int(library.memfd_create(name.encode(), _CLOSE_ON_EXEC))
    except (AttributeError, TypeError) as error:
        raise OSError(errno.ENOSYS, "no memory is shared") from error
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "no memory is shared")
    return descriptor


def _map(descriptor: int, size: int) -> npt.NDArray[np.uint8]:
    """Return a file's bytes, (size,), that begin at a multiple of `ALIGNMENT`.

    Raises:
        OSError: there are no addresses left.
    """
    # It gives back what is mapped in it, too; private, it is not counted as taken.
    room = np.frombuffer(mmap.mmap(-1, size + ALIGNMENT, flags=mmap.MAP_PRIVATE), dtype=np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    function.restype = ctypes.c_void_p
    access, how = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _AT_THE_ADDRESS
    if function(room.ctypes.data + start, size, access, how, descriptor, 0) != room.ctypes.data + start:
        raise OSError(ctypes.get_errno(), "no memory is mapped")
    return room[start : start + size]


def _name(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 — as the kernel says it: a name, not a path
