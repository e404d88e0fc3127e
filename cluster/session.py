"""A Ray session for a build: one that is there, a cluster's, or a private local one that leaves nothing behind."""

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from kotovec.errors import InputError, WorkerError

_PREFIX = "kotovec-ray-"
_LONGEST = 40  # characters of the session's folder: Ray adds 65, and a Unix socket's path ends at 107


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
    if address is None:
        with _private_environment(), _temporary_folder() as folder:
            import ray

            if ray.is_initialized():
                yield
                return
            options = {
                "address": "local",
                "num_cpus": cpus,
                "object_store_memory": object_store_bytes,
                "include_dashboard": False,
                "_temp_dir": str(folder),
            }
            yield from _hold(ray, options, WorkerError("a local Ray does not start"))
    else:
        import ray

        if ray.is_initialized():
            yield
            return
        yield from _hold(ray, {"address": address}, InputError(f"no Ray cluster answers at {address!r}"))


def _hold(ray: Any, options: dict[str, Any], failure: Exception) -> Iterator[None]:
    try:
        try:
            ray.init(**options, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise type(failure)(f"{failure}: {reason}") from error
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _private_environment() -> Iterator[None]:
    """Set what keeps a local Ray private: its own token (else it writes one to the home), no telemetry."""
    wanted = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a FutureWarning at every start
    }
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
def _temporary_folder() -> Iterator[Path]:
    """Give a folder for Ray's session, deleted after it; folders of builds that were killed go, too."""
    root = Path(tempfile.gettempdir())
    root = root if len(str(root)) <= _LONGEST - len(_PREFIX) else Path("/tmp")  # noqa: S108 — sockets' path limit
    for left in root.glob(f"{_PREFIX}*"):
        process = re.match(rf"{_PREFIX}(\d+)-", left.name)
        if process and not psutil.pid_exists(int(process[1])):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
