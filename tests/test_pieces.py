"""What the sending job of a fetch writes on its log, and that it leaves nothing of it there."""

import contextlib
import itertools
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.cluster import pieces

from commands import environment, make_store
from rays import wait_for


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "there" / "words.kotovec")


def test_hashing_is_heard_every_few_pieces_in_lines_that_a_websocket_takes(store, tmp_path):
    """The reader gives up a minute after the last line, and a message has at most 4 MiB."""
    with (store / "big.bin").open("wb") as file:
        file.truncate(200 * pieces.PIECE_BYTES)
    heard = []

    class Log:
        def write(self, line):
            heard.append((line, len(read)))

        def flush(self):
            pass

    read = []
    with pytest.MonkeyPatch.context() as patch:
        real = pieces.read_piece
        patch.setattr(pieces, "read_piece", lambda *place: read.append(place) or real(*place))
        pieces.send(store, "-", "-", Log())
    assert len(read) > 200
    assert max(after - before for (_, before), (_, after) in itertools.pairwise(heard)) <= 16
    assert max(len(line) for line, _ in heard) < 2000


@given(st.sets(st.integers(0, 300)).map(sorted))
def test_numbers_are_read_as_they_were_written(numbers):
    text = pieces.write_numbers(numbers)
    assert list(pieces.read_numbers(text)) == numbers
    assert text.count(",") < max(1, len(numbers))


def test_the_log_is_emptied_when_the_reader_stops_the_job(store, tmp_path):
    """Ray keeps a job's log as long as the cluster lives, and this one is larger than the store."""
    log = tmp_path / "job.log"
    count = sum(path.is_file() for path in store.rglob("*"))
    command = [sys.executable, "-m", "kotovec.cluster.pieces", store, "0-99", "-"]
    with log.open("ab") as out:
        job = subprocess.Popen(command, stdout=out, stderr=out, env=environment(), cwd=tmp_path)
    try:
        wait_for(lambda: log.read_bytes().count(b"\x1e") == 1 + 3 * count)  # a file, its sums, its piece
        assert job.poll() is None
        job.send_signal(signal.SIGTERM)
        assert job.wait(20) == 0
        assert log.read_bytes() == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            job.kill()
        job.wait()


def test_a_job_without_a_store_says_so_and_leaves_its_log(tmp_path):
    command = [sys.executable, "-m", "kotovec.cluster.pieces", tmp_path / "none", "0-9", "-"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: there is no complete store at {tmp_path / 'none'} on ")
