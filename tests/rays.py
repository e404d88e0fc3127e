"""What the tests of builds share: one capped Ray, workers that need no torch, and command lines in processes."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

import kotovec
from kotovec.cluster import pool
from kotovec.cluster.build import Resources, build
from kotovec.cluster.events import Notice, Progress
from kotovec.cluster.plan import Request, make_plan
from kotovec.cluster.session import session
from kotovec.workers.encoder import Encoded
from kotovec.workers.inputs import Inputs

CHECKOUT = next((p for p in Path(kotovec.__file__).parents[:2] if (p / "pyproject.toml").is_file()), None)
SIZE = 32  # dimensions of the tiny models
COMMAND = "from kotovec.cli.app import main; main()"
# A worker that takes its time, so that signals meet it at work; the vectors are the real ones.
SLOW_COMMAND = """
import time
from kotovec.cluster import pool

class Slow(pool.Encoder):
    def encode(self, *arguments):
        time.sleep(0.3)
        return super().encode(*arguments)

pool.Encoder = Slow
from kotovec.cli.app import main
main()
"""


@pytest.fixture(scope="session")
def one_ray():
    """One private Ray of three logical CPUs for all tests; in-process builds run on it."""
    with session(None, 3, 200 << 20):
        import ray

        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield


@pytest.fixture
def employ(monkeypatch, one_ray):
    """Return a function that makes builds use another class of workers; `Fake` from the start."""

    def change(worker):
        monkeypatch.setattr(pool, "Encoder", worker)

    change(Fake)
    return change


class Fake:
    """A worker that needs no torch: vectors that `expected` can tell from the ids."""

    def __init__(self, spec):
        self.spec = spec

    def load(self, *_):
        pass

    def encode(self, number, inputs):
        return Encoded(number, arrays(inputs.tokens, self.spec), "host", "none", self.spec.forward)


class Newer(Fake):
    """Gives other vectors for the same plan: those of the ids 7 further."""

    def encode(self, number, inputs):
        return super().encode(number, Inputs.isolated(inputs.tokens + 7, self.spec.template))


def expected(ids, spec):
    """Return what `Fake` gives, (L, n, D)."""
    angles = (ids[:, np.newaxis] + 1) * np.arange(1, SIZE + 1)
    layers = np.stack([np.cos(angles + layer) for layer in spec.layers])
    return layers.astype(spec.store_dtype)


def arrays(ids, spec):
    """Return the same by the names of their spaces."""
    return dict(zip(spec.spaces, expected(ids, spec), strict=True))


def static_of(plan):
    """Return the tokens' rows of a tiny model's input embedding matrix, (V, D) float32, read without kotovec."""
    from safetensors.numpy import load_file

    tensors = load_file(plan.model.source.folder / "model.safetensors")
    return tensors[plan.table.tensor].astype(np.float32)[plan.tokens.ids]


def plan_of(folder, **options):
    """Plan a build of a tiny model in shards of at most 64 tokens."""
    return make_plan(Request(**({"model": str(folder), "shard_tokens": 64, "device": "cpu"} | options)))


class Listener(list):
    """Keeps the events of a build."""

    def __call__(self, event):
        self.append(event)

    @property
    def notices(self):
        return [event.text for event in self if isinstance(event, Notice)]

    @property
    def progress(self):
        return [event.done for event in self if isinstance(event, Progress)]


def run_build(plan, store, workers=2, **options):
    """Build in this process; return the summary and what was told."""
    listener = Listener()
    summary = build(plan, store, Resources(workers=workers), report=listener, **options)
    return summary, listener


def datasets(store):
    """Return each dataset of tokens.h5 and of the spaces: its name (`isolated-2/vectors`), dtype, shape, and bytes."""
    found = {}
    for path in (store / "tokens.h5", *sorted((store / "spaces").glob("*.h5"))):
        with h5py.File(path) as file:
            for name, node in file.items():
                found[f"{path.stem}/{name}"] = (str(node.dtype), node.shape, node[()].tobytes())
    return found


def left_behind(store):
    """Return what a build should have deleted: locks, parts, shards, and a rebuild beside the store."""
    beside = [path for path in store.parent.iterdir() if path.name.startswith(f".{store.name}")]
    inside = [path for path in store.rglob("*") if path.name.startswith(".") or path.name == "shards"]
    return [str(path.relative_to(store.parent)) for path in [*beside, *inside]]


def workers_named(title):
    """Return this process' workers whose title holds `title`: Ray writes there what an actor is and does."""
    return [child for child in psutil.Process().children(recursive=True) if title in title_of(child)]


def title_of(process):
    """Return a process' name and command line; nothing of one that has just ended."""
    try:
        return " ".join([process.name(), *process.cmdline()])
    except psutil.NoSuchProcess:
        return ""


class Process:
    """A `kotovec` command line in a process of its own, and every process that comes of it."""

    def __init__(self, *arguments, cwd, code=COMMAND, home=None, **options):
        self.mark = uuid.uuid4().hex
        # Without the settings of the tests' own Ray.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {"MARK": self.mark, "HF_HUB_OFFLINE": "1"}
        if home is not None:
            environment |= {"HOME": str(home), "HF_HOME": str(cwd / "hf")}
        if CHECKOUT is not None:
            environment["PYTHONPATH"] = str(CHECKOUT)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        command = [sys.executable, "-c", code, *map(str, arguments)]
        self.popen = subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **options)

    def all(self):
        """Return this process and what comes of it: by its session, its mark in the environment, or its Ray's folder.

        Where a process takes a title, it may write it over its environment; it still works in the folder.
        """
        ours = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                marked = os.getsid(process.pid) == self.popen.pid or process.environ().get("MARK") == self.mark
                if (
                    marked or f"/kotovec-ray-{self.popen.pid}-" in process.cwd()
                ) and process.status() != psutil.STATUS_ZOMBIE:
                    ours.append(process)
        return ours

    def finish(self, seconds=90):
        """Wait; return the exit code, stdout and stderr."""
        out, err = self.popen.communicate(timeout=seconds)
        return self.popen.returncode, out, err

    def left(self, seconds=10):
        """Return the processes that are still there some seconds after the end."""
        wait_for(lambda: not self.all(), seconds, fail=False)
        return [title for process in self.all() if (title := title_of(process))]

    def named(self, title):
        """Return those of its processes whose title holds `title`."""
        return [process for process in self.all() if title in title_of(process)]

    def folders(self):
        """Return the session folders of its Ray that are there."""
        return sorted(Path("/tmp").glob(f"kotovec-ray-{self.popen.pid}-*"))  # noqa: S108

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.all():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.popen.communicate()


def wait_for(condition, seconds=60, *, fail=True):
    """Return the condition's value as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    if fail:
        pytest.fail(f"nothing within {seconds} s")
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def shard_files(store):
    return sorted((store / "shards").glob("*.h5"))
