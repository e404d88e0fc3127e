"""A Ray session for a build: one that is there, a cluster's, or a private local one that leaves nothing behind."""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

import kotovec
from kotovec.errors import InputError, WorkerError, first_line

KNOCK_SECONDS = 5.0
_PREFIX = "kotovec-ray-"
_LONGEST = 13  # characters of its parent: it has up to 28 itself, Ray adds 65, a Unix socket's path ends at 107
_PRIVATE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a FutureWarning at every start
}
# Ray prints paragraphs on stdout for what is lost, whatever its logging options: the pool tells it in a line.
_LOSSES = ("worker died or was killed", "has been marked dead", "running low on memory", "Raylet is terminated")
_QUIET = {"RAY_DEDUP_LOGS_SKIP_REGEX": "|".join(_LOSSES)}


Check = Callable[[], None]
_VITAL = ("gcs_server", "raylet")


@contextlib.contextmanager
def session(address: str | None, cpus: int, object_store_bytes: int) -> Iterator[Check]:
    """Hold a Ray session for the block: the running one, the cluster at `address`, or a private local one.

    Gives a function that raises a WorkerError once a private Ray has died: Ray's own calls then hang, or end this
    process, after a minute.

    Args:
        address: `auto`, `HOST:PORT`, `ray://…`; None for a private local Ray.
        cpus: logical CPUs of a private one.
        object_store_bytes: size of a private one's object store.

    Raises:
        InputError: no cluster answers at the address.
        WorkerError: Ray does not start.
    """
    if _running():
        yield _nothing
    elif address is None:
        with _environment(_PRIVATE | _QUIET | _import_path()), _private_authentication(), _temporary_folder() as folder:
            import ray

            options = {
                "address": "local",
                "num_cpus": cpus,
                "object_store_memory": object_store_bytes,
                "include_dashboard": False,
                "_temp_dir": str(folder),
            }
            with _hold(ray, options, WorkerError("a local Ray does not start"), folder):
                children = [child for child in psutil.Process().children() if str(folder) in " ".join(child.cmdline())]
                yield partial(_check, {child.name(): child for child in children if child.name() in _VITAL})
    else:
        with join(address):
            yield _nothing


@contextlib.contextmanager
def join(address: str) -> Iterator[None]:
    """Be in the cluster at `address` (`auto`, `HOST:PORT`, `ray://…`) for the block, if in none yet.

    Raises:
        InputError: no cluster answers at the address.
    """
    if _running():
        yield
        return
    _check_reachable(address)
    with _environment(_QUIET):
        import ray

        with _hold(ray, {"address": address}, InputError(f"no Ray cluster answers at {address!r}"), Path()):
            yield


def _nothing() -> None:
    """Check nothing: a cluster's processes are somebody else's."""


def _check(vital: dict[str, psutil.Process]) -> None:
    for name, process in vital.items():
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise WorkerError(f"Ray's {name} died (out of memory?): the same command goes on with what is whole")


def _import_path() -> dict[str, str]:
    """Return what lets workers find kotovec where it is not installed: the checkout, if it is one that runs."""
    if len(kotovec.__path__) == 1:
        return {}
    checkout = str(Path(kotovec.__file__).resolve().parents[1])
    return {"PYTHONPATH": os.pathsep.join(filter(None, (checkout, os.environ.get("PYTHONPATH"))))}


def _check_reachable(address: str) -> None:
    """Knock at a cluster's door: Ray itself tries for more than two minutes, and complains all the while.

    Raises:
        InputError: nobody opens.
    """
    place = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+)\]?:(\d+)", address)
    if place is None:
        return  # `auto`, or a form that Ray judges
    try:
        socket.create_connection((place[1], int(place[2])), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address!r}: {error}") from error


def _running() -> bool:
    """Tell whether this process has a Ray session, without importing Ray."""
    ray: Any = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


@contextlib.contextmanager
def _hold(ray: Any, options: dict[str, Any], failure: Exception, place: Path) -> Iterator[None]:
    """Hold a session that starts in `place`.

    Ray puts the working directory in front of its workers' sys.path: a `random.py` there, or in the folder of a
    downloaded model, would be run by every worker. Nothing lies in the session's own folder.
    """
    try:
        with _own_signals(_connecting), contextlib.chdir(place):
            try:
                ray.init(**options, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
                reason = first_line(error)
                raise type(failure)(f"{failure}: {reason}") from error
        yield
    finally:
        with _own_signals():
            ray.shutdown()


@contextlib.contextmanager
def _own_signals(wait: Callable[[FrameType | None], bool] = lambda _: True) -> Iterator[None]:
    """Keep this process' handlers of Ctrl-C and SIGTERM for the block; where `wait` says so, they wait for its end.

    Ray sets a handler of SIGTERM, which exits with 1. And where a handler raises in the midst of Ray's `connect` or
    of its shutdown, the process ends in a segmentation fault. While it connects, Ray's C++ has a handler of SIGTERM
    that prints a trace, calls ours, and has the process aborted by an alarm three seconds later.

    Args:
        wait: told the frame that a signal interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread, and only it may set handlers
        return
    module: Any = signal
    really_set = module.signal
    current = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in current.items() if callable(handler)}
    arrived: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if wait(frame):
            arrived.append(number)
        else:
            handlers[signal.Signals(number)](number, frame)

    def pretend_to_set(number: Any, handler: Any) -> Any:
        return handlers[number] if number in handlers else really_set(number, handler)

    for number in handlers:
        really_set(number, handle)
    module.signal = pretend_to_set
    try:
        yield
    finally:
        module.signal = really_set
        for number, handler in handlers.items():
            really_set(number, handler)
        if arrived:
            signal.alarm(0)
            signal.raise_signal(arrived[0])


def _connecting(frame: FrameType | None) -> bool:
    """Tell whether Ray is connecting: some 0.3 of the 4 seconds that its start takes."""
    while frame is not None:
        if frame.f_code.co_name == "connect" and frame.f_globals.get("__name__", "").startswith("ray."):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the block."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _private_authentication() -> Iterator[None]:
    """Keep a local Ray private: it gets a token of its own, else it would write one to the user's home."""
    with _environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}):
        _reload_authentication()
        yield
    _reload_authentication()


def _reload_authentication() -> None:
    """Let Ray read its token anew: it keeps the mode from its import, and the token from its first session."""
    try:
        from ray._raylet import AuthenticationTokenLoader, Config
    except ImportError:  # a Ray of before tokens
        return
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Give a folder for Ray's session, deleted after it; folders of builds that were killed go, too.

    A build that lives holds a lock on its folder. Its process id would not do: where containers share a /tmp, that
    of one's build means nothing in the other.
    """
    root = Path(tempfile.gettempdir())
    root = root if len(str(root)) <= _LONGEST else Path("/tmp")  # noqa: S108 — sockets' path limit
    for left in root.glob(f"{_PREFIX}[0-9]*-*"):
        if (lock := _lock(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    # It gets the name that others look for when it is locked.
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}{os.getpid()}-", dir=root))
    lock = _lock(made)
    folder = made.rename(made.with_name(made.name[1:]))
    try:
        yield folder
    finally:
        with _own_signals():
            _end_processes(folder)
            shutil.rmtree(folder, ignore_errors=True)
            if lock is not None:
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder for as long as the file descriptor is open, or this process lives; None if it is locked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # another user's
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # by a build that lives, or the file system has no locks
        os.close(descriptor)
        return None
    return descriptor


def _end_processes(folder: Path) -> None:
    """Kill what is left of a Ray session: one that was interrupted in its start ends nothing itself."""
    children, others = [], []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join(child.cmdline()):
                children.append(child)
                others += child.children(recursive=True)
    for process in (*children, *others):
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(children, timeout=5)  # the others' zombies are init's: in many containers it leaves them
