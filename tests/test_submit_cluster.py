"""`kotovec submit` on a real cluster whose files the client cannot see: they are in a mount namespace of its own.

One cluster for all tests: head, dashboard and agent, with token authentication, on free ports.
"""

import contextlib
import http.server
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import requests

import commands
from rays import COMMAND, Process, datasets, plan_of, run_build, wait_for

TOKEN = "0123456789abcdef" * 4
BECOME = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
PORTS = (
    "port dashboard-port ray-client-server-port dashboard-agent-listen-port dashboard-agent-grpc-port "
    "metrics-export-port runtime-env-agent-port node-manager-port object-manager-port"
)
# The client is killed as soon as it has laid three pieces in their places.
KILLED = """
import os, signal
from kotovec.cluster import fetch

def write(self, *arguments, write=fetch.Partial.write, left=[3]):
    done = write(self, *arguments)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

fetch.Partial.write = write
"""


def namespace():
    """Return how to start a process with mounts of its own, or None where this machine lets nobody."""
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        with contextlib.suppress(FileNotFoundError):
            if subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0:
                return command
    return None


def free_ports(count):
    """Ports that nobody gets by chance before Ray takes them: below the system's own range, above Ray's workers'."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return ports


def ask(address, path):
    """Return what the dashboard answers, without Ray's client."""
    answer = requests.get(address + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    return answer.json() if answer.ok else {}


def starts(address):
    with contextlib.suppress(OSError):
        return ask(address, "/api/version").get("ray_version")
    return None


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


class Cluster:
    """Where the cluster is, and the folder that holds its stores: empty for whoever looks from here."""

    def __init__(self, address, folder):
        self.address, self.folder = address, folder
        self.settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_ADDRESS": address}

    def submit(self, *arguments, cwd, **environment):
        """Run `kotovec submit` to its end."""
        return commands.start("submit", *arguments, cwd=cwd, environment=self.settings | environment)

    def status(self, job):
        """Return what Ray says of a job, or None where it has none of that name."""
        return ask(self.address, f"/api/jobs/{job}").get("status")

    def client(self, *arguments, cwd, code=""):
        """Start `kotovec submit` as a process that can be killed."""
        prepare = f"import os; os.environ.update({self.settings!r})\n"
        return Process("submit", *arguments, cwd=cwd, code=prepare + code + COMMAND)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    own_mounts = namespace()
    if own_mounts is None:
        pytest.skip("needs a mount namespace: neither unshare -m nor unshare -Urm is allowed here")
    hidden = tmp_path_factory.mktemp("hidden")
    names = PORTS.split()
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    temporary = Path(tempfile.mkdtemp(prefix="kr", dir="/tmp"))  # a socket's path has a limit
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    ray += ["--num-cpus=2", f"--object-store-memory={200 << 20}", f"--temp-dir={temporary}"]
    ray += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0"]
    ray += [f"--{name}={port}" for name, port in ports.items()]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # jobs start `python`
    settings = ["env", "-u", "PYTHONPATH", "RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN={TOKEN}", f"PATH={path}"]
    mount = ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', hidden]
    command = [*settings, *own_mounts, *mount, *ray]
    with (tmp_path_factory.mktemp("log") / "ray.log").open("wb") as log:
        try:
            with Process(*command, cwd=tmp_path_factory.mktemp("home"), code=BECOME, stdout=log, stderr=log):
                wait_for(lambda: starts(address) and listens(ports["dashboard-agent-listen-port"]), 120)
                yield Cluster(address, hidden)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def model(tiny_models):
    return tiny_models["bert"]


@pytest.fixture(scope="module")
def local(model, one_ray, tmp_path_factory):
    """The datasets of a build on this machine."""
    store = tmp_path_factory.mktemp("local") / "x.kotovec"
    run_build(plan_of(model), store, workers=1)
    return datasets(store)


def options(store):
    return ["--store", store, "--shard-tokens", "64", "--workers", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def submitted(cluster, model, tmp_path_factory):
    """A job that has built a store on the cluster, and what the client that submitted it printed."""
    folder = tmp_path_factory.mktemp("submitted")
    store = cluster.folder / "a.kotovec"
    done = cluster.submit(model, *options(store), "--job", "first", "--json", cwd=folder, FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr[-1000:]
    return folder, done


def test_a_store_built_there_is_fetched_and_is_the_one_that_a_build_here_gives(cluster, submitted, local):
    folder, done = submitted
    assert list(cluster.folder.iterdir()) == []  # seen from here
    fetched = folder / "a.kotovec"
    answer = json.loads(done.stdout)
    assert (answer["store"], answer["fetched"], answer["job"]) == (f"{cluster.folder}/a.kotovec", "a.kotovec", "first")
    assert answer["fetched_bytes"] == sum(file.stat().st_size for file in fetched.rglob("*") if file.is_file())
    assert datasets(fetched) == local
    assert [path.name for path in folder.iterdir()] == ["a.kotovec"]
    assert commands.start("verify", "--store", fetched).returncode == 0
    assert "queen" in commands.start("query", "queen", "--store", fetched, "-k", 1).stdout


def test_phases_and_progress_are_shown_as_they_come(submitted, local):
    tokens = local["tokens/id"][1][0]
    shown = submitted[1].stderr
    assert "kotovec submit --attach first --address " in shown
    phases = ("waiting for the cluster", "planning", "starting workers", "encoding", "merging", "index", "fetching")
    places = [shown.index(phase) for phase in phases]
    assert places == sorted(places)
    assert shown.index("starting workers") < shown.index(f"{tokens}/{tokens}")
    assert "Running entrypoint" not in shown


def test_quiet_prints_errors_alone(cluster, model, tmp_path):
    store = cluster.folder / "quiet.kotovec"
    done = cluster.submit(model, *options(store), "-q", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert datasets(tmp_path / "quiet.kotovec")
    refused = cluster.submit(model, *options(store), "--store-dtype", "float16", "-q", "--no-fetch", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(r"error: \S+ was built with other settings \(.+\)\nhint: \S.*\n", refused.stderr)


def test_a_fetch_that_was_killed_goes_on_with_what_is_missing_or_spoiled(cluster, submitted, tmp_path):
    with cluster.client("--attach", "first", cwd=tmp_path, code=KILLED) as client:
        assert client.finish()[0] == -signal.SIGKILL
    part = tmp_path / ".a.kotovec.fetch"
    manifest = json.loads((part / "manifest.json").read_text())
    here = [file for file in manifest["files"] if any((part / "store" / file["path"]).read_bytes())]
    assert len(here) == 3 < len(manifest["files"])
    assert not (tmp_path / "a.kotovec").exists()
    spoiled = part / "store" / here[0]["path"]
    spoiled.write_bytes(b"\xff" + spoiled.read_bytes()[1:])
    done = cluster.submit("--attach", "first", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-1000:]
    whole = sum(file["bytes"] for file in manifest["files"])
    assert json.loads(done.stdout)["fetched_bytes"] == whole - here[1]["bytes"] - here[2]["bytes"]
    for file in (submitted[0] / "a.kotovec").rglob("*.*"):
        same = tmp_path / "a.kotovec" / file.relative_to(submitted[0] / "a.kotovec")
        assert file.is_dir() or file.read_bytes() == same.read_bytes()


def test_a_client_that_was_killed_in_the_build_is_replaced_by_one_that_attaches(cluster, model, local, tmp_path):
    arguments = [model, *options(cluster.folder / "b.kotovec"), "--job", "second"]
    with cluster.client(*arguments, cwd=tmp_path) as client:
        job = client.popen.stderr.readline()
        assert job.startswith("note: job second; ")
        wait_for(lambda: cluster.status("second") == "RUNNING")
        client.popen.kill()
    assert list(tmp_path.iterdir()) == []
    done = cluster.submit("--attach", "second", "--fetch", "here.kotovec", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-1000:]
    assert "kotovec query --store here.kotovec" in done.stdout
    assert datasets(tmp_path / "here.kotovec") == local


def test_ctrl_c_leaves_the_job_and_stop_ends_it(cluster, model, tmp_path):
    arguments = [model, *options(cluster.folder / "c.kotovec"), "--job", "third"]
    with cluster.client(*arguments, cwd=tmp_path) as client:
        wait_for(lambda: cluster.status("third") == "RUNNING")
        client.popen.send_signal(signal.SIGINT)
        code, _, err = client.finish(20)
    assert (code, err.splitlines()[-1]) == (130, "error: interrupted")
    assert f"kotovec submit --stop third --address {cluster.address} stops it" in err
    assert cluster.status("third") == "RUNNING"
    done = cluster.submit("--stop", "third", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "job third is stopped: completed shards are kept on the cluster\n")
    assert cluster.status("third") == "STOPPED"
    done = cluster.submit("--attach", "third", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-2:] == [
        "error: job third was stopped",
        "hint: run the same command again; it resumes",
    ]
    done = cluster.submit("--stop", "third", cwd=tmp_path)
    assert done.stderr.startswith("job third had ended before (STOPPED)")


def test_a_build_that_fails_there_gives_its_line_and_its_exit_code_here(cluster, tmp_path):
    done = cluster.submit("/no/such/model", *options(cluster.folder / "d.kotovec"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: `/no/such/model` is neither a folder nor an id on the Hub")
    assert hint.startswith("hint: give a model's folder that exists")
    assert list(tmp_path.iterdir()) == []


class OnlyHttp(http.server.BaseHTTPRequestHandler):
    """A gateway that passes requests on, but no WebSocket."""

    def do_GET(self):
        if "Upgrade" in self.headers:
            self.send_error(400)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
        answer = requests.request(self.command, self.server.behind + self.path, data=body, headers=kept, timeout=60)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_PUT = do_GET  # noqa: N815 — the names that http.server calls

    def log_message(self, *_):
        pass


def test_where_no_websocket_passes_the_job_is_shown_and_fetched_all_the_same(cluster, submitted, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OnlyHttp) as server:
        server.behind = cluster.address
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        done = cluster.submit("--attach", "first", "--address", address, cwd=tmp_path)
        server.shutdown()
    assert done.returncode == 0, done.stderr[-1000:]
    assert datasets(tmp_path / "a.kotovec") == datasets(submitted[0] / "a.kotovec")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"RAY_AUTH_TOKEN": "f" * 64},
            "Authentication failed: Forbidden: Invalid authentication token\nhint: give Ray ",
        ),
        (
            {"RAY_AUTH_MODE": "disabled"},
            "Authentication required: Unauthorized: Missing authentication token\nhint: give Ray ",
        ),
    ],
    ids=["wrong", "missing"],
)
def test_a_token_that_is_not_the_cluster_s_is_said_in_one_line(cluster, tmp_path, settings, message):
    done = cluster.submit("demo", "--store", "/data/x", cwd=tmp_path, **settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {cluster.address}: {message}")
    assert done.stderr.count("\n") == 2


def test_the_token_may_lie_in_a_file(cluster, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    done = cluster.submit(
        "--stop", "nobody", cwd=tmp_path, RAY_AUTH_TOKEN="", RAY_AUTH_TOKEN_PATH=str(tmp_path / "token")
    )
    assert done.stderr == f"error: the cluster at {cluster.address} has no job nobody\n"


def test_a_job_or_a_store_that_is_not_there_is_said_in_one_line(cluster, submitted, tmp_path):
    for option in ("--attach", "--stop"):
        done = cluster.submit(option, "nobody", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (2, f"error: the cluster at {cluster.address} has no job nobody\n")
    done = cluster.submit("demo", *options("/data/x"), "--job", "first", cwd=tmp_path)
    assert done.returncode == 2
    assert re.search("^error: .* first already exists", done.stderr, re.MULTILINE)


def test_the_jobs_that_were_submitted_are_listed(cluster, submitted, tmp_path):
    done = cluster.submit("--list", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = {job["job"]: job for job in map(json.loads, done.stdout.splitlines())}
    assert listed["first"]["status"] == "SUCCEEDED"
    assert listed["first"]["store"] == f"{cluster.folder}/a.kotovec"
    assert listed["first"]["started"].endswith("+00:00")
