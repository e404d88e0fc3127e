"""`kotovec submit --list`, and what is refused before a cluster is joined."""

import json
from types import SimpleNamespace

from kotovec.cluster import submit
from kotovec.cluster.submit import Jobs

from commands import call

HERE = "http://127.0.0.1:1"


def test_the_jobs_of_a_cluster_are_listed_the_latest_first_and_those_of_others_are_not(capsys, monkeypatch):
    def job(name, started, **metadata):
        status = SimpleNamespace(value="RUNNING" if name == "b" else "FAILED")
        return SimpleNamespace(submission_id=name, status=status, start_time=started, metadata=metadata or None)

    found = [
        job("a", 1_700_000_000_000, kotovec_store="/data/a.kotovec"),
        job("other", 1_700_000_001_000),
        job("b", 1_700_000_002_000, kotovec_store="/data/b.kotovec"),
        job("c", None, kotovec_store="/data/c.kotovec"),
    ]
    client = SimpleNamespace(list_jobs=lambda: found)
    monkeypatch.setattr(submit, "connect", lambda _address: Jobs(client, HERE))
    answer = call(capsys, "submit", "--list", "--address", HERE, "--json")
    assert answer.code == 0
    assert [json.loads(line) for line in answer.out.splitlines()] == [
        {"job": "b", "status": "RUNNING", "started": "2023-11-14T22:13:22+00:00", "store": "/data/b.kotovec"},
        {"job": "a", "status": "FAILED", "started": "2023-11-14T22:13:20+00:00", "store": "/data/a.kotovec"},
        {"job": "c", "status": "FAILED", "started": None, "store": "/data/c.kotovec"},
    ]
    table = call(capsys, "submit", "--list", "--address", HERE).out.splitlines()
    assert [line.split()[:3] for line in table[2:]][:2] == [
        ["b", "/data/b.kotovec", "running"],
        ["a", "/data/a.kotovec", "failed"],
    ]


def test_a_store_s_path_is_refused_before_the_cluster_is_joined(tmp_path, capsys, monkeypatch):
    """A job whose path cannot hold a store ends at once, and starts no worker."""
    (tmp_path / "mine").write_text("text")

    def joined(_address):
        raise AssertionError("the cluster was joined")

    monkeypatch.setattr("kotovec.cluster.session.join", joined)
    answer = call(capsys, "build", "demo", "--store", tmp_path / "mine", "--address", "127.0.0.1:1")
    assert (answer.code, answer.out) == (2, "")
    assert str(tmp_path / "mine") in answer.err
