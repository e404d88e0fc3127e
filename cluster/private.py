"""The folder and the processes of a private Ray on this machine, and how both are removed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from kotovec.errors import InputError
from kotovec.ownership import changeable

_PREFIX = "kotovec-ray-"
_LONGEST = 11  # characters of the parent's path: the folder adds up to 28, Ray 67, and a Unix socket's path ends at 107
_RAY, _WORK = "r", "w"
_NEEDLESS = ("monitor.py", "log_monitor.py")  # the former scales clusters, the latter shows logs
_END_SECONDS, _END_PAUSE = 5.0, 0.01


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for Ray's session and delete it afterwards; also delete those of killed builds, with their Rays.

    The folder is closed to other users, as Ray lets everyone write to its own folder. That one lies within, see
    `ray_folder`, and so does the folder in which Ray's processes start, see `working_folder`.

    A running build holds a lock on its folder. A process id would not be enough: where containers share a /tmp, the
    id of one container's build means nothing in another. A process that is forked within the block holds the lock, too.

    Raises:
        InputError: other users could replace the contents of the temporary folder.
    """
    root = _root()
    for left in root.glob(f"{_PREFIX}[0-9]*-*"):
        if (lock := _lock(left)) is not None:
            _end_processes(left)
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    # It gets the name that other builds look for only once it is locked.
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}{os.getpid()}-", dir=root))
    lock = _lock(made)
    ray_folder(made).mkdir(mode=0o700)
    working_folder(made).mkdir(mode=0o500)
    folder = made.rename(made.with_name(made.name[1:]))
    try:
        yield folder
    finally:
        _end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def ray_folder(folder: Path) -> Path:
    """Return the folder for Ray's own files: Ray opens it to all users, but its parent lets nobody else enter."""
    return folder / _RAY


def working_folder(folder: Path) -> Path:
    """Return where Ray's processes start: always empty, as Ray puts this folder first on its workers' sys.path."""
    return folder / _WORK


def _root() -> Path:
    """Return the temporary folder, or /tmp where its path is too long or other users could replace its contents.

    Raises:
        InputError: neither folder can be used.
    """
    named = Path(tempfile.gettempdir())
    for root in (named, Path("/tmp")):  # noqa: S108 — it is checked
        if len(str(root)) <= _LONGEST and changeable(root) is None:
            return root
    raise InputError(
        f"other users can change {changeable(root)}, where temporary files go",
        hint=f"run chmod +t {changeable(root)}, or name another folder with TMPDIR (of at most {_LONGEST} characters)",
    )


def _lock(folder: Path) -> int | None:
    """Lock a folder of this user while the file descriptor is open or this process runs; None if it is locked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # it belongs to another user, or is a link
        return None
    with contextlib.suppress(OSError):  # a running build holds it, or the file system has no locks
        if os.fstat(descriptor).st_uid == os.geteuid():  # root may open other users' folders
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    os.close(descriptor)
    return None


def _end_processes(folder: Path) -> None:
    """Kill the remaining processes of a Ray session.

    A session that was interrupted during its start ends nothing itself, and without the raylet nobody ends its agents,
    which try for a minute to report that to a server that has died as well.
    """
    end = time.monotonic() + _END_SECONDS
    while left := _of_ray(folder, psutil.process_iter()):
        if time.monotonic() > end:
            break
        for process in left:
            with contextlib.suppress(psutil.Error):
                for each in (*process.children(recursive=True), process):
                    each.kill()
        own = psutil.Process().children()
        psutil.wait_procs([each for each in left if each in own], _END_SECONDS)  # init reaps the zombies of the others
        time.sleep(_END_PAUSE)


def _of_ray(folder: Path, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those of the processes that belong to the Ray in `folder`, whatever their current parent is.

    All of them have their working directory in the folder, and its path in their command until they set a title, unlike
    a user's `tail` of a log. Children of this process also count before they have a command of their own.
    """
    path, found = os.path.realpath(folder), []  # /tmp is a link on macOS
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):  # OSError where a path is too long
            if f"{process.cwd()}/".startswith(f"{path}/") and process.uids().effective == os.geteuid():
                command = " ".join(process.cmdline())
                if command.startswith("ray::") or str(folder) in command or process.ppid() == os.getpid():
                    found.append(process)
    return found


def end_needless(folder: Path) -> None:
    """End processes that a private Ray starts needlessly: 100 MB, 1 s of processor time, and 1 s when Ray ends."""
    for _, child in children(folder):
        with contextlib.suppress(psutil.Error):
            if any(Path(word).name in _NEEDLESS for word in child.cmdline()):
                child.kill()
                child.wait(_END_SECONDS)


def children(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield this process' children that belong to the Ray in a folder, with their names."""
    for child in _of_ray(folder, psutil.Process().children()):
        with contextlib.suppress(psutil.Error):
            yield child.name(), child
