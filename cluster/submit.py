"""Jobs on an existing cluster, through Ray's Jobs API: start one, read its log as it grows, stop it."""

import asyncio
import contextlib
import logging
import os
import re
import shlex
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kotovec.cluster.address import KNOCK_SECONDS
from kotovec.cluster.stage import stage
from kotovec.errors import InputError, KotovecError, MissingDependencyError, WorkerError, first_line, last_line
from kotovec.ownership import changeable
from kotovec.store.files import disk_full, is_disk_full

PATIENCE_SECONDS = 60.0  # for a cluster that no longer answers: a port forward or a head may be restarting
QUIET_SECONDS = 60.0  # without a line of the log: the connection may be dead, for example after a laptop's sleep
MOST_ANSWER = 1 << 16  # bytes of an answer that are read to see whether it is Ray's
_TELLS = "kotovec_store"  # a key of a job's metadata
_ADDRESS = "RAY_API_SERVER_ADDRESS"  # overrides the address that is passed to Ray's client
_DASHBOARD = "use the address of its dashboard, such as http://HOST:8265"
_CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


@dataclass(frozen=True)
class JobEnd:
    """How a job ended: Ray's status (SUCCEEDED, FAILED, STOPPED), the exit code where there is one, and the reason."""

    status: str
    code: int | None
    message: str


@dataclass(frozen=True)
class Listed:
    """A job of a cluster: its name, Ray's status, when it was started (UTC), and the store that it builds."""

    job: str
    status: str
    started: datetime | None
    store: str


class Jobs:
    """The Jobs API of one cluster."""

    def __init__(self, client: Any, address: str) -> None:
        self.address = address
        self._client = client
        self.streams = True  # until a WebSocket is not available: some proxies pass none

    def start(self, module: str, arguments: list[str], job: str, metadata: dict[str, str] | None = None) -> None:
        """Start a job that runs a module of this kotovec with the cluster's own Python.

        Raises:
            InputError: the cluster refuses the job, for example as a job of that name exists already; or other users
                could replace the files that are shipped.
            DiskFullError: this machine's disk has no room for the files that are shipped.
        """
        command = shlex.join(["python", "-m", module, *arguments])
        try:
            if weak := changeable(Path(tempfile.gettempdir())):
                raise InputError(
                    f"other users can change {weak}, where temporary files go", hint="name another folder with TMPDIR"
                )
            with tempfile.TemporaryDirectory(prefix="kotovec-stage-") as folder:
                tree = stage(Path(folder))
                with _answering(self.address):
                    self._client.submit_job(
                        entrypoint=f"KOTOVEC_EVENTS=1 {command}",
                        submission_id=job,
                        runtime_env={"working_dir": str(tree)},
                        metadata=metadata,
                    )
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(Path(tempfile.gettempdir())) from error
            raise

    def submitted(self) -> list[Listed]:
        """Return the builds that `kotovec submit` sent to this cluster, the latest first.

        Raises:
            WorkerError: the cluster does not answer.
        """
        with _answering(self.address):
            found = [job for job in self._client.list_jobs() if _TELLS in (job.metadata or {})]
        found.sort(key=lambda job: job.start_time or 0, reverse=True)
        return [
            Listed(
                str(job.submission_id),
                str(getattr(job.status, "value", job.status)),
                None if job.start_time is None else datetime.fromtimestamp(job.start_time / 1000, UTC),
                str(job.metadata[_TELLS]),
            )
            for job in found
        ]

    def store_of(self, job: str) -> str:
        """Return the path of the store that a job builds.

        Raises:
            InputError: there is no such job, or `kotovec submit` did not start it.
        """
        metadata = self._info(job).metadata or {}
        if _TELLS not in metadata:
            raise InputError(f"job {job} was not started by kotovec submit")
        return str(metadata[_TELLS])

    def build(self, arguments: list[str], job: str, store: str) -> None:
        """Start a job that builds a store; see `start`."""
        command = ["build", *arguments, "--store", store, "--address", "auto", "--json"]
        self.start("kotovec.cli", command, job, {_TELLS: store})

    def end(self, job: str) -> JobEnd | None:
        """Return how a job ended, or None while it is not over.

        Raises:
            InputError: there is no such job.
            WorkerError: the cluster does not answer.
        """
        info = self._info(job)
        if not info.status.is_terminal():
            return None
        return JobEnd(str(info.status.value), info.driver_exit_code, info.message or "")

    def stop(self, job: str) -> bool:
        """Stop a job; return whether it was running. Ray gives the job 3 s to end by itself.

        Raises:
            InputError: there is no such job.
        """
        self._info(job)
        with _answering(self.address):
            return bool(self._client.stop_job(job))

    def lines(self, job: str) -> Iterator[str]:
        """Yield each line of a job's log, from its beginning until the job has ended.

        Broken connections are restored.

        Raises:
            InputError: there is no such job.
            WorkerError: the cluster does not answer for a minute.
        """
        seen, rest, answered = 0, "", time.monotonic()
        while True:
            with contextlib.suppress(WorkerError), contextlib.closing(self.chunks(job)) as chunks:
                position = 0
                for chunk in chunks:
                    *lines, rest = (rest + chunk[max(0, seen - position) :]).split("\n")
                    position += len(chunk)
                    seen = max(seen, position)
                    answered = time.monotonic()
                    yield from lines
                if self.end(job) is not None:
                    break
                answered = time.monotonic()
            if time.monotonic() - answered > PATIENCE_SECONDS:
                raise WorkerError(f"the cluster at {self.address} no longer answers")
            time.sleep(1)
        if rest:
            yield rest

    def chunks(self, job: str) -> Generator[str, None, None]:
        """Yield a job's log from its beginning, as it grows; may end before the job does.

        Raises:
            InputError: there is no such job.
            WorkerError: the connection broke.
        """
        self._info(job)
        if self.streams:
            try:
                with _answering(self.address):
                    yield from self._streamed(job)
            except _NoStreamError:
                self._info(job)  # raises where the cluster itself is lost
                self.streams = False
        if not self.streams:
            yield from self._polled(job)

    def _streamed(self, job: str) -> Iterator[str]:
        import aiohttp

        tail = self._client.tail_job_logs(job)

        async def following() -> str | None:
            return await asyncio.wait_for(anext(tail, None), QUIET_SECONDS)

        with asyncio.Runner() as runner:
            try:
                while (chunk := runner.run(following())) is not None:
                    yield chunk
            except TimeoutError:
                return
            except (aiohttp.WSServerHandshakeError, aiohttp.ClientConnectorError) as error:
                raise _NoStreamError from error
            except (aiohttp.ClientError, RuntimeError) as error:
                raise ConnectionError(first_line(error)) from error

    def _polled(self, job: str) -> Iterator[str]:
        seen = 0
        while True:
            ended = self.end(job) is not None
            with _answering(self.address):
                log = self._client.get_job_logs(job)
            if len(log) > seen:
                yield log[seen:]
                seen = len(log)
            if ended:
                return
            time.sleep(1)

    def _info(self, job: str) -> Any:
        with _answering(self.address):
            try:
                return self._client.get_job_info(job)
            except RuntimeError as error:
                if "does not exist" in str(error):
                    raise InputError(f"the cluster at {self.address} has no job {job}") from error
                raise


class _NoStreamError(Exception):
    """The API answers, but a WebSocket is not available."""


def connect(address: str | None) -> Jobs:
    """Return the Jobs API at an address, once it has answered.

    Args:
        address: address of the cluster's dashboard, `http://HOST:PORT`, `https://…` or `HOST:PORT`; `auto` for a
            cluster that runs on this machine.

    Raises:
        MissingDependencyError: ray[default] is not installed.
        InputError: nothing answers, the answer is not Ray's, or the token is not the cluster's.
    """
    if not address:
        raise InputError(
            "no cluster is named", hint="name its dashboard with --address http://HOST:8265, or set RAY_ADDRESS"
        )
    try:
        import aiohttp  # noqa: F401 — of ray[default]
        import requests  # noqa: F401
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name or 'ray[default]'} is missing", hint="install it: pip install 'kotovec[cluster]'"
        ) from error
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    if re.fullmatch(r"[^/]+:\d+/?", address):
        address = f"http://{address}"
    shown = _harmless(address)
    if address != "auto":
        _knock(address, shown)
    with _answering(shown), _overruled(address):
        try:
            client = JobSubmissionClient(address)
        except ConnectionError as error:
            raise InputError(f"no Ray cluster answers at {shown}: {_line(error)}", hint=_DASHBOARD) from error
    return Jobs(client, shown)


def _knock(address: str, shown: str) -> None:
    """Check that an address is a dashboard: Ray's own client has no time limit, and does not notice that it is not.

    Raises:
        InputError: the address is not a dashboard.
    """
    import requests

    if not address.startswith(("http://", "https://")):
        raise InputError(f"--address {shown} takes no jobs", hint=_DASHBOARD)
    try:
        answer, text = _get(f"{address.rstrip('/')}/api/version")
    except requests.exceptions.Timeout as error:
        raise InputError(f"no Ray cluster answers at {shown} within {KNOCK_SECONDS:g} s", hint=_DASHBOARD) from error
    except requests.exceptions.ConnectionError as error:
        if "BadStatusLine" in str(error) or "Connection aborted" in str(error):
            raise InputError(
                f"{shown} speaks no HTTP: it may be the cluster's own port (6379)", hint=_DASHBOARD
            ) from error
        reason = re.search(r"\[Errno -?\d+\] [\w ]+|certificate verify failed|Unable to connect to proxy", str(error))
        problem = f"no Ray cluster answers at {shown}{f': {reason[0]}' if reason else ''}"
        raise InputError(problem, hint=_DASHBOARD) from error
    except (requests.RequestException, ValueError) as error:
        raise InputError(f"--address {shown}: {_line(error)}") from error
    answered = answer.status_code in (401, 403) or "ray_version" in text  # 401, 403: it requires a token
    if not answered:
        raise InputError(f"{shown} is not a Ray cluster (HTTP {answer.status_code})", hint=_DASHBOARD)


def _get(address: str) -> tuple[Any, str]:
    """Return the answer of a server and the beginning of its text, within some seconds: it may have no end."""
    import requests

    end, data = time.monotonic() + KNOCK_SECONDS, bytearray()
    with requests.get(address, timeout=KNOCK_SECONDS, stream=True) as answer:
        for part in answer.iter_content(1):
            data += part
            if time.monotonic() > end:
                raise requests.exceptions.Timeout
            if len(data) == MOST_ANSWER:
                break
        return answer, data.decode(errors="replace")


@contextlib.contextmanager
def _overruled(address: str) -> Iterator[None]:
    """Let an address override the one in the environment, which Ray would prefer."""
    before = os.environ.get(_ADDRESS)
    os.environ[_ADDRESS] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ADDRESS]
        else:
            os.environ[_ADDRESS] = before


@contextlib.contextmanager
def _answering(address: str) -> Iterator[None]:
    """Turn the exceptions of Ray's client into errors of one line.

    Raises:
        InputError: the token is not the cluster's, or the request is refused.
        WorkerError: the connection broke.
    """
    from ray.exceptions import AuthenticationError

    try:
        yield
    except KotovecError:
        raise
    except AuthenticationError as error:
        reason = first_line(error).split(". ")[0]
        raise InputError(
            f"{address}: {reason}",
            hint="give Ray the cluster's token with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH)",
        ) from error
    except OSError as error:  # includes the exceptions of requests
        if is_disk_full(error):  # the disk of this machine
            raise
        raise WorkerError(f"the cluster at {address} does not answer: {_line(error)}") from error
    except (RuntimeError, ValueError) as error:
        if re.search("status code 50[234]", str(error)):  # from a proxy whose cluster does not answer
            raise WorkerError(f"the cluster at {address} does not answer: {_reason(error)}") from error
        raise InputError(f"the cluster at {address}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the reason of a refused request: the last line of the traceback that Ray sends."""
    return _harmless(last_line(error).strip(" ."))


def _line(error: Exception) -> str:
    return _harmless(first_line(error))


def _harmless(text: str) -> str:
    """Return a text, or an address, without the `USER:PASSWORD@` of addresses."""
    return re.sub(r"[^/\s]+@", "", text)
