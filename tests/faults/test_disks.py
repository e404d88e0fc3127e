"""Disks that are full, of bytes or of files, under builds that overwrite; and kills in every step of their swap."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kotovec.errors import DiskFullError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store import folder as folders
from kotovec.store.layout import Layout

import stores
from rays import Newer, datasets, left_behind, plan_of, run_build
from test_faults_build import believe_in_space, small_disk  # noqa: F401 — the fixture


def remount(disk, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@pytest.mark.parametrize("more", [8, 60, 150, 220, 245])
def test_an_overwriting_build_on_a_disk_that_fills_up_keeps_the_old_store_and_goes_on_later(
    more,
    employ,
    small_disk,  # noqa: F811
    tiny_models,
    tmp_path,
    monkeypatch,
):
    """With so many KiB beside the old store: from the first shard to the last index."""
    plan, disk = plan_of(tiny_models["bert"]), small_disk(8192)
    store = disk / "x.kotovec"
    run_build(plan, store)
    old = datasets(store)
    employ(Newer)
    run_build(plan, tmp_path / "newer.kotovec")
    used = int(subprocess.run(["du", "-sk", disk], capture_output=True, text=True).stdout.split()[0])
    remount(disk, f"size={used + more}k")
    with monkeypatch.context() as patched:
        believe_in_space(patched)
        with pytest.raises(
            DiskFullError,
            match=r"no space left while writing .*\nhint: free some space, then run the same command again$",
        ):
            run_build(plan, store, overwrite=True)
    assert datasets(store) == old
    assert Store.open(store).verify() == []
    assert [path for path in disk.rglob("*") if path.name.endswith((".part", ".lock"))] == []
    remount(disk, "size=8m")
    run_build(plan, store, overwrite=True)
    assert datasets(store) == datasets(tmp_path / "newer.kotovec")
    assert left_behind(store) == []


def test_a_disk_without_room_for_another_file_is_a_full_one(employ, small_disk, tiny_models, tmp_path):  # noqa: F811
    """Whichever file is the one too many: lock, plan, tokenizer, tokens, shard or vectors."""
    plan, disk = plan_of(tiny_models["bert"]), small_disk(8192)
    store, said = disk / "x.kotovec", set()
    for files in range(2, 60):
        remount(disk, f"nr_inodes={files}")
        try:
            run_build(plan, store)
        except OSError as error:
            assert error.__class__.__module__ == "kotovec.errors", repr(error)
            assert "\n" not in str(error)
            said.add(re.sub(r"^\d{6}(?=\.h5$)", "shard", Path(str(error).split(":")[0].split()[-1]).name))
            assert [path for path in disk.rglob("*") if path.name.endswith((".part", ".lock"))] == []
        else:
            break
    else:
        pytest.fail("never enough files")
    # The indexes take the place of the shards; which shard comes first is up to the workers.
    assert {"plan.json", "tokens.h5", "shard.h5", "static.h5", "isolated-2.h5", "x.kotovec"} <= said
    run_build(plan, tmp_path / "elsewhere.kotovec")
    assert datasets(store) == datasets(tmp_path / "elsewhere.kotovec")
    assert left_behind(store) == []


def swap_and_die(old, new, exchange, step):
    """Swap two stores in a child that kills itself before a step; return whether it came to that step."""
    child = os.fork()
    if child == 0:
        steps = 0

        def counted(function):
            def call(*arguments, **options):
                nonlocal steps
                steps += 1
                if steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        try:
            folders._exchange = counted(folders._exchange) if exchange else lambda *_: False
            Path.rename, folders.sync = counted(Path.rename), counted(folders.sync)
            os.unlink, os.rmdir = counted(os.unlink), counted(os.rmdir)
            folders.swap(old, new)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_a_kill_in_any_step_of_a_swap_leaves_one_of_the_stores_and_nothing_after_the_next_build(tmp_path, exchange):
    """Every rename, sync and deletion of the swap is one; `recover` is what every build begins with."""
    tokens = stores.numbered(9)
    vectors = [np.full((9, 3), value, dtype=np.float32) + np.eye(9, 3, dtype=np.float32) for value in (1, 2)]
    made = [stores.write_store(tmp_path / name, tokens, values) for name, values in zip("ab", vectors, strict=True)]
    step, ends = 1, []
    while True:
        place = tmp_path / str(step)
        old = Layout(shutil.copytree(made[0], place / "x.kotovec"))
        new = Layout(shutil.copytree(made[1], old.rebuild))
        killed = swap_and_die(old, new, exchange, step)
        there = old.folder.exists()
        assert there or not exchange  # with two renames there is a moment without
        before = Store.open(old.folder).array(Space("static"))[0, 1] if there else None
        folders.recover(old)
        opened = Store.open(old.folder)
        assert opened.verify() == []
        ends.append(float(opened.array(Space("static"))[0, 1]))
        assert before in (None, ends[-1])
        assert [path.name for path in place.iterdir() if path.name != "x.kotovec"] in ([], [".x.kotovec.rebuild"])
        if ends[-1] == 2:
            assert not old.rebuild.exists()
        if not killed:
            break
        step += 1
    # The old one up to the swap, the new one ever after.
    assert step > 4
    assert ends == sorted(ends)
    assert ends[-1] == 2.0
