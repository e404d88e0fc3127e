"""Memory that processes share: written once, by whoever comes first, and gone with the last of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kotovec.workers import memory as memories
from kotovec.workers.memory import Memory, Place

ROOT = Path(__file__).parents[1]
shared = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system shares no memory so")


def count(array):
    array[:] = np.arange(len(array)) % 251


def refuse(_):
    pytest.fail("it was written twice")


def other(code, *places):
    """Start a process that does something with the memory of places."""
    head = "import sys, time\nfrom kotovec.workers.memory import Memory, Place\n"
    arguments = [part for place in places for part in (place.path, place.name)]
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@shared
def test_another_process_finds_what_the_first_one_wrote():
    mine = Memory()
    written = mine.fill(10_000, count)
    process = other("print(Memory(Place(*sys.argv[1:])).fill(10_000, None).sum())", mine.place)
    out, _ = process.communicate(timeout=60)
    assert int(out) == written.sum() == (np.arange(10_000) % 251).sum()


@shared
def test_it_outlives_the_process_that_wrote_it_and_ends_with_the_last_one():
    code = """
memory = Memory()
array = memory.fill(1000, lambda array: array.fill(7))
print(memory.place.path, *memory.place.name.split(), flush=True)
time.sleep(60)
"""
    process = other(code)
    path, *name = process.stdout.readline().split()
    place = Place(path, " ".join(name))
    mine = Memory(place)
    process.kill()
    process.wait()
    assert mine.fill(1000, refuse).tolist() == [7] * 1000
    assert Memory(mine.place).fill(1000, refuse).tolist() == [7] * 1000
    late = Memory(place)  # its process is gone: there is nothing of that name
    late.fill(1000, count)
    assert late.place.name != place.name


@shared
def test_one_who_dies_over_it_leaves_it_to_the_next():
    mine = Memory()
    code = """
def write(array):
    array[:500] = 9
    print("begun", flush=True)
    time.sleep(60)
Memory(Place(*sys.argv[1:])).fill(1000, write)
"""
    process = other(code, mine.place)
    assert process.stdout.readline() == "begun\n"
    found = []
    waiting = threading.Thread(target=lambda: found.append(mine.fill(1000, count)))
    waiting.start()
    time.sleep(0.5)
    assert waiting.is_alive()  # the other one has begun
    process.send_signal(signal.SIGKILL)
    process.wait()
    waiting.join(timeout=30)
    np.testing.assert_array_equal(found[0], np.arange(1000) % 251)


@shared
def test_what_has_another_name_is_left_alone(tmp_path):
    """As where a process ended, and the next one of its number has another file there."""
    with (tmp_path / "diary").open("w+b") as diary:
        diary.write(b"dear diary")
        diary.flush()
        memory = Memory(Place(f"/proc/{os.getpid()}/fd/{diary.fileno()}", "/memfd:kotovec-1 (deleted)"))
        memory.fill(1000, count)
    assert (tmp_path / "diary").read_bytes() == b"dear diary"


@shared
def test_one_who_wants_another_size_gets_memory_of_its_own():
    mine = Memory()
    before = mine.fill(1000, count)
    other_size = Memory(mine.place).fill(99_000, count)
    assert len(other_size) == 99_000
    np.testing.assert_array_equal(other_size, np.arange(99_000) % 251)
    np.testing.assert_array_equal(before, np.arange(1000) % 251)
    np.testing.assert_array_equal(mine.fill(1000, refuse), before)


@shared
def test_what_was_filled_stays_after_it_is_closed():
    mine = Memory()
    array = mine.fill(1000, count)
    mine.close()
    assert mine.place is None
    np.testing.assert_array_equal(array, np.arange(1000) % 251)


def test_where_no_memory_is_shared_each_has_its_own(monkeypatch):
    monkeypatch.delattr(memories.os, "memfd_create", raising=False)
    mine = Memory()
    assert mine.place is None
    np.testing.assert_array_equal(mine.fill(1000, count), np.arange(1000) % 251)
    mine.close()
