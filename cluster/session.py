"""A Ray session for a build: an existing one, that of a cluster, or a private local one that leaves nothing behind."""

import contextlib
import logging
import os
import re
import secrets
import site
import socket
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

import kotovec
from kotovec import limits
from kotovec.cluster.address import check_reachable, endpoint_of
from kotovec.cluster.private import children, end_needless, ray_folder, temporary_folder, working_folder
from kotovec.errors import (
    RESUME,
    InputError,
    KotovecError,
    WorkerError,
    first_line,
    last_line,
    quoted,
)
from kotovec.ownership import is_public

_PRIVATE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Off: then Ray takes the loopback address as its own, as on macOS. Otherwise all its ports are open to the network,
    # and those for metrics ask for no token. Ray does not accept `_node_ip_address="127.0.0.1"` for that.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a FutureWarning at every start
}
# Under `uv run`, Ray would zip the folder in which it is started, and start its workers with `uv run` there. That was
# the folder of the private Ray, zipped into itself (66 GB in three minutes); with `--address`, it would be `/`.
_NO_UV = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
# Ray prints paragraphs about losses on stdout, whatever its logging options; the pool reports each in one line.
_LOSSES = ("worker died or was killed", "has been marked dead", "running low on memory", "Raylet is terminated")
_QUIET = {"RAY_DEDUP_LOGS_SKIP_REGEX": "|".join(_LOSSES)}
# By default, Ray asks a cluster that refuses its token for 20 s, and logs a line at each try; one that accepts
# connections and says nothing, for 30 s at each. After its client was
# disconnected, any call would connect to another Ray, if there is one.
_JOINED = {"RAY_NUM_REDIS_GET_RETRIES": "8", "RAY_py_gcs_connect_timeout_s": "5", "RAY_ENABLE_AUTO_CONNECT": "0"}
_FILES = ("RAY_AUTH_TOKEN_PATH", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")


_LATE = re.compile(r"Timed out waiting for file \S*/(\w+)_port_\w+.*")
Check = Callable[[], None]
_VITAL = ("gcs_server", "raylet")
_CLIENT_TRIES = 3  # each takes half a minute
_LOOKS, _LOOK_SECONDS = 3, 5.0  # Ray's C++ code ends this process a minute after it lost the head


@contextlib.contextmanager
def session(address: str | None, cpus: int, object_store_bytes: int, folder: Path | None = None) -> Iterator[Check]:
    """Hold a Ray session for the block: the running one, the cluster at `address`, or a private local one.

    Yields a function that raises a WorkerError once a private Ray or the head of a cluster has died: Ray's own calls
    would then hang, or end this process after a minute.

    Ray takes over signals: its start installs a handler of SIGTERM, which exits with 1, and a KeyboardInterrupt during
    its start or its end can crash the process or wait for a lock. A caller that must be interruptible at any time holds
    the session in a separate process and kills that one, as the command line does.

    Args:
        address: `auto`, `HOST:PORT`, `ray://…`; None for a private local Ray.
        cpus: number of logical CPUs of a private Ray.
        object_store_bytes: size of a private Ray's object store.
        folder: folder of a private Ray, from `temporary_folder`, where another process ends that Ray; None for a folder
            that is deleted after the block.

    Raises:
        InputError: no cluster answers at the address, no temporary folder is safe from other users, or the limits of
            this process are too low.
        WorkerError: Ray does not start.
    """
    if _running():
        yield _checks[-1] if _checks else _nothing
    elif address is None:
        _check_limits()
        held = temporary_folder() if folder is None else contextlib.nullcontext(folder)
        with _environment(_PRIVATE | _NO_UV | _QUIET | _import_path()), _private_authentication(), held as home:
            import ray

            options = {
                "address": "local",
                "num_cpus": cpus,
                "object_store_memory": object_store_bytes,
                "include_dashboard": False,
                "_temp_dir": str(ray_folder(home)),
            }
            with _hold(ray, options, WorkerError("a local Ray does not start"), working_folder(home)):
                end_needless(home)
                vital = {name: child for name, child in children(home) if name in _VITAL}
                with _checked(partial(_check, vital)):
                    yield _checks[-1]
    else:
        with join(address):
            yield _checks[-1]


def _check_limits() -> None:
    """Refuse to start Ray where its processes would fail one after the other, for half a minute.

    Raises:
        InputError: a process may open too few files, or take too little address space.
    """
    if (most := limits.files()) < limits.FEWEST_FILES:
        raise InputError(
            f"a process may open {most} files here, and a local Ray needs {limits.FEWEST_FILES}",
            hint="raise the limit with ulimit -n, or encode without Ray: --workers 0",
        )
    if (space := limits.space()) is not None and space < limits.RAY_SPACE:
        raise InputError(
            f"this process may take {space >> 20:,} MB of address space, and a local Ray needs "
            f"{limits.RAY_SPACE >> 20:,} MB",
            hint="raise the limit with ulimit -v, or encode without Ray: --workers 0",
        )


def import_ray() -> None:
    """Import Ray for a private session; Ray reads some environment variables only when it is imported."""
    with _environment(_PRIVATE | _NO_UV | _QUIET):
        import ray  # noqa: F401


@contextlib.contextmanager
def join(address: str) -> Iterator[None]:
    """Join the cluster at `address` (`auto`, `HOST:PORT`, `ray://…`) for the block, unless a session exists already.

    Raises:
        InputError: no cluster answers at the address.
    """
    if _running():
        yield
        return
    with _environment(_NO_UV | _QUIET | _JOINED | _absolute_paths()):
        on_loopback = check_reachable(address)
        import ray

        failure = InputError(
            f"no Ray cluster answers at {quoted(address)}",
            hint="set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN if the cluster requires a token",
        )
        logging.getLogger("ray.util.client").setLevel(logging.CRITICAL)  # an error reports lost connections
        # The root folder: every machine has it, and no other user can write to it.
        with _hold(ray, {"address": address}, failure, Path("/"), on_loopback=on_loopback):
            endpoint = endpoint_of(address if address.startswith("ray://") else ray.get_runtime_context().gcs_address)
            with _checked(partial(_check_head, address, endpoint) if endpoint else _nothing):
                yield


def _nothing() -> None:
    """Check nothing: whoever started this Ray monitors it."""


def _check_head(address: str, endpoint: tuple[str, int]) -> None:
    """Check that the head of a cluster accepts connections; wait some seconds for it, as it may be restarting."""
    for look in range(_LOOKS):
        time.sleep(_LOOK_SECONDS if look else 0)
        with contextlib.suppress(OSError), socket.create_connection(endpoint, timeout=_LOOK_SECONDS):
            return
    raise WorkerError(f"the cluster at {address} no longer answers", hint=RESUME)


_checks: list[Check] = []  # of the Ray session of this process


@contextlib.contextmanager
def _checked(check: Check) -> Iterator[None]:
    _checks.append(check)
    try:
        yield
    finally:
        _checks.pop()


def _check(vital: dict[str, psutil.Process]) -> None:
    for name, process in vital.items():
        try:
            dead = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            dead = True
        if dead:
            raise WorkerError(f"Ray's {name} died (out of memory?)", hint=RESUME)


def _import_path() -> dict[str, str]:
    """Return the PYTHONPATH of workers: kotovec's folder, if not installed, and entries that are not public.

    An empty or a relative entry would mean the folder in which the workers start.
    """
    root = Path(kotovec.__file__).resolve().parents[1]
    installed = (*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("purelib"))
    own = [] if len(kotovec.__path__) == 1 and str(root) in map(os.path.realpath, installed) else [str(root)]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in named if Path(entry).is_absolute() and not is_public(entry)]
    return {"PYTHONPATH": os.pathsep.join([*own, *kept])}  # an empty PYTHONPATH counts as none


def _absolute_paths() -> dict[str, str]:
    """Return Ray's settings that name files, with absolute paths, which hold in any working directory."""
    return {name: str(Path(path).absolute()) for name in _FILES if (path := os.environ.get(name))}


def _running() -> bool:
    """Return whether this process has a Ray session, without importing Ray."""
    ray: Any = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


@contextlib.contextmanager
def _hold(
    ray: Any, options: dict[str, Any], failure: KotovecError, folder: Path, *, on_loopback: bool = False
) -> Iterator[None]:
    """Hold a session that starts in `folder`; see `check_reachable` for `on_loopback`.

    Ray puts the working directory and the script's folder first on its workers' sys.path: every worker would run a
    `random.py` in one of them, for example in the folder of a downloaded model.
    """
    try:
        with contextlib.chdir(folder), _harmless_arguments(), _constants(on_loopback=on_loopback):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the error contains them
                    _start_or_join(ray, options)
            except Exception as error:  # Ray raises bare ones, too
                # A ConnectionAbortedError quotes the traceback of a server for clients.
                reason = last_line(error) if isinstance(error, ConnectionAbortedError) else first_line(error)
                hint = failure.hint
                if isinstance(failure, WorkerError):  # on this machine
                    reason, hint = _LATE.sub(r"its \1 did not start within half a minute", reason), limits.low()
                raise type(failure)(f"{failure}: {reason}", hint=hint) from error
        yield
    finally:
        ray.shutdown()


def _start_or_join(ray: Any, options: dict[str, Any]) -> None:
    """Start or join Ray; try again where a cluster could not start its server for this client.

    The cluster forks that server while gRPC's threads run, and about one in fifteen dies of it (ray-project/ray
    issue 63202; not where the head has GRPC_ENABLE_FORK_SUPPORT=0).
    """
    for tries_left in reversed(range(_CLIENT_TRIES)):
        try:
            ray.init(**options, log_to_driver=False, logging_level="ERROR")
        except ConnectionAbortedError as error:
            if not tries_left or not _died_as_it_started(error):
                raise
        else:
            return


def _died_as_it_started(error: ConnectionAbortedError) -> bool:
    """Return whether a cluster's server for clients died, as Ray reports it, rather than refused the connection."""
    return any(words in str(error) for words in ("Starting Ray client server failed", "ZombieProcess", "to backend!"))


@contextlib.contextmanager
def _harmless_arguments() -> Iterator[None]:
    """Hide the script's folder, and bytes that are not UTF-8, from Ray, which records the command.

    Ray would put the folder on its workers' sys.path, and would not start with such bytes.
    """
    before = sys.argv
    names = [Path(argument).name for argument in before[:1]]
    sys.argv = [argument.encode(errors="replace").decode() for argument in (*names, *before[1:])]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _constants(*, on_loopback: bool) -> Iterator[None]:
    """Set, for the start of a session, what Ray reads from the environment only when it is imported.

    Whoever calls kotovec from Python may have imported Ray before.
    """
    from ray._private import ray_constants

    wanted = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": False} | ({"ENABLE_RAY_CLUSTER": False} if on_loopback else {})
    before = {name: getattr(ray_constants, name) for name in wanted if hasattr(ray_constants, name)}
    vars(ray_constants).update({name: wanted[name] for name in before})
    try:
        yield
    finally:
        vars(ray_constants).update(before)


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
    """Keep a local Ray private with a token of its own; without one, Ray would write one to the user's home."""
    with _environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}):
        _reload_authentication()
        yield
    _reload_authentication()


def _reload_authentication() -> None:
    """Let Ray read its token again: it keeps the mode from its import, and the token from its first session."""
    try:
        from ray._raylet import AuthenticationTokenLoader, Config
    except ImportError:  # a version of Ray without tokens
        return
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
