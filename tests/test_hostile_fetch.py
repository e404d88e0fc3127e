"""A cluster that answers a fetch with anything at all: one error, soon."""

import base64
import hashlib
import http.server
import itertools
import json
import threading
import time

import pytest

from kotovec.cli.events import read_event
from kotovec.cluster import fetch as fetching
from kotovec.cluster import submit
from kotovec.cluster.fetch import fetch
from kotovec.cluster.pieces import MARK
from kotovec.errors import InputError, KotovecError, WorkerError

SUM = hashlib.sha256(b"kotovec").hexdigest()


class Hostile:
    """Stands for a Jobs API whose job writes what a test says."""

    streams = True

    def __init__(self, write):
        self.write, self.rounds = write, 0

    def start(self, *_):
        self.rounds += 1

    def chunks(self, _job):
        yield from self.write(self.rounds)

    def end(self, _job):
        return None

    def stop(self, _job):
        pass


def manifest(*records):
    lines = [json.dumps(record) for record in records]
    end = json.dumps({"end": hashlib.sha256("".join(lines).encode()).hexdigest()})
    return [f"{MARK}{line}\n" for line in (*lines, end)]


def file(path="tokens.h5", size=7, changed=1):
    return {"path": path, "bytes": size, "changed": changed}


def changing(number):
    """Another store in every round, of which a piece arrives."""
    data = bytes([65 + number % 50]) * 7
    sums = [hashlib.sha256(data).hexdigest(), SUM]
    yield from manifest(file("a"), sums[:1], file("b"), sums[1:])
    yield f"{MARK}0 {base64.b64encode(data).decode()}\n"


def repeating(_):
    """The same piece again and again, and never the other one."""
    yield from manifest(file("a"), [SUM], file("b"), [hashlib.sha256(b"never").hexdigest()])
    yield from itertools.repeat(f"{MARK}0 a290b3ZlYw==\n", 2)


HOSTILE = {
    "changes for ever": changing,
    "one piece for ever": repeating,
    "noise for ever": lambda _: itertools.repeat("noise\n" * 10_000),
    "a line for ever": lambda _: itertools.repeat("x" * 100_000),
    "a record for ever": lambda _: itertools.chain([MARK], itertools.repeat("x" * 100_000)),
    "a manifest for ever": lambda _: itertools.chain(
        [f"{MARK}{json.dumps(file())}\n"], itertools.repeat(f"{MARK}{json.dumps(['0' * 64] * 1000)}\n")
    ),
    "deep JSON": lambda _: [f"{MARK}{'[' * 100_000}\n"],
    "no size": lambda _: manifest({"path": "a", "changed": 1}, [SUM]),
    "a negative size": lambda _: manifest(file(size=-7), []),
    "a size that is true": lambda _: manifest(file(size=True), [SUM]),
    "a path that is none": lambda _: manifest(file(path=["a"]), [SUM]),
    "a file in a file": lambda _: manifest(file("a"), [SUM], file("a/b"), [SUM]),
    "a name with a NUL": lambda _: manifest(file("a\0b"), [SUM]),
    "a name of half a character": lambda _: manifest(file("a\ud800"), [SUM]),
    "a name that no disk takes": lambda _: manifest(file("a" * 300), [SUM]),
    "a path that no system takes": lambda _: manifest(file("a/" * 5000 + "a"), [SUM]),
    "checksums that are none": lambda _: manifest(file(), [7]),
    "one file twice": lambda _: manifest(file(), [SUM], file(), [SUM]),
    "an odd record": lambda _: manifest(file(), "sums"),
    "more than there is": lambda _: manifest(file(size=1 << 62), [SUM]),
    "a negative number": lambda _: [*manifest(file("a"), [SUM], file("b"), [SUM]), f"{MARK}-1 a290b3ZlYw==\n"],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_job_is_one_error_and_writes_no_store(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MOST_NOISE", 4 << 20)
    begin, jobs = time.monotonic(), Hostile(HOSTILE[kind])
    with pytest.raises((KotovecError, ValueError)) as caught:
        fetch(jobs, "/there/x.kotovec", tmp_path / "x.kotovec")
    assert isinstance(caught.value, KotovecError), caught.value
    assert "\n" not in str(caught.value)
    assert jobs.rounds < 10
    assert time.monotonic() - begin < 30
    assert not (tmp_path / "x.kotovec").exists()


class Server(http.server.BaseHTTPRequestHandler):
    """Answers for ever, or with a redirection to itself."""

    def do_GET(self):
        if self.path.startswith("/loop"):
            self.send_response(302)
            self.send_header("Location", "/loop/api/version")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        slow = self.path.startswith("/slow")
        try:
            while True:
                self.wfile.write(b"x" if slow else b"x" * 65536)
                if slow:
                    time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("path", ["loop", "endless", "slow"])
def test_an_address_that_answers_for_ever_is_no_cluster(path, monkeypatch):
    monkeypatch.setattr(submit, "KNOCK_SECONDS", 2.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        begin = time.monotonic()
        with pytest.raises((InputError, WorkerError)) as caught:
            submit.connect(f"http://127.0.0.1:{server.server_port}/{path}")
        server.shutdown()
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begin < 20


def test_a_log_of_deep_json_is_no_event():
    assert read_event('\x1e{"notice": ' + "[" * 100_000) is None
