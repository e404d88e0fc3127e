"""The kotovec that is attacked: its command in a process of its own, within limits, and nothing left of it afterwards.

KOTOVEC_ATTACKED names the Python whose install of kotovec is attacked; by default it is the one that runs the tests.
Nothing here imports kotovec: these attacks run against any version of it. Commit 9eee200 fell to all of them but those
that are marked as held. The files are numbered by the sections of the report of these attacks, and each
test quotes what it said.
"""

import contextlib
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import pytest

PYTHON = os.environ.get("KOTOVEC_ATTACKED", sys.executable)
KOTOVEC = str(Path(PYTHON).with_name("kotovec"))
GIB = 1 << 30
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
second_user = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv, to be a second user"
)
# Address space of a command that may be made to take all memory: torch's libraries alone are mapped with some 10 GiB.
LIMIT = 16 * GIB


@dataclass(frozen=True)
class Done:
    """What became of a command: exit code (None: it had to be killed), output, seconds, and most memory in MB."""

    code: int | None
    out: str
    err: str
    seconds: float
    memory: int

    @property
    def one_line(self) -> bool:
        """Whether stderr is one error, with its hint: besides notes, and the steps that a busy machine makes it say."""
        return re.fullmatch(r"(note: .*\n|\w[\w ]*: .*\d s\n)*error: \S.*\n(hint: \S.*\n)?", self.err) is not None


def environment(mark: str, **variables: str) -> dict[str, str]:
    """Return the environment of a command, without settings of kotovec's, Ray's and Python's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KOTOVEC", "RAY_", "PYTHON"))}
    return kept | {"HF_HUB_OFFLINE": "1", "MARK": mark} | variables


def limited(memory: int = LIMIT, size: int | None = None) -> None:
    """Set limits in a process that has just been forked: bytes of address space, and of each file that is written."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class Process:
    """A command that runs, and every process that comes of it; both end with the block."""

    def __init__(self, *arguments: object, cwd: Path = Path("/"), limits=None, command=(KOTOVEC,), **variables: str):
        self.mark = uuid.uuid4().hex
        self.popen = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=cwd,
            env=environment(self.mark, **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=limits,  # noqa: PLW1509 — it calls setrlimit alone
            start_new_session=True,
        )

    def all(self) -> list[int]:
        """Return the ids of its processes: by the mark in their environment, or by the folder of their Ray."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(entry.name)
                if self._is_ours(entry) and entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(pid)
        return found

    def _is_ours(self, entry: Path) -> bool:
        if f"MARK={self.mark}".encode() in entry.joinpath("environ").read_bytes():
            return True
        return f"/kotovec-ray-{self.popen.pid}-" in os.readlink(entry / "cwd")  # a title may overwrite the environment

    def named(self, name: str) -> list[int]:
        """Return the ids of those of its processes whose command line holds a name."""
        found = []
        for pid in self.all():
            with contextlib.suppress(OSError):
                if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def opened(self, part: str) -> bool:
        """Return whether one of its processes has a file open, or mapped, whose path holds a part."""
        for pid in self.all():
            with contextlib.suppress(OSError):
                links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
                if any(part in link for link in links) or part in Path(f"/proc/{pid}/maps").read_text():
                    return True
        return False

    def signal(self, number: int) -> None:
        """Send a signal to the command."""
        self.popen.send_signal(number)

    def finish(self, stdin: str = "", seconds: float = 60) -> Done:
        """Wait; kill what takes longer than so many seconds."""
        begin, peaks = time.monotonic(), [0]
        threading.Thread(target=self._watch, args=(begin + seconds, peaks), daemon=True).start()
        out, err = self.popen.communicate(stdin.encode())
        taken = time.monotonic() - begin
        code = None if taken > seconds else self.popen.returncode
        return Done(code, *(stream.decode(errors="backslashreplace") for stream in (out, err)), taken, max(peaks))

    def _watch(self, end: float, peaks: list[int]) -> None:
        """Note the most memory that the command took so far, until it ends; kill it when its time is over."""
        with contextlib.suppress(OSError, AttributeError):
            while found := re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{self.popen.pid}/status").read_text()):
                peaks.append(int(found[1]) >> 10)
                if time.monotonic() > end:
                    self.kill()
                time.sleep(0.01)

    def kill(self) -> None:
        """End all of its processes at once."""
        for pid in self.all():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.popen.communicate()
        for folder in Path("/tmp").glob(f"kotovec-ray-{self.popen.pid}-*"):  # noqa: S108 — of a Ray that was killed
            shutil.rmtree(folder, ignore_errors=True)


def run(*arguments: object, stdin: str = "", seconds: float = 60, started=None, **options) -> Done:
    """Run a command of kotovec's to its end; call a function with its process id as soon as it has one."""
    with Process(*arguments, **({"limits": limited} | options)) as process:
        if started is not None:
            started(process.popen.pid)
        return process.finish(stdin, seconds)


def python(*arguments: object, **options) -> Done:
    """Run the attacked Python, which has the libraries that kotovec uses."""
    return run(*arguments, command=(PYTHON,), **options)


@cache
def workers() -> tuple[str, ...]:
    """Return the option of the smallest build: in the command's own process, or in one worker where that cannot be."""
    return ("--workers", "0") if "without Ray" in run("build", "--help", COLUMNS="200").out else ("--workers", "1")


def build(model: Path, store: Path, *options: object, seconds: float = 90, **more) -> Done:
    """Build a store as cheaply as this kotovec can."""
    return run("build", model, "--store", store, "--device", "cpu", *workers(), *options, seconds=seconds, **more)


def together(calls: dict) -> dict:
    """Call several functions, two at a time; return what each returned, by its key.

    A build imports torch for two seconds, which is most of what these tests wait for.
    """
    with ThreadPoolExecutor(2) as pool:
        futures = {key: pool.submit(call) for key, call in calls.items()}
        return {key: future.result() for key, future in futures.items()}


def on_terminal(*arguments: object, typed: str = "", until: str = "\0", seconds: float = 30, **variables: str) -> str:
    """Run a command on a terminal; type once it has shown something; return all that it showed."""
    mark = uuid.uuid4().hex
    mine, its = pty.openpty()
    shown, end = b"", time.monotonic() + seconds
    with subprocess.Popen(
        [KOTOVEC, *map(str, arguments)],
        env=environment(mark, TERM="xterm", **variables),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ) as process:
        os.close(its)
        while time.monotonic() < end:
            if select.select([mine], [], [], 0.1)[0]:
                try:
                    shown += os.read(mine, 65536)
                except OSError:  # nobody has the terminal any more
                    break
            if until.encode() in shown:
                os.write(mine, typed.encode())
                until = "\0"
        process.kill()
    os.close(mine)
    return shown.decode(errors="backslashreplace")


def wait_for(condition, seconds: float = 60):
    """Return the condition's value as soon as it is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    return pytest.fail(f"nothing within {seconds} s")


def tree(folder: Path) -> dict[str, bytes]:
    """Return what all regular files of a folder hold."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def writable_by_others(path: Path) -> bool:
    """Return whether other users can enter a folder and write to it, by the modes."""
    entered = all(parent.stat().st_mode & 0o001 for parent in path.parents)
    return entered and path.stat().st_mode & 0o003 == 0o003
