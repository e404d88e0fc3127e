"""Section 6, limits: homes, folders, locales and names that are odd, and a cluster whose answers never end."""

import base64
import hashlib
import http.server
import json
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from attacked import KOTOVEC, build, run
from tiny import VOCABULARY, change, write_model

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
MARK = "\x1e"
JOB = "kotovec-0"


@pytest.mark.held("what was kept in a home was done without")
def test_no_writable_home_is_no_hindrance(store, tmp_path):
    """No writable home."""
    picture = tmp_path / "map.png"
    done = run("map", "--method", "pca", "--png", picture, "--store", store, HOME="/proc/nowhere")
    assert done.code == 0, done.err
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.held("a path from / does not need it")
def test_a_deleted_working_directory_is_no_hindrance(store, tmp_path):
    """Deleted working directory."""
    (tmp_path / "gone").mkdir()
    script = ("sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", KOTOVEC)
    done = run("query", "king", "--tsv", "--store", store, command=script, cwd=tmp_path / "gone")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split("\t")[2] == "king"


def test_dollars_in_the_name_of_a_model_break_no_picture(store, tmp_path):
    """`$` in a model's name breaks `--png`."""
    table = store / "tokens.h5"
    with h5py.File(table if table.exists() else store / "vectors.h5", "r+") as file:
        file.attrs["model"] = np.bytes_(b"a $\\frac{ b$")
    done = run("map", "--method", "pca", "--png", tmp_path / "map.png", "--store", store)
    assert done.code == 0, done.err
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [[], ["--json"], ["--tsv"]], ids=["table", "json", "tsv"])
def test_a_locale_that_is_not_utf_8_is_no_hindrance(store, options):
    """Non-UTF-8 locales."""
    done = run("query", "王", "-k", 30, *options, "--store", store, **ASCII)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("option", ["-p", "-o out"])
def test_mecab_gets_no_option_that_names_files_or_changes_its_input(tmp_path, option):
    """`mecab_option -p`: a text then says how it is split."""
    folder = write_model(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    mecab = {"mecab_dic": "ipadic", "mecab_option": option}
    kind = {"word_tokenizer_type": "mecab", "subword_tokenizer_type": "wordpiece", "mecab_kwargs": mecab}
    change(folder / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer", **kind)
    done = build(folder, tmp_path / "x.kotovec", "--dry-run", cwd=tmp_path, seconds=20)
    assert (done.code, done.one_line) == (2, True), done.err
    assert "mecab_option" in done.err


class Cluster(http.server.BaseHTTPRequestHandler):
    """Stands for a dashboard of Ray whose jobs send another store, and one piece of it, in every round."""

    rounds = 0

    def do_GET(self) -> None:
        if self.path == "/api/version":
            self.answer({"version": "4", "ray_version": "2.50.0", "ray_commit": "0"})
        elif self.path.endswith("/logs/tail"):  # no WebSocket here
            self.send_error(404)
        elif self.path.endswith("/logs"):
            self.answer({"logs": "" if f"/{JOB}/" in self.path else changing(type(self).rounds)})
        elif self.path.startswith("/api/packages/"):
            self.answer({})
        else:
            metadata = {"kotovec_store": "/there/x.kotovec"}
            job = {"type": "SUBMISSION", "entrypoint": "", "status": "SUCCEEDED", "metadata": metadata}
            self.answer(job | {"submission_id": self.path.rpartition("/")[2]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/stop"):
            self.answer({"stopped": True})
        else:
            type(self).rounds += 1
            self.answer({"submission_id": JOB, "job_id": JOB})

    do_PUT = do_POST  # noqa: N815 — http.server looks it up

    def answer(self, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def changing(number: int) -> str:
    """Return what a job sends in a round: the list of a store's files, and the first of its two pieces."""
    data = bytes([65 + number % 50]) * 7
    files = []
    for name, content in (("a", data), ("b", b"kotovec")):
        files += [{"path": name, "bytes": 7, "changed": 1}, [hashlib.sha256(content).hexdigest()]]
    lines = [json.dumps(record) for record in files]
    lines.append(json.dumps({"end": hashlib.sha256("".join(lines).encode()).hexdigest()}))
    lines.append(f"0 {base64.b64encode(data).decode()}")
    return "".join(f"{MARK}{line}\n" for line in lines)


def test_a_fetch_of_a_store_that_changes_for_ever_ends(tmp_path: Path):
    """Hostile answers in a fetch (loops)."""
    pytest.importorskip("aiohttp", reason="pip install 'kotovec[cluster]'")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        words = ["submit", "--attach", JOB, "--address", address, "--fetch", tmp_path / "x.kotovec"]
        done = run(*words, seconds=20)
        server.shutdown()
    assert Cluster.rounds > 1, done.err
    assert done.code in (1, 2), done.err
    assert done.one_line, done.err
    assert not (tmp_path / "x.kotovec").exists()
