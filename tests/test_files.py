"""Files are whole or absent, on disks that fill up as well."""

import contextlib
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from kotovec.errors import DiskFullError
from kotovec.space import Space
from kotovec.store import index
from kotovec.store.files import Sink, delete_parts, is_disk_full, sinking
from kotovec.store.layout import PART, Layout
from kotovec.store.merge import merge
from kotovec.store.nearest import Metric
from kotovec.store.shard import open_shard
from kotovec.store.vectors import Vectors
from kotovec.store.writer import identity_of, write_tokens

import stores

MIB = 1 << 20
TOKENS = stores.numbered(600)
STATIC = Space("static")
VECTORS = np.random.default_rng(0).standard_normal((600, 256)).astype(np.float32)  # 600 KiB


@pytest.fixture
def disk(tmp_path):
    """A file system of its own with 4 MiB, of which nothing is taken."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@contextlib.contextmanager
def only_free(disk, size):
    """Fill the disk up to some free bytes, for the block."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free(disk) - size)
    assert free(disk) <= size
    yield
    ballast.unlink()


def free(disk):
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def open_on(disk):
    """The files of a disk that this process holds open, deleted ones included."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return [link for link in links if link.startswith(str(disk))]


def parts(folder):
    return [path for path in folder.iterdir() if PART.fullmatch(path.name)]


def test_a_file_takes_its_final_name_only_when_it_is_whole(tmp_path):
    target = tmp_path / "target"
    with sinking(target) as sink:
        sink.write(b"new")
        assert not target.exists()
        assert len(parts(tmp_path)) == 1
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "target"
    target.write_text("old")
    with pytest.raises(error), sinking(target) as sink:
        sink.write(b"new")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_writer_left_is_in_nobodys_way_and_deleted(tmp_path):
    with contextlib.suppress(KeyboardInterrupt), sinking(tmp_path / "target"):
        (stale,) = parts(tmp_path)
        raise KeyboardInterrupt
    stale.write_text("left by SIGKILL, and longer than the new one")
    with sinking(tmp_path / "target") as sink:
        sink.write(b"new")
        delete_parts(tmp_path)
        assert len(parts(tmp_path)) == 1  # the one at work is locked
    assert (tmp_path / "target").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_the_file_and_its_folder_are_synced_in_this_order(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    with sinking(tmp_path / "target") as sink:
        sink.write(b"new")
        (part,) = parts(tmp_path)
    assert synced == [str(part), str(tmp_path)]


def test_a_full_disk_while_a_shard_is_written_leaves_no_shard(disk):
    with only_free(disk, MIB // 2), pytest.raises(DiskFullError, match="no space left while writing"):
        stores.write_shards(disk / "shards", TOKENS, VECTORS, VECTORS[np.newaxis])
    assert list((disk / "shards").iterdir()) == []
    assert open_on(disk) == []
    stores.write_shards(disk / "shards", TOKENS, VECTORS, VECTORS[np.newaxis])
    with open_shard(disk / "shards", 0, stores.FINGERPRINT) as reader:
        assert np.array_equal(reader.read("static"), VECTORS)


# From too little for the headers to all but the last page: another write of HDF5's fails each time.
@pytest.mark.parametrize("space", [STATIC, Space("isolated", 12)], ids=str)
@pytest.mark.parametrize("pages", [0, 1, 2, 5, 10, 100, 149, -4, -3, -2, -1])
def test_a_full_disk_while_merging_leaves_no_file_of_the_space(tmp_path, disk, pages, space):
    shards = tmp_path / "shards"
    bounds = stores.write_shards(shards, TOKENS, VECTORS, 2 * VECTORS[np.newaxis], rows=100)
    layout, given = Layout(disk), (shards, bounds, stores.FINGERPRINT, identity_of(TOKENS, ""), {})
    other = Layout(tmp_path)
    write_tokens(layout, TOKENS, {})
    write_tokens(other, TOKENS, {})
    merge(other, space, *given)
    layout.spaces.mkdir()
    before = free(disk)
    needed = -(-other.space(space).stat().st_size // 4096)
    with only_free(disk, (pages % needed) * 4096), pytest.raises(DiskFullError):
        merge(layout, space, *given)
    assert [path for path in disk.rglob("*") if path.is_file()] == [layout.tokens]
    assert open_on(disk) == []
    assert free(disk) == before
    assert not layout.is_store
    merge(layout, space, *given)
    assert layout.space(space).read_bytes() == other.space(space).read_bytes()
    assert np.array_equal(Vectors(disk).array(space), VECTORS if space == STATIC else 2 * VECTORS)


@pytest.mark.parametrize("pages", [0, 1, 2, 3, -3, -2, -1])
def test_a_full_disk_while_the_tokens_are_written_leaves_none(tmp_path, disk, pages):
    layout, other = Layout(disk), Layout(tmp_path)
    provenance = {"model": "none", "command": "kotovec build " * 500}
    write_tokens(other, TOKENS, provenance)
    needed = -(-other.tokens.stat().st_size // 4096)
    with only_free(disk, (pages % needed) * 4096), pytest.raises(DiskFullError, match=r"writing .*tokens\.h5"):
        write_tokens(layout, TOKENS, provenance)
    assert list(disk.iterdir()) == []
    assert open_on(disk) == []
    assert free(disk) == 4 * MIB
    assert write_tokens(layout, TOKENS, provenance) == identity_of(TOKENS, "")
    assert layout.tokens.read_bytes() == other.tokens.read_bytes()


@pytest.mark.parametrize("pages", [0, 1, 149, -1])
def test_a_full_disk_while_a_second_space_is_merged_keeps_the_first(tmp_path, disk, pages):
    shards, layer = tmp_path / "shards", Space("isolated", 12)
    bounds = stores.write_shards(shards, TOKENS, VECTORS, VECTORS[np.newaxis], rows=100)
    layout, given = Layout(disk), (shards, bounds, stores.FINGERPRINT, identity_of(TOKENS, ""), {})
    write_tokens(layout, TOKENS, {})
    merge(layout, STATIC, *given)
    first = layout.space(STATIC).read_bytes()
    needed = -(-len(first) // 4096)
    with only_free(disk, (pages % needed) * 4096), pytest.raises(DiskFullError, match=r"writing .*isolated-12\.h5"):
        merge(layout, layer, *given)
    assert list(layout.spaces.iterdir()) == [layout.space(STATIC)]
    assert layout.space(STATIC).read_bytes() == first
    opened = Vectors(disk)
    assert (opened.spaces, opened.verify()) == ((STATIC,), [])
    merge(layout, layer, *given)
    assert Vectors(disk).spaces == (STATIC, layer)


@pytest.mark.parametrize("pages", [0, 1, 50, -2, -1])
def test_a_full_disk_while_an_index_is_written_leaves_no_index(tmp_path, disk, pages):
    vectors = Vectors(stores.write_store(tmp_path / "a.kotovec", TOKENS, VECTORS))
    index.build(vectors, tmp_path / "whole", STATIC, Metric.L2)
    needed = -(-(tmp_path / "whole" / "static.l2.faiss").stat().st_size // 4096)
    folder = disk / "indexes"
    folder.mkdir()
    with only_free(disk, (pages % needed) * 4096), pytest.raises(DiskFullError):
        index.build(vectors, folder, STATIC, Metric.L2)
    assert list(folder.iterdir()) == []
    assert open_on(disk) == []
    index.build(vectors, folder, STATIC, Metric.L2)
    assert index.verify(folder, vectors) == []
    assert index.load(vectors, folder, STATIC, Metric.L2) is not None


def test_a_full_disk_keeps_the_last_index_and_the_store_complete(disk):
    store = stores.write_store(disk / "a.kotovec", TOKENS, VECTORS, metrics=["l2"])
    vectors = Vectors(store)
    files = {path.name: path.read_bytes() for path in (store / "indexes").iterdir()}
    with only_free(disk, 4096), pytest.raises(DiskFullError):
        index.build(vectors, store / "indexes", STATIC, Metric.L2, factory="SQ8")
    assert {path.name: path.read_bytes() for path in (store / "indexes").iterdir()} == files
    _, record = index.load(vectors, store / "indexes", STATIC, Metric.L2)
    assert record.factory == "Flat"
    assert vectors.verify() == []


def test_a_process_whose_disk_was_full_ends_without_a_crash(disk):
    """HDF5 that could not write its metadata crashes the interpreter on its way out (exit status −11)."""
    script = f"""
import h5py, sys
from kotovec.errors import DiskFullError
from kotovec.space import Space
from kotovec.store.files import sinking
from pathlib import Path
try:
    with sinking(Path({str(disk / "x.h5")!r})) as sink, h5py.File(sink, "w") as file:
        for number in range(2_000):
            file.create_dataset(str(number), data=[0.0] * 9)
except DiskFullError:
    sys.exit(3)
"""
    with only_free(disk, MIB // 4):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (3, b"")


def raw_error(disk, write):
    """What a library raises when it writes to a full disk by itself."""
    with only_free(disk, MIB // 4), pytest.raises(Exception) as caught:  # noqa: PT011 — which one is the question
        write()
    return caught.value


def test_the_forms_in_which_libraries_report_a_full_disk_are_known(disk):
    import faiss

    flat = faiss.IndexFlatL2(256)
    flat.add(VECTORS)

    def hdf5():
        with h5py.File(disk / "x.h5", "w") as file:
            file.create_dataset("x", data=VECTORS)

    def python():
        (disk / "x").write_bytes(VECTORS)

    for write in (hdf5, python, lambda: faiss.write_index(flat, str(disk / "x.faiss"))):
        error = raw_error(disk, write)
        assert is_disk_full(error), error
        for path in disk.iterdir():
            path.unlink()


def test_a_full_disk_is_found_behind_the_error_that_hides_it():
    """As h5py's `RuntimeError: Unable to close file`, raised while the real one is handled."""
    hiding = RuntimeError("Unable to close file")
    hiding.__context__ = OSError(28, "No space left on device")
    assert is_disk_full(hiding)


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), RuntimeError("no"), ValueError(28)])
def test_another_error_is_no_full_disk(error):
    assert not is_disk_full(error)


def test_a_sink_takes_everything_after_an_error_and_tells_the_first(disk):
    file = (disk / "x").open("wb+", buffering=0)
    sink = Sink(file)
    with only_free(disk, 0):
        assert sink.write(b"x" * 10) == 10
    assert sink.write(b"y" * 10) == 10
    with pytest.raises(OSError, match="No space left") as caught:
        sink.check()
    assert caught.value.errno == 28
    file.close()
    assert (disk / "x").stat().st_size == 0
