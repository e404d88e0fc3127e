"""An existing cluster, joined by each form of address: the same bytes, and nothing of the cluster's is ended."""

import contextlib
import re
import socket
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kotovec.cluster import address
from kotovec.cluster.session import join
from kotovec.errors import InputError, MissingDependencyError
from kotovec.workers.encoder import Encoder

from commands import without_steps
from rays import (
    SLOW_COMMAND,
    Process,
    datasets,
    free_port,
    left_behind,
    plan_of,
    run_build,
    shard_files,
    wait_for,
)

# Private to these tests: `auto` finds what was started last in RAY_TMPDIR. With --temp-dir it would find nothing
# there, and join any Ray of this machine. The head's gRPC is told that it is no part of what the head forks: else one
# in some fifteen of its servers for clients dies (ray-project/ray issue 63202), and joining again takes half a minute.
JOINING = """
import os
os.environ |= {{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "1" * 64, "RAY_USAGE_STATS_ENABLED": "0",
               "RAY_TMPDIR": {folder!r}, "GRPC_ENABLE_FORK_SUPPORT": "0"}}
"""
START = "from ray.scripts.scripts import main; main()"
BUILD = "from kotovec.cli.app import main; main()"


@pytest.fixture(scope="module")
def head():
    """A cluster that all tests join."""
    with start_head() as started:
        yield started


@contextlib.contextmanager
def start_head(prepare=""):
    """Give what `ray start --head` starts, with a client server: code for joining it, its process, its addresses."""
    with contextlib.ExitStack() as stack:
        # A Unix socket's path ends at 107 bytes, so pytest's folders are too long.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kf", dir="/tmp", ignore_cleanup_errors=True))
        port, client = free_port(), free_port()
        ports = {"port": port, "ray-client-server-port": client, "dashboard-agent-listen-port": free_port()}
        options = {"num-cpus": 2, "object-store-memory": 200 << 20, "include-dashboard": "false"} | ports
        options |= {"min-worker-port": 0, "max-worker-port": 0}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        joining = JOINING.format(folder=folder)
        process = Process("start", "--head", "--block", *arguments, cwd=Path(folder), code=joining + prepare + START)
        stack.enter_context(process)
        wait_for(lambda: (answers(port) and answers(client)) or process.popen.poll() is not None)
        assert process.popen.poll() is None, process.finish()
        time.sleep(1)
        yield (
            joining,
            process,
            {"auto": "auto", "HOST:PORT": f"127.0.0.1:{port}", "ray://": f"ray://127.0.0.1:{client}"},
        )
        process.popen.terminate()
        process.left()


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.mark.parametrize("form", ["auto", "HOST:PORT", "ray://"])
def test_a_build_through_any_form_of_address_ends_in_the_same_bytes(form, head, employ, tiny_models, tmp_path):
    joining, cluster, addresses = head
    store = tmp_path / "x.kotovec"
    options = ["--store", store, "--shard-tokens", 64, "--device", "cpu", "--address", addresses[form]]
    with Process("build", tiny_models["bert"], *options, cwd=tmp_path, code=joining + BUILD) as process:
        code, out, err = process.finish()
        assert process.left() == []
    assert code == 0, err
    assert without_steps(err) == ""
    assert "next" in out
    assert left_behind(store) == []
    assert cluster.popen.poll() is None
    employ(Encoder)
    run_build(plan_of(tiny_models["bert"]), tmp_path / "private.kotovec", 1)
    assert datasets(store) == datasets(tmp_path / "private.kotovec")


def test_the_loss_of_the_head_ends_a_build_in_one_line_and_the_same_command_goes_on(employ, tiny_models, tmp_path):
    """Ray's C++ would end the process after a minute, without a word."""
    store = tmp_path / "x.kotovec"
    command = ["build", tiny_models["bert"], "--store", store, "--shard-tokens", 24, "--device", "cpu"]
    with start_head() as (joining, cluster, addresses):
        address = addresses["HOST:PORT"]
        with Process(*command, "--address", address, cwd=tmp_path, code=joining + SLOW_COMMAND) as process:
            wait_for(lambda: len(shard_files(store)) >= 2)
            for each in cluster.all():
                each.kill()
            began = time.monotonic()
            code, out, err = process.finish()
            seconds = time.monotonic() - began
            assert process.left() == []
    assert (code, out) == (1, "")
    assert (
        without_steps(err)
        == f"error: the cluster at {address} no longer answers\nhint: run the same command again; it resumes\n"
    )
    assert seconds < 60
    kept = len(shard_files(store))
    assert kept >= 2
    with Process(*command, cwd=tmp_path) as process:
        code, _, err = process.finish()
    assert code == 0, err
    assert f"resuming with {kept} of" in err
    assert left_behind(store) == []
    employ(Encoder)
    run_build(plan_of(tiny_models["bert"], shard_tokens=24), tmp_path / "private.kotovec", 1)
    assert datasets(store) == datasets(tmp_path / "private.kotovec")


ON_LOOPBACK = 'os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"\n'  # the default on macOS


def test_a_cluster_on_the_loopback_address_alone_is_joined(tiny_models, tmp_path):
    """Ray takes 127.0.0.1 for this machine's address in the network, and asked there for 328 s, with 24 lines."""
    command = ["build", tiny_models["bert"], "--store", tmp_path / "x.kotovec", "--device", "cpu", "--dry-run"]
    with start_head(ON_LOOPBACK) as (joining, _, addresses):
        for form in ("HOST:PORT", "auto"):
            began = time.monotonic()
            with Process(*command, "--address", addresses[form], cwd=tmp_path, code=joining + BUILD) as process:
                code, out, err = process.finish()
            assert time.monotonic() < began + 60
            assert (code, err) == (0, "")
            assert "as many as the cluster has room for" in out


def test_another_machine_that_does_not_answer_is_not_looked_for_on_this_one(monkeypatch):
    """`auto` may stand for a machine that is off, while another cluster runs here at the same port."""
    means = {"auto": "192.0.2.7:6379", "127.0.0.1:6379": "192.0.2.2:6379"}
    knocked = []

    def knock(endpoint):
        knocked.append(endpoint[0])
        raise OSError("no route")

    monkeypatch.setattr(address, "_meant", means.__getitem__)
    monkeypatch.setattr(address, "_knock", knock)
    with pytest.raises(InputError, match="no Ray cluster answers at `auto`, which means 192.0.2.7:6379 here: no route"):
        address.check_reachable("auto")
    assert knocked == ["192.0.2.7"]
    with pytest.raises(InputError, match="which means 192.0.2.2:6379 here: no route"):
        address.check_reachable("127.0.0.1:6379")
    assert knocked == ["192.0.2.7", "192.0.2.2", "127.0.0.1"]


class Stranger(BaseHTTPRequestHandler):
    """Answers as a web server does, and keeps no log."""

    def log_message(self, *_):
        pass


@pytest.fixture
def stranger():
    """A server that is none of Ray's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("{}", r"`127.0.0.1:\d+` is not a port of a Ray cluster\nhint: use the one that ray start printed"),
        ("ray://{}", r"`ray://127.0.0.1:\d+` is not a port of a Ray cluster"),
        ("http://{}", r"is a dashboard, which takes jobs\nhint: use `kotovec submit --address http://127.0.0.1:\d+"),
    ],
)
def test_a_port_of_something_else_is_told_within_5_seconds(form, message, stranger, capsys, monkeypatch):
    """Ray itself tries for more than two minutes, and prints its tries."""
    monkeypatch.setattr("kotovec.cluster.session._running", lambda: False)
    began = time.monotonic()
    with pytest.raises(InputError, match=message) as caught, join(form.format(stranger)):
        pass
    assert time.monotonic() < began + 5
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_auto_that_means_a_cluster_that_is_gone_is_told_at_once(tiny_models, tmp_path):
    """A killed Ray leaves its address behind, and Ray itself asks there for minutes."""
    with tempfile.TemporaryDirectory(prefix="kf", dir="/tmp") as folder:
        (Path(folder) / "ray").mkdir()
        (Path(folder) / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
        arguments = ["build", tiny_models["bert"], "--store", tmp_path / "x.kotovec", "--address", "auto"]
        began = time.monotonic()
        with Process(*arguments, cwd=tmp_path, code=JOINING.format(folder=folder) + BUILD) as process:
            status, _, err = process.finish()
    assert time.monotonic() < began + 30
    assert status == 2
    assert re.fullmatch(
        r"error: no Ray cluster answers at `auto`, which means \S+:1 here: .*\nhint: start one with ray start, .*\n",
        err,
    )


def test_rays_client_that_is_not_installed_is_named_with_its_cure(stranger, monkeypatch):
    monkeypatch.setattr("kotovec.cluster.session._running", lambda: False)
    monkeypatch.setattr("kotovec.cluster.address.find_spec", lambda _: None)
    with (
        pytest.raises(MissingDependencyError, match=r"\nhint: install it: pip install 'kotovec\[cluster\]'$"),
        join(f"ray://{stranger}"),
    ):
        pass


# What Ray's client raises: a line, and what the cluster's end of it printed.
DIED = """Initialization failure from server:
Traceback (most recent call last):
  File "proxier.py", line 772, in Datapath
    raise RuntimeError(
RuntimeError: Starting Ray client server failed. See ray_client_server_23000.err for detailed logs.

"""
REFUSED = """Initialization failure from server:
Call to `ray.init()` on the server failed with: no room"""


@pytest.fixture
def refusing(monkeypatch):
    """Return a function that lets Ray's client be refused some times; it gives the list of the tries."""
    import ray

    def refuse(times, message):
        tries = []

        def init(*_, **__):
            tries.append(message)
            if len(tries) <= times:
                raise ConnectionAbortedError(message)

        monkeypatch.setattr("ray.init", init)
        return tries

    monkeypatch.setattr("kotovec.cluster.session._running", lambda: False)
    monkeypatch.setattr("kotovec.cluster.session.check_reachable", lambda _: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return refuse


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_cluster_whose_server_for_this_client_dies_as_it_starts_is_asked_again(times, refusing):
    tries = refusing(times, DIED)
    with join("ray://127.0.0.1:1"):
        pass
    assert len(tries) == times + 1


@pytest.mark.parametrize(
    ("message", "asked", "reason"),
    [(DIED, 3, "RuntimeError: Starting Ray client server failed.*"), (REFUSED, 1, "Call.*no room")],
)
def test_a_cluster_that_refuses_a_client_is_quoted_with_its_reason(message, asked, reason, refusing):
    tries = refusing(9, message)
    with pytest.raises(InputError) as caught, join("ray://127.0.0.1:1"):
        pass
    assert len(tries) == asked
    assert re.fullmatch(rf"no Ray cluster answers at `ray://127.0.0.1:1`: {reason}", str(caught.value))
    assert caught.value.hint == "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN if the cluster requires a token"


def test_a_wrong_token_is_told_within_20_seconds(head, tiny_models, tmp_path):
    joining, _, addresses = head
    code = joining + 'os.environ["RAY_AUTH_TOKEN"] = "2" * 64\n' + BUILD
    arguments = ["build", tiny_models["bert"], "--store", tmp_path / "x.kotovec", "--address", addresses["HOST:PORT"]]
    began = time.monotonic()
    with Process(*arguments, cwd=tmp_path, code=code) as process:
        status, _, err = process.finish()
    assert time.monotonic() < began + 20
    assert status == 2
    assert err.splitlines()[-2].startswith(f"error: no Ray cluster answers at `{addresses['HOST:PORT']}`: ")
    assert err.splitlines()[-1].startswith("hint: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN")
    assert not (tmp_path / "x.kotovec").exists()
