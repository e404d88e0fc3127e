"""Memory that processes of one machine share: a file without a name, which ends with the last of them."""

import contextlib
import mmap
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PAGE = 4096
_OWN = -1  # in place of a descriptor: memory of this process alone


@dataclass(frozen=True)
class Place:
    """Where another process of the same machine finds it: `path` is what `/proc` calls it, `name` its own."""

    path: str
    name: str


class Memory:
    """Memory that is written once and read by all.

    Attributes:
        place: where others find it, while this process has it; None where they cannot: on anything but Linux.
    """

    def __init__(self, place: Place | None = None) -> None:
        """Take what is in a place, or new memory where nothing of its name is left there."""
        self._descriptor = _OWN
        self.place: Place | None = None
        if not hasattr(os, "memfd_create"):
            return
        if place is not None:
            with contextlib.suppress(OSError):
                if _name(place.path) == place.name:
                    self._descriptor = os.open(place.path, os.O_RDWR)
        if self._descriptor == _OWN:
            self._descriptor = os.memfd_create(f"kotovec-{uuid.uuid4().hex}")
        path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        self.place = Place(path, _name(path))

    def fill(self, size: int, write: Callable[[npt.NDArray[np.uint8]], None]) -> npt.NDArray[np.uint8]:
        """Return the memory, written by the first process that asks; the others wait for it.

        Args:
            size: in bytes; one who wants another size than the first one gets memory of its own.
            write: given (size,) zeros; called again where a process has died over it.
        """
        whole = size + PAGE  # its last byte tells that it is written
        with self._locked() as descriptor:
            shared = descriptor != _OWN and os.fstat(descriptor).st_size in (0, whole)
            if shared:
                os.ftruncate(descriptor, whole)
            memory = np.frombuffer(mmap.mmap(descriptor if shared else _OWN, whole), dtype=np.uint8)
            if not memory[-1]:
                write(memory[:size])
                memory[-1] = 1
        return memory[:size]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Give the file's descriptor to one process at a time."""
        if self._descriptor == _OWN:
            yield _OWN
            return
        import fcntl  # there is none on Windows

        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield self._descriptor
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of it, but for what `fill` returned."""
        if self._descriptor != _OWN:
            os.close(self._descriptor)
        self._descriptor, self.place = _OWN, None


def _name(path: str) -> str:
    return os.readlink(path)  # noqa: PTH115 — as the kernel says it: a name, not a path
