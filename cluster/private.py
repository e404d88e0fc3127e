"""What a private Ray has on this machine, its folder and its processes, and the end of both."""

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
_LONGEST = 11  # characters of its parent: it has up to 28 itself, Ray adds 67, a Unix socket's path ends at 107
_RAY, _WORK = "r", "w"
_NEEDLESS = ("monitor.py", "log_monitor.py")  # one for a cluster that grows, one for logs that are shown
_END_SECONDS, _END_PAUSE = 5.0, 0.01


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder for Ray's session, deleted after it; those of builds that were killed go, too, with their Rays.

    It is closed to other users, as Ray lets everyone write to what is its own: that lies within, see `ray_folder`, and
    so does the folder that its processes start in, see `working_folder`.

    A build that lives holds a lock on its folder. Its process id would not do: where containers share a /tmp, that
    of one's build means nothing in the other. A process that is forked within the block holds the lock as well.

    Raises:
        InputError: other users could exchange what lies in the temporary folder.
    """
    root = _root()
    for left in root.glob(f"{_PREFIX}[0-9]*-*"):
        if (lock := _lock(left)) is not None:
            _end_processes(left)
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    # It gets the name that others look for when it is locked.
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
    """Return where Ray may keep what it has: it gives everyone every right on it, but nobody else can enter."""
    return folder / _RAY


def working_folder(folder: Path) -> Path:
    """Return where Ray's processes start: Ray puts it in front of its workers' sys.path, and nothing is ever in it."""
    return folder / _WORK


def _root() -> Path:
    """Return the temporary folder, or /tmp where that one's path is too long or others could exchange what is in it.

    Raises:
        InputError: they could in both.
    """
    named = Path(tempfile.gettempdir())
    for root in (named, Path("/tmp")):  # noqa: S108 — it is checked
        if len(str(root)) <= _LONGEST and changeable(root) is None:
            return root
    raise InputError(
        f"other users can change {changeable(root)}, where temporary files go: "
        f"chmod +t {changeable(root)}, or name another folder with TMPDIR (of at most {_LONGEST} characters)"
    )


def _lock(folder: Path) -> int | None:
    """Lock an own folder for as long as the file descriptor is open, or this process lives; None if it is locked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # another user's, or a link
        return None
    with contextlib.suppress(OSError):  # held by a build that lives, or the file system has no locks
        if os.fstat(descriptor).st_uid == os.geteuid():  # root may open what is others'
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    os.close(descriptor)
    return None


def _end_processes(folder: Path) -> None:
    """Kill what is left of a Ray session.

    One that was interrupted in its start ends nothing itself, and without the raylet nobody ends its agents, which
    try for a minute to tell a server of it that has died as well.
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
        psutil.wait_procs([each for each in left if each in own], _END_SECONDS)  # the others' zombies are init's
        time.sleep(_END_PAUSE)


def _of_ray(folder: Path, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those of the processes that are of the Ray in `folder`, whoever their parent is by now.

    All of them work in there, unlike somebody's `tail` of a log, and have it in their command until they take a title;
    this process' children also before they have a command of their own.
    """
    place, found = os.path.realpath(folder), []  # /tmp is a link on macOS
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):  # the latter where a path is too long
            if f"{process.cwd()}/".startswith(f"{place}/") and process.uids().effective == os.geteuid():
                command = " ".join(process.cmdline())
                if command.startswith("ray::") or str(folder) in command or process.ppid() == os.getpid():
                    found.append(process)
    return found


def end_needless(folder: Path) -> None:
    """End what a private Ray starts and does not need: 100 MB, a second of processor time, a second when it ends."""
    for _, child in children(folder):
        with contextlib.suppress(psutil.Error):
            if any(Path(word).name in _NEEDLESS for word in child.cmdline()):
                child.kill()
                child.wait(_END_SECONDS)


def children(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Give this process' children that belong to the Ray of a folder, with their names."""
    for child in _of_ray(folder, psutil.Process().children()):
        with contextlib.suppress(psutil.Error):
            yield child.name(), child
