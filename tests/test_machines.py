"""A cluster of machines that share no disk: nodes from which folders are hidden, so that only the network is left."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from models import make_bert
from rays import COMMAND, Process, datasets, free_port, plan_of, run_build, wait_for

# A worker that needs a library of its machine, as torch needs those of the GPU's driver.
NEEDS_A_LIBRARY = """
import pathlib, time
from kotovec.cluster import pool

class Picky(pool.Encoder):
    def load(self, *arguments):
        time.sleep(0.5)
        if not pathlib.Path({library!r}).exists():
            raise OSError("libcudart.so.12: cannot open shared object file")
        super().load(*arguments)

pool.Encoder = Picky
"""


class Node:
    """A Ray node in a process of its own; in place of each folder of `hide` it sees the other one."""

    def __init__(self, root, environment, *arguments, hide=()):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        command += ["--object-store-memory=100000000", f"--dashboard-agent-listen-port={free_port()}", *arguments]
        if hide:
            hiding = " && ".join(f"mount --bind '{other}' '{folder}'" for folder, other in hide)
            command = ["unshare", "--mount", "sh", "-c", f'{hiding} && exec "$@"', "sh", *command]
        log = root / f"{secrets.token_hex(4)}.log"
        with log.open("w") as file:
            self.popen = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd=root)
        wait_for(lambda: "Ray runtime started" in log.read_text())  # two that start at once may wait without end

    def end(self):
        with contextlib.suppress(psutil.Error):
            for process in (*psutil.Process(self.popen.pid).children(recursive=True), self.popen):
                process.kill()
        self.popen.wait(30)


class Machines:
    """A head without CPUs, which shares the disk of the tests, and two nodes of two CPUs that do not.

    From the first node the model and the library are hidden; the second has another model under the same path.
    """

    def __init__(self, root):
        self.root, self.nodes = root, []
        self.model, self.library = make_bert(root / "model"), root / "library"
        other, empty = make_bert(root / "other", seed=9), root / "empty"
        empty.mkdir()
        self.library.mkdir()
        (self.library / "libcudart.so.12").touch()
        self.variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self.hidden = [(self.model, empty), (self.library, empty)], [(self.model, other)]

    def start(self):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        ray_client = f"--ray-client-server-port={free_port()}"
        head = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", ray_client]
        self._add(*head, f"--temp-dir={self.root}/ray")
        for hide in self.hidden:
            self._add(f"--address={self.address}", "--num-cpus=2", hide=hide)

    def _add(self, *arguments, hide=()):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= self.variables | {"XDG_CACHE_HOME": str(self.root / f"cache{len(self.nodes)}")}
        self.nodes.append(Node(self.root, environment, *arguments, hide=hide))

    def build(self, store, *, prepare=""):
        """Build with two workers; return the exit code and what stderr says."""
        code = f"import os; os.environ |= {self.variables!r}\n{prepare}\n{COMMAND}"
        options = ["--store", store, "--shard-tokens", 64, "--workers", 2, "--device", "cpu", "--address", self.address]
        with Process("build", self.model, *options, "--overwrite", cwd=store.parent, code=code) as process:
            status, _, err = process.finish(240)
        return status, err.splitlines()


@pytest.fixture(scope="module")
def machines():
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("no folder can be hidden from a process here (that takes root)")
    root = Path(tempfile.mkdtemp(prefix="km", dir="/tmp"))  # the path of a Unix socket has 107 characters
    machines = Machines(root)
    try:
        machines.start()
        yield machines
    finally:
        for node in machines.nodes:
            node.end()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def undisturbed(machines, tmp_path_factory):
    """The datasets of a build on this machine alone."""
    store = tmp_path_factory.mktemp("here") / "here.kotovec"
    run_build(plan_of(machines.model), store, 1)
    return datasets(store)


@pytest.mark.parametrize("sent", [2, 0], ids=["the first time", "once more"])
def test_a_node_that_lacks_the_model_or_has_another_in_its_place_gets_it_once(sent, machines, undisturbed, tmp_path):
    """One worker goes to each node, though either has room for both: else one would be sent the model, not two."""
    status, told = machines.build(tmp_path / "x.kotovec")
    assert status == 0, told
    assert len({line.split()[2] for line in told if line.endswith("it is sent from here")}) == len(told) == sent
    assert datasets(tmp_path / "x.kotovec") == undisturbed
    for number in (1, 2):
        (received,) = (machines.root / f"cache{number}" / "kotovec").iterdir()
        assert sorted(path.name for path in received.iterdir()) == ["config.json", "model.safetensors"]
    assert not (machines.root / "cache0").exists()


def test_a_node_on_which_no_worker_starts_is_named_and_left_out(machines, undisturbed, tmp_path):
    prepare = NEEDS_A_LIBRARY.format(library=str(machines.library / "libcudart.so.12"))
    status, told = machines.build(tmp_path / "x.kotovec", prepare=prepare)
    assert status == 0, told
    told = [line for line in told if not line.endswith("it is sent from here")]
    assert len(told) == 1
    assert told[0].startswith(f"note: {os.uname().nodename} (node ")
    assert told[0].endswith(
        "is left out: a worker does not start: OSError: libcudart.so.12: cannot open shared object file"
    )
    assert datasets(tmp_path / "x.kotovec") == undisturbed


def test_where_no_node_starts_a_worker_the_build_ends_in_one_line(machines, tmp_path):
    status, told = machines.build(tmp_path / "x.kotovec", prepare=NEEDS_A_LIBRARY.format(library="/nowhere"))
    assert status == 1
    assert told[-1] == ("error: a worker does not start: OSError: libcudart.so.12: cannot open shared object file")
    assert len([line for line in told if "is left out" in line]) == 1
    assert not (tmp_path / "x.kotovec").exists()
