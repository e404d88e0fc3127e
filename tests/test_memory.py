"""Memory that processes share: written once, by whoever comes first, and gone with the last of them."""

import contextlib
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
from kotovec.workers.memory import ALIGNMENT, Memory, Place

ROOT = Path(__file__).parents[1]
shared = pytest.mark.skipif(Memory().place is None, reason="this system shares no memory so")


def count(array):
    array[:] = np.arange(len(array)) % 251


def refuse(_):
    pytest.fail("it was written twice")


@contextlib.contextmanager
def other(code, *places):
    """Run a process that does something with the memory of places."""
    head = "import sys, time\nfrom kotovec.workers.memory import Memory, Place\n"
    arguments = [part for place in places for part in (place.path, place.name)]
    command = [sys.executable, "-c", head + code, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@shared
def test_another_process_finds_what_the_first_one_wrote():
    mine = Memory()
    written = mine.fill(10_000, count)
    with other("print(Memory(Place(*sys.argv[1:])).fill(10_000, None).sum())", mine.place) as process:
        out, _ = process.communicate(timeout=60)
    assert int(out) == written.sum() == (np.arange(10_000) % 251).sum()
    with pytest.raises(ValueError, match="read-only"):
        written[0] = 1


def held(name):
    """Return where this process has a file: among its mappings, and its descriptors."""
    maps = [line for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines() if name in line]
    links = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor that lists them
            links += [link] if name in os.readlink(link) else []
    return maps + links


@shared
def test_it_outlives_the_process_that_wrote_it_and_ends_with_the_last_one():
    code = """
memory = Memory()
array = memory.fill(1000, lambda array: array.fill(7))
print(memory.place.path, *memory.place.name.split(), flush=True)
time.sleep(60)
"""
    with other(code) as process:
        path, *name = process.stdout.readline().split()
        place = Place(path, " ".join(name))
        mine = Memory(place)
    found = mine.fill(1000, refuse)
    assert found.tolist() == [7] * 1000
    assert Memory(mine.place).fill(1000, refuse).tolist() == [7] * 1000
    assert Memory(place).place.name != place.name  # its process is gone: there is nothing of that name
    assert len(held(name[0])) == 2  # its own descriptor, and the mapping
    del mine
    assert len(held(name[0])) == 1
    assert found.tolist() == [7] * 1000
    del found
    assert held(name[0]) == []


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
    with other(code, mine.place) as process:
        assert process.stdout.readline() == "begun\n"
        found = []
        waiting = threading.Thread(target=lambda: found.append(mine.fill(1000, count)), daemon=True)
        waiting.start()
        time.sleep(0.5)
        assert waiting.is_alive()  # the other one has begun
        process.send_signal(signal.SIGKILL)
    waiting.join(timeout=30)
    np.testing.assert_array_equal(found[0], np.arange(1000) % 251)


@shared
def test_what_has_another_name_is_left_alone(tmp_path):
    """As where a process ended, and the next one of its number has another file there."""
    with (tmp_path / "diary").open("w+b") as diary:
        memory = Memory(Place(f"/proc/{os.getpid()}/fd/{diary.fileno()}", "/memfd:kotovec-1 (deleted)"))
        memory.fill(1000, count)
        assert memory.place.path != f"/proc/{os.getpid()}/fd/{diary.fileno()}"
    assert (tmp_path / "diary").read_bytes() == b""


@shared
def test_one_who_wants_another_size_gets_none():
    mine = Memory()
    before = mine.fill(1000, count)
    assert Memory(mine.place).fill(99_000, refuse) is None
    np.testing.assert_array_equal(mine.fill(1000, refuse), before)
    np.testing.assert_array_equal(before, np.arange(1000) % 251)


@shared
def test_a_python_without_it_takes_the_c_librarys(monkeypatch):
    """As those have that are built for any Linux, uv's and conda's among them."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    mine = Memory()
    np.testing.assert_array_equal(mine.fill(1000, count), np.arange(1000) % 251)
    with other("print(Memory(Place(*sys.argv[1:])).fill(1000, None).sum())", mine.place) as process:
        assert int(process.communicate(timeout=60)[0]) == (np.arange(1000) % 251).sum()


@pytest.mark.parametrize("name", ["memfd_create", "readlink"])
def test_where_it_is_refused_there_is_none(name, monkeypatch):
    """By a sandbox, or where there is no /proc."""

    def forbid(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(memories.os, name, forbid, raising=False)
    mine = Memory()
    assert mine.place is None
    assert mine.fill(1000, refuse) is None


@shared
def test_where_a_file_may_not_be_so_large_there_is_none():
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
print(Memory().fill(1000, lambda array: array.fill(1)), Memory().fill(20_000, None))
"""
    with other(code) as process:
        assert process.communicate(timeout=60)[0].split()[-1] == "None"
        assert process.returncode == 0


@shared
def test_memory_that_is_short_is_an_error(monkeypatch):
    def fail(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    mine = Memory()
    monkeypatch.setattr(memories.mmap, "mmap", fail)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        mine.fill(1000, count)
    monkeypatch.setattr(memories, "_create", fail)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        Memory()


@shared
def test_it_begins_at_the_same_place_of_two_megabytes_in_every_process():
    mine = Memory()
    arrays = [Memory(mine.place).fill(5000, count) for _ in range(5)]
    assert {array.ctypes.data % ALIGNMENT for array in arrays} == {0}
    assert len({array.ctypes.data for array in arrays}) == 5
