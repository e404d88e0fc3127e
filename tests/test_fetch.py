"""A store is fetched in checksummed pieces: whole or not at all, and never a piece twice that is here."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.cluster import fetch as fetching
from kotovec.cluster import pieces
from kotovec.cluster.fetch import fetch
from kotovec.cluster.submit import JobEnd
from kotovec.errors import DamagedError, DiskFullError, InputError, StoreBusyError, StoreError, WorkerError
from kotovec.store import Store
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

from commands import environment, make_store
from rays import wait_for

STEP = 1000  # bytes a piece, so that a small store has many


class Cluster:
    """Stands for a cluster's Jobs API: runs the sending side here, and lets a test spoil what it says."""

    def __init__(self):
        self.streams = True
        self.asked, self.stopped, self.ended = [], [], None
        self.spoil = lambda lines: lines

    def start(self, module, arguments, job):
        assert module == "kotovec.cluster.pieces"
        self.asked.append(arguments)

    def chunks(self, job):
        store, wanted = self.asked[-1]
        log = self.folder / f"{job}.log"
        with log.open("wb") as out:
            try:
                pieces.send(pieces.Path(store), wanted, out)
            except InputError as error:
                out.write(f"error: {error}\n".encode())
        lines = [
            "Running entrypoint for job",
            *log.read_text().split("\n")[:-1],
        ]  # not splitlines: the mark ends a line there
        for line in self.spoil(lines):
            half = len(line) // 2  # a line may come in parts
            yield line[:half]
            yield f"{line[half:]}\n"

    def end(self, job):
        return self.ended

    def stop(self, job):
        self.stopped.append(job)

    @property
    def wanted(self):
        return [list(pieces.read_numbers(numbers)) for _, numbers in self.asked]


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    monkeypatch.setattr(pieces, "PIECE_BYTES", STEP)
    cluster = Cluster()
    cluster.folder = tmp_path / "logs"
    cluster.folder.mkdir()
    return cluster


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "there" / "words.kotovec")


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def slices(folder):
    """The pieces by their numbers: file, offset, size."""
    found = sorted(files(folder).items(), key=lambda item: item[0].split("/"))
    return [(name, at, min(STEP, len(data) - at)) for name, data in found for at in range(0, len(data), STEP)]


def absent(folder, begun):
    """The numbers of the pieces that a run which had the first `begun` lacks: zeros need no piece."""
    blank = [not any(files(folder)[name][at : at + size]) for name, at, size in slices(folder)]
    return [number for number, zeros in enumerate(blank) if number >= begun and not zeros]


def sizes(folder, numbers):
    return sum(slices(folder)[number][2] for number in numbers)


def test_what_arrives_is_the_store_byte_for_byte(cluster, store, tmp_path):
    shown = []
    (store / ".vectors.h5.part").write_bytes(b"of an unfinished build")
    (store / "maps").mkdir()
    (store / "maps" / "empty.h5").touch()
    fetched = fetch(cluster, str(store), tmp_path / "here", lambda *state: shown.append(state))
    (store / ".vectors.h5.part").unlink()
    size = sum(map(len, files(store).values()))
    assert files(tmp_path / "here") == files(store)
    assert (fetched.bytes, fetched.received) == (size, size)
    assert shown == sorted(shown)
    assert shown[-1] == (size, size)
    assert len(cluster.asked) == len(cluster.stopped) == 1
    assert Store.open(tmp_path / "here").verify() == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_job_sends_so_much_and_the_next_one_goes_on(cluster, store, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(fetching, "ROUND_PIECES", limit)
    fetched = fetch(cluster, str(store), tmp_path / "here")
    assert files(tmp_path / "here") == files(store)
    rest = absent(store, limit)
    assert len(cluster.asked) == 1 + -(-len(rest) // limit)
    assert fetched.received == sizes(store, [*range(min(limit, len(slices(store)))), *rest])


def test_without_a_stream_the_jobs_are_small(cluster, store, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "POLLED_PIECES", 3)
    cluster.streams = False
    fetch(cluster, str(store), tmp_path / "here")
    assert max(map(len, cluster.wanted)) == 3
    assert files(tmp_path / "here") == files(store)


def test_a_run_that_was_cut_off_is_resumed_and_a_spoiled_piece_comes_again(cluster, store, tmp_path):
    def cut(lines):
        yield from lines[:7]  # Ray's own line, the manifest, five pieces
        raise KeyboardInterrupt

    cluster.spoil = cut
    with pytest.raises(KeyboardInterrupt):
        fetch(cluster, str(store), tmp_path / "here")
    assert not (tmp_path / "here").exists()
    name, offset, _ = slices(store)[1]
    part = tmp_path / ".here.fetch" / "store" / name
    spoiled = bytearray(part.read_bytes())
    spoiled[offset] ^= 1
    part.write_bytes(spoiled)
    cluster.spoil = lambda lines: lines
    fetched = fetch(cluster, str(store), tmp_path / "here")
    assert cluster.wanted[1] == [1, *absent(store, 5)]
    assert fetched.received == sizes(store, [1, *absent(store, 5)])
    assert files(tmp_path / "here") == files(store)


def test_a_connection_that_breaks_is_taken_up_with_another_job(cluster, store, tmp_path):
    def cut(lines):
        yield from lines[:4]
        cluster.spoil = lambda lines: lines
        raise WorkerError("the connection broke")

    cluster.spoil = cut
    fetch(cluster, str(store), tmp_path / "here")
    assert cluster.wanted[1] == absent(store, 2)
    assert files(tmp_path / "here") == files(store)


@pytest.mark.parametrize("how", ["another byte", "cut", "no Base64"])
def test_a_piece_that_was_changed_on_the_way_comes_again(cluster, store, tmp_path, how):
    def spoil(lines):
        number, text = lines[4].split(" ")
        data = bytearray(base64.b64decode(text))
        data[10] ^= 1
        cluster.spoil = lambda lines: lines
        changed = {"another byte": base64.b64encode(data).decode(), "cut": text[:400], "no Base64": "!" + text[1:]}
        return [*lines[:4], f"{number} {changed[how]}", *lines[5:]]

    cluster.spoil = spoil
    fetch(cluster, str(store), tmp_path / "here")
    assert cluster.wanted[1] == [2]
    assert files(tmp_path / "here") == files(store)


def test_what_was_begun_of_another_store_is_not_mixed_in(cluster, store, tmp_path):
    def cut(lines):
        yield from lines[:9]
        raise KeyboardInterrupt

    cluster.spoil = cut
    with pytest.raises(KeyboardInterrupt):
        fetch(cluster, str(store), tmp_path / "here")
    (store / "tokenizer" / "more.json").write_text("{}")
    cluster.spoil = lambda lines: lines
    fetched = fetch(cluster, str(store), tmp_path / "here")
    assert files(tmp_path / "here") == files(store)
    assert fetched.bytes == sum(map(len, files(store).values()))


def test_pieces_that_never_come_right_are_an_error_and_not_a_loop(cluster, store, tmp_path):
    cluster.spoil = lambda lines: lines[:2]
    with pytest.raises(WorkerError, match="do not arrive: give the same command again"):
        fetch(cluster, str(store), tmp_path / "here")
    assert len(cluster.stopped) == len(cluster.asked) == 1
    assert not (tmp_path / "here").exists()


def test_a_job_that_fails_before_it_sends_is_named(cluster, store, tmp_path):
    cluster.spoil, cluster.ended = lambda lines: lines[:1], JobEnd("FAILED", None, "no runtime environment")
    with pytest.raises(WorkerError, match=f"the job that sends {store} failed: no runtime environment"):
        fetch(cluster, str(store), tmp_path / "here")


@pytest.mark.parametrize("path", ["../evil.h5", "/etc/evil", "tokenizer/../../evil", ""])
def test_a_file_outside_of_the_store_is_refused(cluster, store, tmp_path, path):
    def spoil(lines):
        manifest = json.loads(lines[1].removeprefix(pieces.MARK))
        manifest["files"][0]["path"] = path
        return [lines[0], pieces.MARK + json.dumps(manifest)]

    cluster.spoil = spoil
    with pytest.raises(DamagedError, match="no path inside of a store"):
        fetch(cluster, str(store), tmp_path / "here")
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_file_that_is_not_the_manifest_s_though_its_pieces_are_is_damaged(cluster, store, tmp_path):
    def spoil(lines):
        manifest = json.loads(lines[1].removeprefix(pieces.MARK))
        manifest["files"][0]["sha256"] = "0" * 64
        return [lines[0], pieces.MARK + json.dumps(manifest), *lines[2:]]

    cluster.spoil = spoil
    with pytest.raises(DamagedError, match="does not match its checksum: give the same command again"):
        fetch(cluster, str(store), tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_where_there_is_no_finished_store_the_cluster_s_own_words_are_the_error(cluster, store, tmp_path):
    (store / "vectors.h5").unlink()
    with pytest.raises(InputError, match=f"there is no finished store at {store} on {os.uname().nodename}"):
        fetch(cluster, str(store), tmp_path / "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "there"]


def fill(target):
    target.mkdir()
    (target / "notes.txt").touch()


@pytest.mark.parametrize(
    "make",
    [fill, lambda target: target.touch(), lambda target: target.symlink_to("nowhere")],
    ids=["folder", "file", "link"],
)
def test_a_target_that_is_there_is_left_as_it_is(cluster, store, tmp_path, make):
    make(tmp_path / "here")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match="is there already: name another place with --fetch"):
        fetch(cluster, str(store), tmp_path / "here")
    assert (sorted(tmp_path.rglob("*")), cluster.asked) == (before, [])


def test_an_empty_folder_is_a_target(cluster, store, tmp_path):
    (tmp_path / "here").mkdir()
    fetch(cluster, str(store), tmp_path / "here")
    assert files(tmp_path / "here") == files(store)


def test_two_fetches_to_one_place_do_not_meet(cluster, store, tmp_path):
    with locked(Layout(tmp_path / "here")), pytest.raises(StoreBusyError):
        fetch(cluster, str(store), tmp_path / "here")


def test_a_disk_without_room_is_said_before_anything_is_written(cluster, store, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(DiskFullError, match=r"the disk has 0 MB free: free some, or name another place with --fetch"):
        fetch(cluster, str(store), tmp_path / "here")


@given(st.sets(st.integers(0, 300)).map(sorted))
def test_numbers_are_read_as_they_were_written(numbers):
    text = pieces.write_numbers(numbers)
    assert list(pieces.read_numbers(text)) == numbers
    assert text.count(",") < max(1, len(numbers))


def test_the_log_is_emptied_when_the_reader_stops_the_job(store, tmp_path):
    """Ray keeps a job's log as long as the cluster lives, and this one is larger than the store."""
    log = tmp_path / "job.log"
    command = [sys.executable, "-m", "kotovec.cluster.pieces", store, "0-99"]
    with log.open("ab") as out:
        job = subprocess.Popen(command, stdout=out, stderr=out, env=environment(), cwd=tmp_path)
    try:
        wait_for(lambda: log.read_bytes().count(pieces.MARK.encode()) == 1 + len(files(store)))
        assert job.poll() is None
        job.send_signal(signal.SIGTERM)
        assert job.wait(20) == 0
        assert log.read_bytes() == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            job.kill()
        job.wait()


def test_a_job_without_a_store_says_so_and_leaves_its_log(tmp_path):
    command = [sys.executable, "-m", "kotovec.cluster.pieces", tmp_path / "none", "0-9"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: there is no finished store at {tmp_path / 'none'} on ")
