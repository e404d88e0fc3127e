"""Limits of this process: threads where there is little room, and what an error means that a limit causes."""

import contextlib
import errno
import os
import resource
import threading
from pathlib import Path

from kotovec.errors import InputError, KotovecError

FEWEST_FILES = 64  # a private Ray starts with 64 open files per process, and not with 32
LOW_FILES, LOW_TASKS = 1024, 1000  # below these, a failed start of Ray is put down to the limit
_PIDS = Path("/sys/fs/cgroup/pids.max")
_PROBED_TASKS = 4096  # with room for more processes and threads, none is tried
_SMALL_SPACE = 8 << 30  # bytes of address space; 64 MB of it are taken per thread
LEAST_SPACE = 1500 << 20  # with 1,000 MB, numpy, faiss or the interpreter end with a traceback or SIGSEGV
RAY_SPACE = 3000 << 20  # with 2,000 MB, Ray's C++ ends the process
_LIBRARIES = ("OPENBLAS", "OMP", "MKL", "NUMBA", "RAYON")
_MOST_CAUSES = 10
_NO_TASKS = ("can't start new thread", "Resource temporarily unavailable", "pthread_create failed")
_NO_MEMORY = ("Cannot allocate memory", "std::bad_alloc", "Unable to allocate", "can't allocate memory")


def fit_threads() -> None:
    """Let libraries use one thread where this process may not start one per core, before they are imported.

    OpenBLAS would write four lines and end the process with SIGINT. Settings of the user's stay as they are.
    """
    most = space()
    small = most is not None and most < _SMALL_SPACE
    if small or (tasks() < _PROBED_TASKS and not _can_start(os.cpu_count() or 1)):
        for library in _LIBRARIES:
            os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def space() -> int | None:
    """Return how many bytes of address space this process may take; None without a limit."""
    return _soft(resource.RLIMIT_AS)


def files() -> int:
    """Return how many files this process may open once the limit is raised as far as it may be, as Ray does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 20 if hard == resource.RLIM_INFINITY else hard
    return max(soft, most)


def tasks() -> int:
    """Return how many processes and threads the user or the container may have, as far as that is known."""
    limits = [1 << 22]
    if os.geteuid() and (most := _soft(resource.RLIMIT_NPROC)) is not None:  # root has no such limit
        limits.append(most)
    with contextlib.suppress(OSError, ValueError):  # without a limit, the file says `max`
        limits.append(int(_PIDS.read_text(encoding="ascii")))
    return min(limits)


def low() -> str | None:
    """Return, for a hint, the limits that are so low that they may be why Ray does not start; None without any."""
    found = []
    if files() < LOW_FILES:
        found.append(f"open {files()} files (ulimit -n)")
    if tasks() < LOW_TASKS:
        found.append(f"have {tasks()} processes and threads (ulimit -u, or the container's)")
    if (most := space()) is not None and most < _SMALL_SPACE:
        found.append(f"take {most >> 20:,} MB of address space (ulimit -v)")
    return f"raise the limits: this process may {', '.join(found)}" if found else None


def explain(error: BaseException) -> tuple[str, str] | None:
    """Return a message and a hint for an error that a limit caused, or for one that such an error caused."""
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):  # an error may be its own cause
        if cause is None:
            break
        if found := _explain(cause):
            return found
        cause = cause.__cause__
    return None


def _explain(error: BaseException) -> tuple[str, str] | None:
    text, number = str(error), getattr(error, "errno", None)
    if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in text:
        return f"too many open files: this process may have {_soft(resource.RLIMIT_NOFILE)}", "raise it with ulimit -n"
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in text for words in _NO_MEMORY):
        most = space()
        limit = "" if most is None else f": this process may take {most >> 20:,} MB of address space"
        return f"not enough memory{limit}", "free some" if most is None else "raise it with ulimit -v"
    # A lock that another process holds has the same errno, and is reported as such.
    if not isinstance(error, KotovecError) and (number == errno.EAGAIN or any(words in text for words in _NO_TASKS)):
        return (
            "no more processes or threads can be started",
            "raise ulimit -u or the limit of the container, or end other processes",
        )
    return None


def check_space() -> None:
    """Refuse to start where the interpreter or a library would end in the middle of something.

    Raises:
        InputError: the limit on address space is too low.
    """
    most = space()
    if most is not None and most < LEAST_SPACE:
        raise InputError(
            f"this process may take {most >> 20:,} MB of address space, and needs {LEAST_SPACE >> 20:,} MB",
            hint="raise it with ulimit -v",
        )


def _soft(limit: int) -> int | None:
    soft, _ = resource.getrlimit(limit)
    return None if soft == resource.RLIM_INFINITY else soft


def _can_start(count: int) -> bool:
    """Return whether so many threads can run at once."""
    done, threads = threading.Event(), []
    try:
        for _ in range(count):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        return False
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return True
