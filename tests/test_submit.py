"""`kotovec submit` without a cluster: what is shipped, what is refused, what is shown, and how connections are kept."""

import asyncio
import contextlib
import errno
import json
import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
from types import SimpleNamespace

import pytest

from kotovec.cli.events import Lines, read_event
from kotovec.cluster import submit
from kotovec.cluster.events import Notice, Phase, Progress
from kotovec.cluster.stage import stage
from kotovec.cluster.submit import JobEnd, Jobs, connect
from kotovec.errors import DiskFullError, InputError, MissingDependencyError, WorkerError

from commands import ROOT, call

HERE = "http://127.0.0.1:1"


def test_the_staged_tree_alone_is_enough_to_import_every_module_and_run_the_command(tmp_path):
    tree = stage(tmp_path / "tree")
    names = [
        ".".join(file.relative_to(tree).with_suffix("").parts) for file in tree.rglob("*.py") if file.stem[0] != "_"
    ]
    names.remove("kotovec.workers.fused")  # Triton exists where torch has CUDA
    assert {"kotovec.store.shard", "kotovec.cli.app", "kotovec.workers.encoder", "kotovec.cluster.pool"} <= set(names)
    script = (
        f"import importlib, kotovec\nfor name in {names!r}: importlib.import_module(name)\n"
        "assert 'checkout' not in kotovec.__path__\nprint(kotovec.__file__)"
    )
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "HOME": str(tmp_path)}
    run = {"cwd": tmp_path, "env": bare, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", script], **run)
    assert (done.stdout, done.stderr) == (f"{tree}/kotovec/__init__.py\n", "")
    done = subprocess.run([sys.executable, "-m", "kotovec.cli", "build", "--help"], **run)
    assert done.stdout.startswith("Usage: kotovec build "), done.stderr


def test_nothing_but_modules_is_shipped(tmp_path):
    files = [file for file in stage(tmp_path / "tree").rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".py"}
    assert {file.relative_to(tmp_path / "tree").parts[0] for file in files} == {"kotovec"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo"], "no folder is named for the store\nhint: name one on the cluster with --store /PATH\n"),
        (["demo", "--store", "x.kotovec"], "--store x.kotovec is relative, and a job's working directory is deleted"),
        (["demo", "--store", "~/x.kotovec"], "--store ~/x.kotovec is relative"),
        (
            ["demo", "--store", "s3://bucket/x"],
            "--store s3://bucket/x is a URL\nhint: name a folder on the cluster by its absolute path",
        ),
        (["demo", "--store", "/"], "--store / cannot be a store"),
        (["demo", "--store", "/data/../x"], "--store /data/../x cannot be a store"),
        (["./model", "--store", "/x"], "./model is a folder of this machine, which the cluster does not see"),
        (["model", "--store", "/x"], "model is a folder of this machine"),
        (["demo", "--store", "/x", "--layrs", "all"], "unknown option `--layrs`\nhint: use `--layers`\n"),
        (["demo", "--store", "/x", "--workers", "two"], "--workers is `two`, not a whole number"),
        (
            ["demo", "--store", "/x", "--workers", "0"],
            "--workers is 0, but a job on a cluster has workers there\nhint: use 1 or more\n",
        ),
        (
            ["demo", "--store", "/x", "--dtype", "float8"],
            "unknown --dtype `float8`\nhint: choose `float32`, `bfloat16` or `float16`\n",
        ),
        (
            ["demo", "--store", "/x", "--token-filter", "word, wrd"],
            "unknown --token-filter `wrd`\nhint: choose `word`, `subword`",
        ),
        (
            ["demo", "--store", "/x", "--gpus-per-worker", "1.5"],
            "--gpus-per-worker is 1.5\nhint: use a share from 0 to 1",
        ),
        (["demo", "--store", "/x", "--stall-seconds", "0"], "--stall-seconds is 0\nhint: use more than 0\n"),
        (
            ["demo", "--store", "/x", "--no-fetch", "--fetch", "y"],
            "--fetch names a folder, and --no-fetch fetches nothing\nhint: give one of them\n",
        ),
        (["demo", "--store", "/x", "--layers", "one"], "--layers `one` is not a list of layers\nhint: choose `last`"),
        (["demo", "--store", "/x", "--layers", "0,9"], "--layers `0,9`: the model has the layers 0 to 6, not 9\n"),
        (["demo", "--store", "/proc/x"], "--store /proc/x cannot be a store\nhint: name a folder on the cluster"),
        (["demo", "--store", f"/{'x' * 300}"], f"--store /{'x' * 300} cannot be a store\n"),
        (["demo", "--store", "/data/x\n"], "--store /data/x\\n cannot be a store\n"),
        (
            ["demo", "--store", "/x", "--corpus", "texts/*.txt"],
            "texts/*.txt is relative, and a job does not see files of this machine\nhint: give the absolute path",
        ),
        (["--list", "--stop", "b"], "--stop and --list are given\nhint: give one of them\n"),
        (["--stop", "a", "--attach", "b"], "--stop and --attach are given\nhint: give one of them\n"),
        (
            ["demo", "--store", "/x"],
            "no cluster is named\nhint: name its dashboard with --address http://HOST:8265, or set RAY_ADDRESS\n",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    answer = call(capsys, "submit", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {message}")
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"num_hidden_layers": 2}', "--layers `3`: the model has the layers 0 to 2, not 3\n"),
        # Of what the cache holds beside, nothing is known: the cluster's own copy decides.
        ('{"a": ' + "[" * 100_000, "no cluster is named\n"),
        ("[]", "no cluster is named\n"),
        ('{"num_hidden_layers": 1000000000}', "no cluster is named\n"),
        ('{"num_hidden_layers": -1}', "no cluster is named\n"),
        ("\udcff", "no cluster is named\n"),
    ],
)
def test_the_config_in_a_cache_may_be_anything(capsys, tmp_path, monkeypatch, config, message):
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.json"
    path.write_bytes(config.encode(errors="surrogateescape"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(path))
    answer = call(capsys, "submit", "owner/name", "--store", "/x", "--layers", "3")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {message}")


class FakeJobs:
    """Stands for a cluster whose jobs say what a test wants."""

    address = HERE

    def __init__(self, *lines, status="SUCCEEDED", code=0, message=""):
        self.said, self.how, self.built = lines, JobEnd(status, code, message), []

    def build(self, *arguments):
        self.built.append(arguments)

    def lines(self, job):
        yield from self.said

    def end(self, job):
        return self.how

    def store_of(self, job):
        return "/data/words.kotovec"


@pytest.fixture
def jobs(monkeypatch):
    def use(*lines, **end):
        fake = FakeJobs(*lines, **end)
        monkeypatch.setattr(submit, "connect", lambda _address: fake)
        return fake

    return use


SUMMARY = json.dumps({"store": "/data/words.kotovec", "tokens": 7, "seconds": {"plan": 1.0}, "bytes": 10})
SUBMIT = ["submit", "demo", "--store", "/data/words.kotovec/", "--address", HERE, "--no-fetch"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([], ["demo"]),
        (["--layers", "all", "--workers", 8], ["demo", "--layers=all", "--workers=8"]),
        (["--layers=-1,0", "--overwrite"], ["demo", "--layers=-1,0", "--overwrite"]),
        (["--device", "auto", "--gpus-per-worker", "0.5", "--quiet"], ["demo", "--gpus-per-worker=0.5"]),
        (
            ["--corpus", "/data/a.txt", "--corpus", "hf://datasets/b/*.parquet", "--contexts", 9, "--keep-text"],
            ["demo", "--corpus=/data/a.txt", "--corpus=hf://datasets/b/*.parquet", "--contexts=9", "--keep-text"],
        ),
        (["--corpus", "/data/a.txt", "--prototypes", 3], ["demo", "--corpus=/data/a.txt", "--prototypes=3"]),
    ],
)
def test_the_options_of_build_go_to_the_cluster_as_they_were_given(capsys, jobs, given, sent):
    fake = jobs(SUMMARY)
    assert call(capsys, *SUBMIT, *given, "--job", "mine").code == 0
    assert fake.built == [(sent, "mine", "/data/words.kotovec")]


def test_the_environment_twins_of_build_s_options_go_to_the_cluster(capsys, jobs, monkeypatch):
    fake = jobs(SUMMARY)
    monkeypatch.setenv("KOTOVEC_DTYPE", "bfloat16")
    call(capsys, *SUBMIT)
    assert fake.built[0][0] == ["demo", "--dtype=bfloat16"]


def test_notices_and_foreign_lines_of_a_job_are_shown_and_its_records_are_not(capsys, jobs):
    lines = ["Running entrypoint for job x: …", '\x1e{"phase": "encode"}', '\x1e{"notice": "王 is here"}', "a warning"]
    jobs(*lines, SUMMARY)
    answer = call(capsys, *SUBMIT, "--job", "x", "--json")
    again = f"kotovec submit --attach x --address {HERE} --no-fetch"
    assert answer.err == f"note: job x; Ctrl-C leaves it running, {again} returns to it\nnote: 王 is here\na warning\n"
    assert json.loads(answer.out) == json.loads(SUMMARY) | {"job": "x", "fetched": None, "fetched_bytes": 0}
    assert call(capsys, *SUBMIT, "--quiet").err == ""


def test_quiet_prints_neither_notes_nor_the_summary_but_what_was_asked_for(capsys, jobs):
    lines = ['\x1e{"phase": "encode"}', '\x1e{"notice": "a note"}', "a warning of a library"]
    jobs(*lines, SUMMARY)
    answer = call(capsys, *SUBMIT, "-q", "--job", "x")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    asked = call(capsys, *SUBMIT, "-q", "--job", "x", "--json")
    assert (json.loads(asked.out)["tokens"], asked.err) == (7, "")
    jobs(*lines, "error: no such model", "hint: choose another", status="FAILED", code=2)
    refused = call(capsys, *SUBMIT, "-q", "--job", "x")
    assert (refused.code, refused.out, refused.err) == (2, "", "error: no such model\nhint: choose another\n")


@pytest.mark.parametrize("lost", [(), (SUMMARY[:20],)], ids=["absent", "cut"])
def test_a_job_whose_log_has_lost_the_summary_has_still_built_its_store(capsys, jobs, lost):
    jobs("a warning", *lost)
    assert call(capsys, *SUBMIT, "--job", "x").code == 0
    answer = call(capsys, *SUBMIT, "--job", "x", "--json")
    assert json.loads(answer.out) == {"job": "x", "seconds": {}, "fetched": None, "fetched_bytes": 0}


@pytest.mark.parametrize(
    ("name", "told"),
    [("build", "if job x began all the same, kotovec"), ("lines", "job x keeps running on the cluster: kotovec")],
)
def test_ctrl_c_says_that_a_job_goes_on_only_where_one_was_sent(capsys, jobs, monkeypatch, name, told):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs(SUMMARY), name, interrupt)
    answer = call(capsys, *SUBMIT, "--job", "x")
    assert answer.code == 130
    assert answer.err.splitlines()[-2].startswith(f"note: {told} submit --attach x --address {HERE}")
    assert answer.err.count("keeps running on") == (name == "lines")


@pytest.mark.parametrize(
    ("end", "said", "code", "message"),
    [
        (
            {"status": "FAILED", "code": 2},
            "error: no such model\nhint: choose another",
            2,
            "error: no such model\nhint: choose another",
        ),
        ({"status": "FAILED", "code": 1}, "error: workers died", 1, "error: workers died"),
        (
            {"status": "FAILED", "code": -9, "message": "ended with exit code -9, last available logs (…):\nx"},
            "x",
            1,
            "error: job x failed: ended with exit code -9",
        ),
        ({"status": "FAILED", "code": None, "message": ""}, "", 1, "error: job x failed: Ray does not say why"),
        (
            {"status": "STOPPED", "code": None},
            "error: interrupted",
            1,
            "error: job x was stopped\nhint: run the same command again; it resumes",
        ),
    ],
)
def test_a_job_that_does_not_succeed_gives_its_own_line_and_exit_code(capsys, jobs, end, said, code, message):
    jobs(*said.splitlines(), **end)
    answer = call(capsys, *SUBMIT, "--job", "x")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.endswith(f"{message}\n")


def test_events_are_read_as_a_build_wrote_them(capsys):
    events = [Phase("encode"), Progress(3, 7), Notice("a worker on 王 died\n\x1e{"), Progress(3, 7, "word")]
    events.append(Progress(3, 7, "byte", "5 sentences"))
    with Lines() as lines:
        for event in events:
            lines.show(event)
    written = capsys.readouterr().err.split("\n")
    assert [read_event(line) for line in written] == [*events, None]
    assert [read_event(line) for line in ("", "x", '\x1e{"phase": 3}', "\x1e{", '\x1e["phase"]')] == [None] * 5


class Client:
    """Stands for Ray's client: a log that breaks off where a test wants, and a job that ends when it is read."""

    def __init__(self, log, *breaks, error=None):
        self.log, self.breaks, self.error, self.tails = log, [*breaks], error or RuntimeError("broken"), 0
        self.ended = not breaks

    async def tail_job_logs(self, _job):
        self.tails += 1
        stop = self.breaks.pop(0) if self.breaks else None
        for start in range(0, len(self.log[:stop]), 5):
            yield self.log[:stop][start : start + 5]
            await asyncio.sleep(0)
        if stop is not None:
            raise self.error
        self.ended = True

    def get_job_info(self, _job):
        status = SimpleNamespace(is_terminal=lambda: self.ended, value="SUCCEEDED")
        return SimpleNamespace(status=status, driver_exit_code=0, message="", metadata={})

    def get_job_logs(self, _job):
        self.ended = True
        return self.log


LOG = "one\ntwo\n\n王 three\nfour"


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(submit.time, "sleep", lambda _seconds: None)


@pytest.mark.parametrize("breaks", [[], [0], [6], [9, 2, 13], [len(LOG)]])
def test_every_line_of_a_log_comes_once_however_often_the_connection_breaks(no_waiting, breaks):
    client = Client(LOG, *breaks)
    assert list(Jobs(client, HERE).lines("x")) == LOG.split("\n")
    assert client.tails == len(breaks) + 1


def test_where_no_websocket_passes_the_log_is_asked_for_again_and_again(no_waiting):
    import aiohttp

    client = Client(LOG, 0, error=aiohttp.WSServerHandshakeError(None, (), status=400))
    jobs = Jobs(client, HERE)
    assert list(jobs.lines("x")) == LOG.split("\n")
    assert (jobs.streams, client.tails) == (False, 1)


def test_a_cluster_that_stays_away_is_an_error_after_a_while(no_waiting, monkeypatch):
    monkeypatch.setattr(submit, "PATIENCE_SECONDS", 0.2)
    client = Client(LOG, *[3] * 100_000)
    client.get_job_info = lambda _job: (_ for _ in ()).throw(ConnectionError("refused"))
    with pytest.raises(WorkerError, match=f"the cluster at {HERE} no longer answers"):
        list(Jobs(client, HERE).lines("x"))


def test_a_job_of_somebody_else_is_not_taken_for_ours():
    with pytest.raises(InputError, match="job x was not started by kotovec submit"):
        Jobs(Client(LOG), HERE).store_of("x")


@pytest.mark.parametrize("where", ["stage", "upload"])
def test_a_full_disk_of_this_machine_is_not_a_cluster_that_does_not_answer(monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    client = Client(LOG)
    client.submit_job = full
    if where == "stage":
        monkeypatch.setattr(submit, "stage", full)
    with pytest.raises(DiskFullError, match="no space left while writing /"):
        Jobs(client, HERE).start("kotovec.cluster.pieces", [], "x")


@contextlib.contextmanager
def listening(answer):
    """A server on a free port that answers every connection with these bytes, or, without any, never."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while answer:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        # What the port of the cluster's own protocol (gRPC) answers to HTTP/1.
        (
            b"\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x04\x00@\x00\x00",
            r"speaks no HTTP: it may be .* \(6379\)\nhint: use the address of its dashboard",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            r"is not a Ray cluster \(HTTP 404\)\nhint: use the address of its dashboard",
        ),
        (b"", r"no Ray cluster answers at \S+ within 0\.5 s"),
    ],
)
def test_an_address_of_something_else_is_said_at_once(monkeypatch, answer, message):
    monkeypatch.setattr(submit, "KNOCK_SECONDS", 0.5)
    with listening(answer) as address, pytest.raises(InputError, match=message):
        connect(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:1", r"no Ray cluster answers at http://127.0.0.1:1: \[Errno 111\] Connection refused"),
        ("ray://127.0.0.1:1", r"--address ray://127.0.0.1:1 takes no jobs\nhint: use the address of its dashboard"),
        ("http://127.0.0.1:x", "--address http://127.0.0.1:x: "),
        ("head", "--address head takes no jobs"),
        ("me:secret@head", "--address head takes no jobs"),
        ("http://me:s%40cret@127.0.0.1:x", r"--address http://127.0.0.1:x: (?!.*cret)"),
        ("me:secret@127.0.0.1:1", r"no Ray cluster answers at http://127.0.0.1:1: (?!.*secret)"),
        ("", r"no cluster is named\nhint: name its dashboard"),
    ],
)
def test_an_address_where_nobody_is_is_said(address, message):
    with pytest.raises(InputError, match=message):
        connect(address)


def test_a_proxy_that_is_not_there_is_named_unless_the_address_needs_none(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with listening(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as address:
        with pytest.raises(InputError, match="Unable to connect to proxy"):
            connect(address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(InputError, match="is not a Ray cluster"):
            connect(address)


@pytest.mark.parametrize("module", ["aiohttp", "ray.job_submission"])
def test_a_missing_extra_is_named_with_its_cure(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"is missing\nhint: install it: pip install 'kotovec\[cluster\]'"):
        connect(HERE)


def test_the_docs_name_what_the_cluster_s_image_needs():
    page = (ROOT / "docs" / "submit.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {*project["dependencies"], *project["optional-dependencies"]["cpu"], "ray[default]>=2.50"}
    needed -= {"ray>=2.50"}
    [block] = re.findall(r"```text\n(.*?)```", page.split("## What the cluster needs")[1], re.DOTALL)
    assert set(block.split()) == needed


@pytest.mark.parametrize("option", ["--words", "--words-column", "--pooling"])
def test_a_job_takes_no_list_of_words(option, capsys):
    answer = call(capsys, "submit", "demo", option, "w.txt")
    assert answer.err.splitlines() == [
        "error: a job takes no list of words: it does not see files of this machine",
        f"hint: leave out `{option}`, or use `kotovec build`",
    ]


def test_a_list_in_the_environment_is_no_job_s(capsys, monkeypatch):
    """The job encoded the whole vocabulary instead."""
    monkeypatch.setenv("KOTOVEC_WORDS", "w.txt")
    answer = call(capsys, "submit", "demo", "--address", HERE, "--store", "/data/x.kotovec")
    assert answer.err.startswith("error: a job takes no list of words")
    assert answer.code == 2
