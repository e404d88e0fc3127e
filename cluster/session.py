"""A Ray session for a build: one that is there, a cluster's, or a private local one that leaves nothing behind."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
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
# Ray prints a paragraph on stdout for every lost worker, whatever its logging options: the pool tells it in a line.
_QUIET = {"RAY_DEDUP_LOGS_SKIP_REGEX": "worker died or was killed|has been marked dead|running low on memory"}


@contextlib.contextmanager
def session(address: str | None, cpus: int, object_store_bytes: int) -> Iterator[None]:
    """Hold a Ray session for the block: the running one, the cluster at `address`, or a private local one.

    Args:
        address: `auto`, `HOST:PORT`, `ray://…`; None for a private local Ray.
        cpus: logical CPUs of a private one.
        object_store_bytes: size of a private one's object store.

    Raises:
        InputError: no cluster answers at the address.
        WorkerError: Ray does not start.
    """
    if _running():
        yield
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
            yield from _hold(ray, options, WorkerError("a local Ray does not start"), folder)
    else:
        _check_reachable(address)
        with _environment(_QUIET):
            import ray

            yield from _hold(ray, {"address": address}, InputError(f"no Ray cluster answers at {address!r}"), Path())


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


def _hold(ray: Any, options: dict[str, Any], failure: Exception, place: Path) -> Iterator[None]:
    """Hold a session that starts in `place`.

    Ray puts the working directory in front of its workers' sys.path: a `random.py` there, or in the folder of a
    downloaded model, would be run by every worker. Nothing lies in the session's own folder.
    """
    try:
        with _own_sigterm(), contextlib.chdir(place):
            try:
                ray.init(**options, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
                reason = first_line(error)
                raise type(failure)(f"{failure}: {reason}") from error
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process' handler of SIGTERM, where it has one: Ray installs its own, which exits with 1."""
    before = signal.getsignal(signal.SIGTERM)
    ours = callable(before) and threading.current_thread() is threading.main_thread()
    try:
        yield
    except SystemExit:
        if not ours:
            raise
        raise KeyboardInterrupt from None  # SIGTERM came while Ray started, to Ray's handler
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)


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
    """Give a folder for Ray's session, deleted after it; folders of builds that were killed go, too."""
    root = Path(tempfile.gettempdir())
    root = root if len(str(root)) <= _LONGEST else Path("/tmp")  # noqa: S108 — sockets' path limit
    for left in root.glob(f"{_PREFIX}*"):
        process = re.match(rf"{_PREFIX}(\d+)-", left.name)
        if process and not psutil.pid_exists(int(process[1])):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    try:
        yield folder
    finally:
        _end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end_processes(folder: Path) -> None:
    """Kill what is left of a Ray session: one that was interrupted in its start ends nothing itself."""
    left = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join(child.cmdline()):
                left += [child, *child.children(recursive=True)]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)
