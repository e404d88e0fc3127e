"""Builds: the same bytes for any number of workers, the plan beforehand, places that cannot be used, overwriting."""

import json
import os
import re
import shutil
import subprocess

import faiss
import numpy as np
import psutil
import pytest

from kotovec.cli import app
from kotovec.cluster import resources
from kotovec.cluster.build import Resources, build, count_workers
from kotovec.errors import InputError, StoreError, WorkerError
from kotovec.store import Store
from kotovec.workers.encoder import Encoder

from rays import SIZE, Fake, Listener, Newer, datasets, expected, left_behind, plan_of, run_build, static_of


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bert", {"layers": "all"}),
        ("roberta", {"layers": "0,-1", "store_dtype": "float16"}),
    ],
)
def test_one_two_and_three_workers_give_the_same_bytes(kind, options, employ, tiny_models, tmp_path):
    employ(Encoder)
    plan = plan_of(tiny_models[kind], shard_tokens=24, **options)
    counts = (1, 2, 3) if kind == "bert" else (1, 2)
    for workers in counts:
        summary, listener = run_build(plan, tmp_path / f"{workers}.kotovec", workers)
        assert summary.encoded == len(plan.tokens)
        assert listener.notices == []
    first = datasets(tmp_path / "1.kotovec")
    states = [space.stem for space in plan.spaces if space.name == "isolated"]
    assert set(first) == {
        *(f"tokens/{name}" for name in ("id", "text", "surface", "kind")),
        *(f"{stem}/{name}" for stem in ("static", *states) for name in ("vectors", "norms")),
    }
    assert len(states) == len(plan.spec.layers) > 1
    for stem in states:
        assert first[f"{stem}/vectors"][:2] == (plan.spec.store_dtype, (len(plan.tokens), SIZE))
    for workers in counts[1:]:
        assert datasets(tmp_path / f"{workers}.kotovec") == first


def test_a_store_holds_what_the_workers_gave_each_row_at_its_token(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"], layers="all"), tmp_path / "new" / "place" / "x.kotovec"
    summary, listener = run_build(plan, store, 3)
    static, isolated = static_of(plan), expected(plan.tokens.ids, plan.spec)
    opened = Store.open(store)
    np.testing.assert_array_equal(opened.array("static"), static)
    for layer in plan.spec.layers:
        np.testing.assert_array_equal(opened.array("isolated", layer=layer), isolated[layer])
    for space, array in (("static", static), ("isolated-2", isolated[2])):
        (file,) = (store / "indexes").glob(f"{space}*.faiss")
        index = faiss.read_index(str(file))
        np.testing.assert_array_equal(index.reconstruct_n(0, index.ntotal), array)
    assert listener.progress[0] == 0
    assert listener.progress[-1] == len(plan.tokens)
    assert sorted(listener.progress) == listener.progress
    assert summary.bytes == sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    assert list(summary.seconds) == ["start", "load", "encode", "merge", "index"]
    assert left_behind(store) == []


def test_overwriting_swaps_a_whole_store_under_the_feet_of_its_readers(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    run_build(plan, store)
    reader, before = Store.open(store), datasets(store)
    (old,), (new,) = (expected(plan.tokens.ids + more, plan.spec) for more in (0, 7))
    employ(Newer)

    class Looking(Listener):
        def __call__(self, event):
            super().__call__(event)
            assert datasets(store) == before
            assert sorted(path.name for path in store.iterdir()) == ["indexes", "spaces", "tokenizer", "tokens.h5"]

    looking = Looking()
    summary = build(plan, store, Resources(workers=2), overwrite=True, report=looking)
    assert len(looking) > len(plan.shards)
    assert (summary.store, summary.encoded) == (store, len(plan.tokens))
    np.testing.assert_array_equal(reader.array("isolated"), old)
    np.testing.assert_array_equal(Store.open(store).array("isolated"), new)
    assert reader.search("#7", k=1).hits[0].id == Store.open(store).search("#7", k=1).hits[0].id == 7
    assert left_behind(store) == []


def test_an_index_of_the_store_that_was_overwritten_is_not_used(employ, tiny_models, tmp_path):
    """As when a person copies it back: it names another dataset, so the answer comes from the vectors."""
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    run_build(plan, store)
    shutil.copytree(store / "indexes", tmp_path / "old")
    employ(Newer)
    run_build(plan, store, overwrite=True)
    shutil.copytree(tmp_path / "old", store / "indexes", dirs_exist_ok=True)
    (vectors,) = expected(plan.tokens.ids + 7, plan.spec)
    distances = ((vectors.astype(np.float64) - vectors[60].astype(np.float64)) ** 2).sum(axis=1)
    nearest = plan.tokens.ids[np.lexsort((plan.tokens.ids, distances))[:5]]
    found = Store.open(store).search(f"#{plan.tokens.ids[60]}", space="isolated", k=5)
    assert [hit.id for hit in found.hits] == nearest.tolist()
    summary, _ = run_build(plan, store)
    assert not summary.finished_before
    (file,) = (store / "indexes").glob("isolated-2*.faiss")
    np.testing.assert_array_equal(faiss.read_index(str(file)).reconstruct_n(0, len(vectors)), vectors)


def test_an_interrupted_overwrite_leaves_the_old_store_and_is_taken_up(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    run_build(plan, store)
    before = datasets(store)
    employ(Newer)

    def stop(event):
        if getattr(event, "done", 0) >= plan.shards[2].stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(plan, store, Resources(workers=1), overwrite=True, report=stop)
    assert datasets(store) == before
    assert Store.open(store).search("#7", k=1).hits[0].id == 7
    assert run_build(plan, store)[0].finished_before
    summary, listener = run_build(plan, store, overwrite=True)
    assert listener.notices == [f"resuming with 3 of {len(plan.shards)} shards from an earlier run"]
    assert summary.encoded == len(plan.tokens) - plan.shards[2].stop
    assert datasets(store) != before
    assert left_behind(store) == []


def test_an_interrupted_overwrite_with_other_settings_is_dropped(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    run_build(plan, store)

    def stop(event):
        if getattr(event, "done", 0) >= plan.shards[1].stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(plan_of(tiny_models["bert"], layers="1"), store, Resources(workers=1), overwrite=True, report=stop)
    other = plan_of(tiny_models["bert"], layers="0")
    summary, listener = run_build(other, store, overwrite=True)
    assert (summary.encoded, listener.notices) == (len(plan.tokens), [])
    assert Store.open(store).vectors.layers == (0,)


def test_a_dry_run_prints_the_plan_and_leaves_nothing(tiny_models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = tiny_models["bert-more-rows"]
    count = len((model / "vocab.txt").read_text().splitlines()) if (model / "vocab.txt").is_file() else None
    arguments = ["build", str(model), "--dry-run", "--layers", "all", "--store-dtype", "float16", "--workers", "2"]
    assert app.run([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    tokens = data["tokens"]
    assert tokens == (count or tokens) == sum(data["kinds"].values())
    assert data["kinds"]["special"] == 5
    assert data["kinds"]["unused"] == 10
    assert data["kinds"]["empty"] == 1
    assert data["rows_without_token"] == 7
    assert data["template"] == {"prefix": [3], "suffix": [4]}
    assert data["layers"] == [0, 1, 2]
    assert data["vector_bytes"] == tokens * SIZE * (4 + 3 * 2)
    assert data["index_bytes"] == tokens * SIZE * 4 * 2
    rest = data["store_bytes"] - data["vector_bytes"] - data["index_bytes"]
    assert data["peak_bytes"] == tokens * SIZE * (10 + 8) + rest
    assert (data["shards"], data["workers"]) == (1, 1)
    assert data["store"] == "bert-more-rows.kotovec"
    assert app.run(arguments) == 0
    told = capsys.readouterr().out
    for words in (
        f"{tokens:,} to encode",
        "7 rows without a token",
        "[CLS] token [SEP]",
        "layers 0, 1, 2",
        "float16",
        "shards",
    ):
        assert words in told
    assert list(tmp_path.iterdir()) == []


def test_workers_are_one_a_core_as_far_as_memory_reaches(tiny_models, monkeypatch):
    plan = plan_of(tiny_models["bert"])
    assert 400 << 20 < plan.worker_bytes < 420 << 20
    monkeypatch.setattr(resources, "cores", lambda: 16)
    for memory, workers in ((16, 16), (3.5, 3), (1, 1), (0.2, 1)):
        monkeypatch.setattr(resources, "available_memory", lambda: int(memory * plan.worker_bytes))  # noqa: B023
        listener = Listener()
        assert count_workers(plan, Resources(), listener) == workers
        said = [f"{workers} worker{'s'[: workers != 1]} instead of 16: each needs some 0.4 GB"] if workers < 16 else []
        assert listener.notices == said
    assert count_workers(plan, Resources(workers=5), listener) == 5
    with pytest.raises(InputError, match=r"--workers is -1\nhint: use 1 or more, or 0 to encode in this process"):
        Resources(workers=-1)


MACHINE = (8, 64_000_000)  # cores and bytes of the machine that the containers below are on
NONE_V1 = 2**63 - 4096  # what version 1 of the interface says where there is no limit


def group_v2(limit, used, cached=0):
    files = {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 5\ninactive_file {cached}\n"}
    return {"": files}


def group_v1(limit, used, cached=0):
    files = {"limit_in_bytes": limit, "usage_in_bytes": used, "stat": f"inactive_file 7\ntotal_inactive_file {cached}"}
    return {"memory": {f"memory.{name}": value for name, value in files.items()}}


def quota_v2(quota):
    return {"": {"cpu.max": f"{quota} 100000"}}


def quota_v1(quota):
    return {"cpu": {"cpu.cfs_quota_us": quota.replace("max", "-1"), "cpu.cfs_period_us": "100000"}}


@pytest.fixture
def container(tmp_path, monkeypatch):
    """Return a function that puts this process in a control group: its path, and what is in which folder."""
    monkeypatch.setattr(resources, "_ROOT", tmp_path / "tree")
    monkeypatch.setattr(resources, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MACHINE[0])), raising=False)
    memory = psutil.virtual_memory()._replace(available=MACHINE[1])
    monkeypatch.setattr(resources.psutil, "virtual_memory", lambda: memory)

    def enter(path, *groups):
        lines = f"4:memory:{path}\n3:cpu,cpuacct:{path}\n1:name=systemd:/\n0::{path}\n"
        (tmp_path / "cgroup").write_text(lines, encoding="utf-8")
        for folder, *limits in groups:
            for controller, files in [item for limit in limits for item in limit.items()]:
                place = tmp_path / "tree" / controller / folder
                place.mkdir(parents=True, exist_ok=True)
                for name, value in files.items():
                    (place / name).write_text(f"{value}\n")

    return enter


@pytest.mark.parametrize(("group", "quota"), [(group_v2, quota_v2), (group_v1, quota_v1)], ids=["v2", "v1"])
@pytest.mark.parametrize("folder", ["", "docker/é:1"], ids=["its own root", "below the root"])
def test_a_container_with_less_than_the_machine_is_believed(folder, group, quota, container):
    """Seen from inside, its group is the root of the tree or lies below it."""
    for allowed, cores in (("250000", 2), ("50000", 1), ("max", 8)):
        container("/docker/é:1", (folder, quota(allowed)))
        assert resources.cores() == cores
    for limit, used, left in ((3_000_000, 1_000_000, 2_000_000), (3_000_000, 4_000_000, 0)):
        container("/docker/é:1", (folder, group(limit, used)))
        assert resources.available_memory() == left
    container("/docker/é:1", (folder, group(3_000_000, 2_900_000, cached=2_500_000)))
    assert resources.available_memory() == 2_600_000  # files that were read once give way


@pytest.mark.parametrize(("group", "quota"), [(group_v2, quota_v2), (group_v1, quota_v1)], ids=["v2", "v1"])
def test_the_least_limit_of_all_groups_above_a_process_holds(group, quota, container):
    container(
        "/pod/box",
        ("", group(NONE_V1, 9_000_000)),
        ("pod", group(5_000_000, 4_000_000), quota("300000")),
        ("pod/box", group(3_000_000, 1_000_000), quota("600000")),
        ("pod/neighbour", group(1, 1), quota("100000")),
    )
    assert (resources.cores(), resources.available_memory()) == (3, 1_000_000)


def test_without_limits_the_machines_own_numbers_hold(container, tmp_path, monkeypatch):
    assert not (tmp_path / "cgroup").exists()  # as on macOS
    assert (resources.cores(), resources.available_memory()) == MACHINE
    container("/../outside", ("", group_v1(NONE_V1, 1_000_000), quota_v1("max"), group_v2("max", 5), quota_v2("max")))
    assert (resources.cores(), resources.available_memory()) == MACHINE
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resources.cores() == 1


def occupy_file(root):
    (root / "x.kotovec").write_text("notes")
    return root / "x.kotovec", "is a file\nhint: name another path with --store\n"


def occupy_folder(root):
    (root / "x.kotovec").mkdir()
    (root / "x.kotovec" / "thesis.txt").write_text("notes")
    return root / "x.kotovec", "is not a store: it holds thesis.txt"


def below_a_file(root):
    (root / "file").write_text("notes")
    return root / "file" / "x.kotovec", "is a file\nhint: name another path with --store\n"


def in_proc(_root):
    return "/proc/nowhere/x.kotovec", "proc"


@pytest.mark.parametrize("occupy", [occupy_file, occupy_folder, below_a_file, in_proc])
def test_a_place_that_cannot_be_a_store_is_refused_and_left_as_it_is(
    occupy,
    tiny_models,
    tmp_path,
    monkeypatch,
    capsys,
    employ,
):
    store, said = occupy(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for extra in ([], ["--overwrite"]):
        assert app.run(["build", str(tiny_models["bert"]), "--store", str(store), "--workers", "1", *extra]) == 2
        told = capsys.readouterr().err
        assert said in told
        assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", told)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_place_that_cannot_be_written_is_refused(employ, tiny_models, tmp_path):
    """A mount, as the permissions of a folder do not bind root."""
    place = tmp_path / "place"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here (that takes root): a read-only place is not tried")
    try:
        said = rf"nothing can be written in {place} \(Read-only file system\)\nhint: name another path with --store$"
        with pytest.raises(StoreError, match=said):
            run_build(plan_of(tiny_models["bert"]), place / "new" / "x.kotovec")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_failed_build_leaves_no_folder_that_was_not_there(employ, tiny_models, tmp_path):
    class Failing(Fake):
        def encode(self, number, inputs):
            raise ZeroDivisionError

    employ(Failing)
    with pytest.raises(WorkerError, match="a worker failed: ZeroDivisionError"):
        run_build(plan_of(tiny_models["bert"]), tmp_path / "new" / "place" / "x.kotovec")
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_store_stays_a_link(employ, tiny_models, tmp_path):
    """What it points to, on a larger disk perhaps, is built and swapped."""
    plan, disk = plan_of(tiny_models["bert"]), tmp_path / "disk"
    disk.mkdir()
    store = tmp_path / "x.kotovec"
    store.symlink_to(disk / "real.kotovec", target_is_directory=True)
    (disk / "real.kotovec").mkdir()
    run_build(plan, store)
    before = (disk / "real.kotovec" / "tokens.h5").stat().st_ino
    summary, _ = run_build(plan, store, overwrite=True)
    assert (summary.store, summary.finished_before) == (store, False)
    assert store.is_symlink()
    assert (disk / "real.kotovec" / "tokens.h5").stat().st_ino != before
    assert [path.name for path in disk.iterdir()] == ["real.kotovec"]


def test_files_that_a_file_manager_leaves_do_not_make_a_store_strange(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    store.mkdir()
    (store / ".DS_Store").write_text("")
    summary, _ = run_build(plan, store)
    assert summary.encoded == len(plan.tokens)


@pytest.mark.parametrize("moment", ["old aside", "new in place"])
def test_a_swap_in_two_steps_that_was_cut_short_is_ended(moment, employ, tiny_models, tmp_path):
    """Where names cannot be exchanged (macOS), a kill between two renames must not lose both stores."""
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    rebuild, aside = tmp_path / ".x.kotovec.rebuild", tmp_path / ".x.kotovec.old"
    run_build(plan, store)
    run_build(plan, tmp_path / "new.kotovec")
    new = (tmp_path / "new.kotovec" / "tokens.h5").stat().st_ino
    store.rename(aside)
    (tmp_path / "new.kotovec").rename(rebuild if moment == "old aside" else store)
    summary, _ = run_build(plan, store)
    assert summary.finished_before
    assert (store / "tokens.h5").stat().st_ino == new
    assert [path.name for path in tmp_path.iterdir()] == ["x.kotovec"]


def test_a_swap_that_only_put_the_old_store_aside_is_taken_back(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    run_build(plan, store)
    store.rename(tmp_path / ".x.kotovec.old")
    summary, _ = run_build(plan, store)
    assert summary.finished_before
    assert [path.name for path in tmp_path.iterdir()] == ["x.kotovec"]


def test_verify_names_a_file_of_the_tokenizer_that_was_changed(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    run_build(plan, store)
    assert Store.open(store).verify() == []
    path = store / "tokenizer" / "tokenizer.json"
    text = path.read_text(encoding="utf-8").replace('"truncation": null', '"truncation":  null')
    path.write_text(text, encoding="utf-8")
    assert Store.open(store).verify() == ["tokenizer/tokenizer.json (build it again with --overwrite)"]


@pytest.mark.parametrize("share", [-1.0, 1.5])
def test_a_share_of_a_gpu_that_ray_does_not_know_is_refused(share):
    with pytest.raises(InputError, match="--gpus-per-worker"):
        Resources(workers=1, gpus_per_worker=share)
