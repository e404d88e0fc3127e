"""Containers and mounts: nothing to write to, no locks, no memory maps, and no home."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import kotovec
from kotovec import access
from kotovec.cluster.private import temporary_folder
from kotovec.errors import InputError, MissingDependencyError, StoreBusyError, StoreError
from kotovec.store import Store, files, outputs, projection
from kotovec.store.cartography import MapRequest, make_map
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

from commands import MAIN, call, environment, make_store
from rays import datasets, left_behind

# Everything that is installed is read-only, and so is the home, which does not exist.
READ_ONLY = """mount --make-rprivate / && mount --bind {0} {0} && mount -o remount,ro,bind {0} && shift && exec "$@" """


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "x.kotovec")


@pytest.fixture(params=["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EINVAL"])
def without_locks(request, monkeypatch):
    """A file system that has no locks, as every call of flock says."""
    number = getattr(errno, request.param)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


def read_only(folder, *command, code=MAIN):
    """Run a command of kotovec, or other code, where a folder is read-only, without a home."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here (that takes root)")
    start = ["unshare", "--mount", "sh", "-c", READ_ONLY.format(folder), "sh", "-", sys.executable, "-c", code]
    variables = environment(HOME="/proc/nowhere")
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        variables.pop(name, None)
    command = [*start, *map(str, command)]
    return subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True, timeout=120)


# What numba does for each of umap's functions; importing umap itself compiles for half a minute.
CACHE = """
from kotovec.store import projection
from kotovec.text import escaped
with projection._compiling():
    from numba.core.caching import FunctionCache
    print(FunctionCache(escaped).cache_path)
"""


def test_numba_finds_a_folder_where_site_packages_are_read_only_and_there_is_no_home():
    """There was "no locator available for file '…/umap/layouts.py'"."""
    done = read_only(Path(kotovec.__file__).parents[1], code=CACHE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "/kotovec-numba-" in done.stdout


@pytest.mark.parametrize("place", ["/proc/nowhere/.cache", "/sys/x"])
def test_root_may_write_to_proc_by_its_modes_and_cannot(place, tmp_path):
    assert not access.is_writable(Path(place))
    assert access.is_writable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_store_is_mapped_and_drawn_but_not_kept(store, tmp_path):
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    place = tmp_path / "place"
    place.mkdir()
    store = store.rename(place / store.name)
    options = ["map", "--store", store, "--method", "pca"]
    done = read_only(place, *options, "--png", drawn / "x.png", "--html", drawn / "x.html", "--space", "both")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"note: the map is not kept: nothing can be written in {place} (Read-only file system)\n"
    assert (drawn / "x.png").read_bytes().startswith(b"\x89PNG")
    assert (drawn / "x.html").stat().st_size > 1000
    assert not (store / "maps").exists()
    kept = make_map(Store.open(store), MapRequest(method="pca", seed=1))
    before = (store / "maps" / "static.pca.h5").read_bytes()
    other = read_only(place, *options, "--png", drawn / "y.png")  # said "kept" of the file of another map
    assert (other.returncode, other.stderr) == (0, done.stderr)
    assert [line.split()[0] for line in other.stdout.splitlines()] == ["map", "recall@10", "trust", "picture"]
    assert (store / "maps" / "static.pca.h5").read_bytes() == before
    same = read_only(place, *options, "--seed", kept.record.seed, "--png", drawn / "y.png")
    assert (same.returncode, same.stderr) == (0, "")
    assert f" kept       {store}/maps/static.pca.h5" in same.stdout.splitlines()
    (store / "maps" / "static.pca.h5").unlink()
    refused = read_only(place, *options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        f"error: nothing can be written in {place} (Read-only file system)",
        "hint: name another path, or make this one writable",
    ]


def forbid(monkeypatch, folder):
    """Let no file be made below a folder."""
    real = tempfile.TemporaryFile

    def make(dir=None):  # noqa: A002 — its own name
        if dir is not None and Path(dir).is_relative_to(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(dir=dir)

    monkeypatch.setattr(access.tempfile, "TemporaryFile", make)


def test_what_cannot_be_kept_is_refused_before_it_is_computed(store, monkeypatch):
    """A map of 250,000 tokens takes minutes."""
    forbid(monkeypatch, store)
    monkeypatch.setattr(projection, "unit", lambda *_: pytest.fail("it is being computed"))
    with pytest.raises(StoreError, match=f"nothing can be written in {store} "):
        make_map(Store.open(store), MapRequest(method="pca"))
    monkeypatch.undo()
    with locked(Layout(store)), pytest.raises(StoreBusyError):
        make_map(Store.open(store), MapRequest(method="pca"))


@pytest.mark.parametrize("command", [["index"], ["map", "--method", "pca"]])
def test_a_writable_store_in_a_folder_that_is_not_says_that_its_lock_lies_beside_it(
    store, capsys, monkeypatch, command
):
    """It said only that nothing can be written in the parent, which nobody had asked for."""

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("kotovec.store.lock._acquire", refuse)
    answer = call(capsys, *command, "--store", store)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        f"error: nothing can be written in {store.parent} (Permission denied), where the lock of {store.name} is made",
        "hint: make that folder writable, or move the store into one that is",
    ]


def test_an_index_is_refused_before_it_is_computed(store, capsys, monkeypatch):
    forbid(monkeypatch, store)
    monkeypatch.setattr("kotovec.store.index._filled", lambda *_: pytest.fail("it is being computed"))
    answer = call(capsys, "index", "--metric", "ip", "--store", store)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: nothing can be written in {store}/indexes (Read-only file system)\nhint: ")


def test_every_command_works_without_locks(without_locks, tiny_models, capsys, tmp_path):
    """Whole maps were damaged, and a build asked for the same command again for ever."""
    store = tmp_path / "x.kotovec"
    options = ["--store", store, "--workers", 0, "--device", "cpu", "--quiet"]
    assert call(capsys, "build", tiny_models["bert"], *options).code == 0
    (store / "spaces" / ".kotovec-0123456789abcdef.part").write_bytes(b"of a killed build")
    for command in (["index", "--metric", "ip"], ["map", "--method", "pca"], ["verify"], ["query", "#9"]):
        answer = call(capsys, *command, "--quiet", "--store", store)
        assert (answer.code, answer.err) == (0, "")
    assert call(capsys, "map", "--method", "pca", "--json", "--store", store).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.kotovec"]
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()


def test_without_locks_two_builds_still_exclude_each_other(without_locks, tmp_path):
    layout = Layout(tmp_path / "x.kotovec")
    with locked(layout):
        assert layout.lock.read_text(encoding="utf-8").startswith(f"{os.getpid()}\n")
        with pytest.raises(StoreBusyError, match="is being built by another process") as caught, locked(layout):
            pass
    assert caught.value.hint == f"wait for it; if it was killed on another machine, delete {layout.lock}"
    assert not layout.lock.exists()
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    layout.lock.write_text(f"{dead.pid}\n{os.uname().nodename}\n", encoding="utf-8")
    with locked(layout):
        pass


def test_without_locks_the_parts_of_a_killed_build_are_deleted(without_locks, tmp_path):
    part = tmp_path / files.part_name()
    part.touch()
    files.delete_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_memory_maps_is_read(store, capsys, monkeypatch):
    expected = call(capsys, "query", "king", "--json", "--store", store).out

    def refuse(*_, **__):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(np, "memmap", refuse)
    assert json.loads(call(capsys, "query", "king", "--exact", "--json", "--store", store).out) == json.loads(expected)
    assert call(capsys, "verify", "--quiet", "--store", store).code == 0
    with pytest.raises(ValueError, match="read-only"):
        Store.open(store).array("static")[0] = 0


def test_a_file_system_that_cannot_fsync_folders_takes_a_build(tiny_models, capsys, monkeypatch, tmp_path):
    real = os.fsync

    def refuse(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "fchmod", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no modes")))
    store = tmp_path / "x.kotovec"
    options = ["--store", store, "--workers", 0, "--device", "cpu", "--quiet"]
    assert call(capsys, "build", tiny_models["bert"], *options).code == 0
    assert call(capsys, "index", "--metric", "ip", "--quiet", "--store", store).code == 0
    (tmp_path / "x.png").touch()
    outputs.write_output(tmp_path / "x.png", b"new")
    assert (tmp_path / "x.png").read_bytes() == b"new"
    assert left_behind(store) == []
    assert datasets(store)


def test_numba_and_matplotlib_without_any_folder_are_one_line(monkeypatch):
    monkeypatch.setattr(access, "is_writable", lambda _: False)

    def refuse(**_):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(projection.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(InputError, match="numba has no folder") as caught, projection._compiling():
        pass
    assert not isinstance(caught.value, MissingDependencyError)
    assert caught.value.hint == "name one with TMPDIR or NUMBA_CACHE_DIR, or use --method pca"


def test_a_folder_that_numba_was_given_and_cannot_use_is_replaced(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/nowhere/numba")
    with projection._compiling():
        assert os.path.isdir(os.environ["NUMBA_CACHE_DIR"])
    assert os.environ["NUMBA_CACHE_DIR"] == "/proc/nowhere/numba"
