"""A cluster that is there, joined by each form of address: the same bytes, and nothing of the cluster's is ended."""

import contextlib
import socket
import tempfile
import time
from pathlib import Path

import pytest

from kotovec.workers.encoder import Encoder

from rays import Process, datasets, left_behind, plan_of, run_build, wait_for

# Private to these tests: without RAY_TMPDIR, `auto` would find what others on this machine started last.
JOINING = """
import os
os.environ |= {{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "1" * 64, "RAY_USAGE_STATS_ENABLED": "0",
               "RAY_TMPDIR": {folder!r}}}
"""
START = "from ray.scripts.scripts import main; main()"
BUILD = "from kotovec.cli.app import main; main()"


def free_port():
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def head():
    """What `ray start --head` starts, with a client server: its code for joining, its address, that of its server."""
    with contextlib.ExitStack() as stack:
        # A Unix socket's path ends at 107 bytes, so pytest's folders are too long.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kf", dir="/tmp", ignore_cleanup_errors=True))
        port, client = free_port(), free_port()
        ports = {"port": port, "ray-client-server-port": client, "dashboard-agent-listen-port": free_port()}
        options = {"num-cpus": 2, "object-store-memory": 200 << 20, "include-dashboard": "false"} | ports
        options |= {"min-worker-port": 0, "max-worker-port": 0, "temp-dir": folder}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        joining = JOINING.format(folder=folder)
        process = Process("start", "--head", "--block", *arguments, cwd=Path(folder), code=joining + START)
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
    assert err == ""
    assert "next" in out
    assert left_behind(store) == []
    assert cluster.popen.poll() is None
    employ(Encoder)
    run_build(plan_of(tiny_models["bert"]), tmp_path / "private.kotovec", 1)
    assert datasets(store) == datasets(tmp_path / "private.kotovec")
