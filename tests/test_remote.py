"""Tables of a model on the Hub: only their bytes are fetched, by ranges; the hub here is a small local server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_matrices import checkpoints, tensor  # noqa: F401 — a fixture

from kotovec.store import Store

from test_source import Hub, hub_of


class Ranged(Hub):
    """A hub that answers with parts of files, as the real one does; `server.sent` counts the bytes of weights."""

    def _send(self, status, content, headers, *, body):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted and status == 200 and self.server.ranges:
            start, stop = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
            status, content = 206, content[start:stop]
        if body and "safetensors" in self.path and not self.path.endswith(".json"):
            self.server.sent += len(content)
        super()._send(status, content, headers, body=body)


@pytest.fixture
def serve(monkeypatch, checkpoints):  # noqa: F811
    """Return a context that serves a checkpoint by name, with or without ranges."""
    monkeypatch.setattr("test_source.Hub", Ranged)

    def start(name):
        return hub_of(checkpoints[name])

    return start


def build(hub, folder, *options):
    """Run `kotovec build` of the repository in a process of its own; return what it printed and said."""
    kept = {name: value for name, value in os.environ.items() if not re.match("HF_|.*_proxy", name, re.IGNORECASE)}
    return subprocess.run(
        [sys.executable, "-m", "kotovec.cli", "build", "tester/tiny", "--store", "x.kotovec", "--json", *options],
        cwd=folder,
        env=kept | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_only_the_bytes_of_the_tables_are_fetched(name, serve, checkpoints, tmp_path):  # noqa: F811
    with serve(name) as hub:
        hub.ranges, hub.sent = True, 0
        done = build(hub, tmp_path, "--spaces", "static,output")
        assert done.returncode == 0, done.stderr
        own = tensor(checkpoints[name], "model.embed_tokens.weight")
        files = sorted(checkpoints[name].glob("*.safetensors"))
        headers = sum(8 + int.from_bytes(path.read_bytes()[:8], "little") for path in files)
        norm = tensor(checkpoints[name], "model.norm.weight").nbytes
        # Two matrices are compared first, as they might be tied: block by block, until one differs, here the only one.
        assert hub.sent == headers + norm + own.nbytes * {"llama": 4, "qwen3": 1}[name]
        assert list(tmp_path.rglob("*.safetensors")) == []
    store = Store.open(tmp_path / "x.kotovec")
    assert json.loads(done.stdout)["tokens"] == len(store)
    np.testing.assert_array_equal(store.array("static"), own[store.tokens.ids])


def test_a_hub_that_gives_no_ranges_is_refused_before_a_file_is_fetched(serve, tmp_path):
    with serve("llama") as hub:
        hub.ranges, hub.sent = False, 0
        done = build(hub, tmp_path, "--spaces", "static")
    assert done.returncode == 2
    assert re.search(r"error: the Hub gives no part of model-00001-of-\d+.safetensors \(200\)", done.stderr)
    assert not Path(tmp_path, "x.kotovec").exists()
