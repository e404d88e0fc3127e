"""A store is fetched in checksummed pieces: whole or not at all, and never a piece twice that is here."""

import base64
import hashlib
import json
import os
import shutil

import pytest

from kotovec.cluster import fetch as fetching
from kotovec.cluster import pieces
from kotovec.cluster.fetch import fetch
from kotovec.cluster.submit import JobEnd
from kotovec.errors import DamagedError, DiskFullError, InputError, StoreBusyError, StoreError, WorkerError
from kotovec.store import Store
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

from commands import make_store

STEP = 1000  # bytes a piece, so that a small store has many


def of_pieces(lines):
    """The places of the lines that carry pieces."""
    return [place for place, line in enumerate(lines) if line[:1] == pieces.MARK and line[1].isdigit()]


def first_pieces(lines, count):
    """What has come when so many pieces have."""
    return lines[: of_pieces(lines)[count]]


def forge(lines, change):
    """The lines with another manifest, whose own checksum is right."""
    *head, end = [json.loads(line[1:]) for line in lines[1 : of_pieces(lines)[0]]]
    change(head)
    head = [json.dumps(record) for record in head]
    end = json.dumps({"end": hashlib.sha256("".join(head).encode()).hexdigest()})
    return [lines[0], *(pieces.MARK + text for text in [*head, end]), *lines[of_pieces(lines)[0] :]]


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
        store, wanted, known = self.asked[-1]
        log = self.folder / f"{job}.log"
        with log.open("wb") as out:
            try:
                pieces.send(pieces.Path(store), wanted, known, out)
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
        return [list(pieces.read_numbers(numbers)) for _, numbers, _ in self.asked]


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
    (store / ".tokens.h5.part").write_bytes(b"of an unfinished build")
    (store / "maps").mkdir()
    (store / "maps" / "empty").touch()
    fetched = fetch(cluster, str(store), tmp_path / "here", lambda *state: shown.append(state))
    (store / ".tokens.h5.part").unlink()
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
        yield from first_pieces(lines, 5)
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
        yield from first_pieces(lines, 2)
        cluster.spoil = lambda lines: lines
        raise WorkerError("the connection broke")

    cluster.spoil = cut
    fetch(cluster, str(store), tmp_path / "here")
    assert cluster.wanted[1] == absent(store, 2)
    assert files(tmp_path / "here") == files(store)


@pytest.mark.parametrize("how", ["another byte", "cut", "no Base64"])
def test_a_piece_that_was_changed_on_the_way_comes_again(cluster, store, tmp_path, how):
    def spoil(lines):
        place = of_pieces(lines)[2]
        number, text = lines[place].split(" ")
        data = bytearray(base64.b64decode(text))
        data[10] ^= 1
        cluster.spoil = lambda lines: lines
        changed = {"another byte": base64.b64encode(data).decode(), "cut": text[:400], "no Base64": "!" + text[1:]}
        return [*lines[:place], f"{number} {changed[how]}", *lines[place + 1 :]]

    cluster.spoil = spoil
    fetch(cluster, str(store), tmp_path / "here")
    assert cluster.wanted[1] == [2]
    assert files(tmp_path / "here") == files(store)


def test_what_was_begun_of_another_store_is_not_mixed_in(cluster, store, tmp_path):
    def cut(lines):
        yield from first_pieces(lines, 7)
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
    cluster.spoil = lambda lines: first_pieces(lines, 0)
    with pytest.raises(WorkerError, match=r"do not arrive\nhint: run the same command again; it resumes$"):
        fetch(cluster, str(store), tmp_path / "here")
    assert len(cluster.stopped) == len(cluster.asked) == 1
    assert not (tmp_path / "here").exists()


def test_a_job_that_fails_before_it_sends_is_named(cluster, store, tmp_path):
    cluster.spoil, cluster.ended = lambda lines: lines[:1], JobEnd("FAILED", None, "no runtime environment")
    with pytest.raises(WorkerError, match=f"the job that sends {store} failed: no runtime environment"):
        fetch(cluster, str(store), tmp_path / "here")


@pytest.mark.parametrize("path", ["../evil.h5", "/etc/evil", "tokenizer/../../evil", ""])
def test_a_file_outside_of_the_store_is_refused(cluster, store, tmp_path, path):
    cluster.spoil = lambda lines: forge(lines, lambda records: records[0].update(path=path))
    with pytest.raises(DamagedError, match="which is not a path inside of a store"):
        fetch(cluster, str(store), tmp_path / "here")
    assert list(tmp_path.rglob("*evil*")) == []


def test_what_changes_here_after_it_was_laid_in_its_place_is_damaged_and_comes_again(cluster, store, tmp_path):
    def spoil(lines):
        yield from lines[:-1]
        part = tmp_path / ".here.fetch" / "store" / slices(store)[0][0]
        part.write_bytes(b"?" + part.read_bytes()[1:])
        yield lines[-1]

    cluster.spoil = spoil
    with pytest.raises(
        DamagedError, match=r"does not match its checksum\nhint: run the same command again; it resumes$"
    ):
        fetch(cluster, str(store), tmp_path / "here")
    assert not (tmp_path / "here").exists()
    fetch(cluster, str(store), tmp_path / "here")
    assert (cluster.wanted[1], files(tmp_path / "here")) == ([0], files(store))


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:2], lines[2][:30], *lines[3:]],
        lambda lines: [*lines[:2], lines[2].replace("a", "b"), *lines[3:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: lines[:4],
        lambda lines: forge(lines, list.clear),
    ],
    ids=["no JSON", "another", "a line less", "cut off", "empty"],
)
def test_a_manifest_that_was_changed_on_the_way_is_an_error_and_is_not_kept(cluster, store, tmp_path, change):
    cluster.spoil = change
    with pytest.raises(
        WorkerError, match=r"files does not arrive completely\nhint: run the same command again; it resumes$"
    ):
        fetch(cluster, str(store), tmp_path / "here")
    cluster.spoil = lambda lines: lines
    fetch(cluster, str(store), tmp_path / "here")
    assert files(tmp_path / "here") == files(store)


@pytest.fixture
def hashed(monkeypatch):
    """The pieces of the store on the cluster that were read, by their file and offset."""
    seen = []

    def read(store, path, offset, size, read=pieces.read_piece):
        seen.append((path, offset))
        return read(store, path, offset, size)

    monkeypatch.setattr(pieces, "read_piece", read)
    return seen


def test_the_cluster_reads_the_whole_store_in_the_first_round_alone(cluster, store, tmp_path, monkeypatch, hashed):
    monkeypatch.setattr(fetching, "ROUND_PIECES", 7)
    fetch(cluster, str(store), tmp_path / "here")
    sent = sum(map(len, cluster.wanted))
    assert len(cluster.asked) == 3
    assert len(hashed) == len(slices(store)) + sent


def test_a_store_that_was_only_touched_is_read_again_and_not_sent_again(cluster, store, tmp_path, hashed):
    def cut(lines):
        yield from first_pieces(lines, 5)
        raise KeyboardInterrupt

    cluster.spoil = cut
    with pytest.raises(KeyboardInterrupt):
        fetch(cluster, str(store), tmp_path / "here")
    os.utime(store / "tokens.h5")
    hashed.clear()
    cluster.spoil = lambda lines: lines
    fetch(cluster, str(store), tmp_path / "here")
    assert cluster.wanted[1] == absent(store, 5)
    assert len(hashed) == len(slices(store)) + len(cluster.wanted[1])


def test_each_piece_is_hashed_here_when_it_comes_and_when_all_is_there(cluster, store, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(fetching, "ROUND_PIECES", 7)
    monkeypatch.setattr(fetching, "_is", lambda piece, data, real=fetching._is: seen.append(piece) or real(piece, data))
    fetch(cluster, str(store), tmp_path / "here")
    assert len(seen) == sum(map(len, cluster.wanted)) + len(slices(store))


def test_where_there_is_no_finished_store_the_cluster_s_own_words_are_the_error(cluster, store, tmp_path):
    (store / "tokens.h5").unlink()
    with pytest.raises(InputError, match=f"there is no complete store at {store} on {os.uname().nodename}"):
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
    with pytest.raises(StoreError, match=r"exists already\nhint: name another path with --fetch, or use --no-fetch$"):
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
    with pytest.raises(
        DiskFullError, match=r"the disk has 0 MB free\nhint: free some space, or name another path with --fetch$"
    ):
        fetch(cluster, str(store), tmp_path / "here")
