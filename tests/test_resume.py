"""The same command resumes: after SIGKILL, with completed shards as they are, never with other settings."""

import contextlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from kotovec.cli import app
from kotovec.cluster.build import Resources, build
from kotovec.cluster.plan import Plan
from kotovec.errors import SettingsDifferError
from kotovec.store import Store
from kotovec.workers.encoder import Encoder

from interrupted import begin, kill_at
from models import make_bert
from rays import (
    SLOW_COMMAND,
    Fake,
    Newer,
    Process,
    datasets,
    expected,
    left_behind,
    plan_of,
    run_build,
    shard_files,
    static_of,
    wait_for,
)

SEED = 20240518


def test_a_build_killed_at_three_random_moments_ends_with_the_same_bytes(employ, tiny_models, tmp_path):
    """SIGKILL to the driver, in a private Ray of its own; another number of workers each time.

    Each build ends what the Ray of the last one left: its agents would stay for a minute.
    """
    rng = np.random.default_rng(SEED)
    model, store = tiny_models["bert"], tmp_path / "x.kotovec"
    plan = plan_of(model, layers="all", shard_tokens=24)
    arguments = ["build", model, "--store", store, "--layers", "all", "--shard-tokens", "24", "--device", "cpu"]
    moments = np.sort(rng.choice(np.arange(1, len(plan.shards) - 2), 3, replace=False)).tolist()
    with contextlib.ExitStack() as killed:
        last = None
        for workers, moment in zip((2, 1, 2), moments, strict=True):
            process = killed.enter_context(Process(*arguments, "--workers", workers, cwd=tmp_path, code=SLOW_COMMAND))
            wait_for(lambda: len(shard_files(store)) >= moment or process.popen.poll() is not None)  # noqa: B023
            assert process.popen.poll() is None
            wait_for(lambda: False, rng.uniform(0, 0.3), fail=False)
            process.popen.kill()
            process.popen.wait()
            assert last is None or last.left(0) == []
            assert not (store / "spaces").exists()
            last = process
        kept = len(shard_files(store))
        with Process(*arguments, "--workers", 1, "--json", cwd=tmp_path) as process:
            code, out, err = process.finish()
        assert last.left(0) == []
    assert code == 0
    assert f"resuming with {kept} of {len(plan.shards)} shards from an earlier run" in err
    assert json.loads(out)["encoded"] == len(plan.tokens) - plan.shards[kept - 1].stop
    employ(Encoder)
    run_build(plan, tmp_path / "whole.kotovec", 2)
    assert datasets(store) == datasets(tmp_path / "whole.kotovec")
    assert left_behind(store) == []


def test_whole_shards_are_used_as_they_are_and_only_the_rest_is_encoded(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    begin(plan, store, 3)
    before = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in shard_files(store)}
    assert len(before) == 3
    seen = tmp_path / "seen"
    seen.mkdir()

    class Counting(Fake):
        def encode(self, number, inputs):
            (seen / str(number)).touch()
            return super().encode(number, inputs)

    employ(Counting)
    after = {}

    def look(event):
        if getattr(event, "name", "") == "merge":
            after.update({file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in before})

    summary = build(plan, store, Resources(workers=1), report=look)
    assert after == before
    assert sorted(int(path.name) for path in seen.iterdir()) == list(range(3, len(plan.shards)))
    assert summary.encoded == len(plan.tokens) - plan.shards[2].stop
    isolated = expected(plan.tokens.ids, plan.spec)
    opened = Store.open(store)
    np.testing.assert_array_equal(opened.array("static"), static_of(plan))
    np.testing.assert_array_equal(opened.array("isolated", layer=-1), isolated[-1])


@pytest.mark.parametrize("damage", ["byte", "half", "empty"])
def test_a_damaged_shard_is_encoded_again_with_a_word(damage, employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    begin(plan, store, 3)
    file = shard_files(store)[1]
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes({"byte": data, "half": data[: len(data) // 2], "empty": b""}[damage])
    summary, listener = run_build(plan, store)
    assert listener.notices == [
        "encoding 1 damaged shard again",
        f"resuming with 2 of {len(plan.shards)} shards from an earlier run",
    ]
    assert summary.encoded == len(plan.tokens) - plan.shards[0].stop - (plan.shards[2].stop - plan.shards[2].start)
    run_build(plan, tmp_path / "whole.kotovec")
    assert datasets(store) == datasets(tmp_path / "whole.kotovec")


OTHERS = [
    ({"layers": "0,2"}, "layers was 2, now 0,2"),
    ({"dtype": "bfloat16"}, "dtype was float32, now bfloat16"),
    ({"store_dtype": "float16"}, "store-dtype was float32, now float16"),
    ({"token_filter": ("word",)}, "token-filter was word,.*, now word"),
    ({"shard_tokens": 32}, "shard-tokens was 64, now 32"),
]


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "built"])
def test_other_settings_are_refused_by_their_name(finished, employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    if finished:
        run_build(plan, store)
    else:
        begin(plan, store, 2)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file() and path.suffix == ".h5"}
    for options, said in OTHERS[1:] if finished else OTHERS:  # to a store that is built, layers are added
        with pytest.raises(SettingsDifferError, match=f"{'built' if finished else 'begun'} with .*{said}") as caught:
            run_build(plan_of(tiny_models["bert"], **options), store)
        assert caught.value.hint == "use --overwrite to build again, or --store to name another path"
        assert caught.value.exit_code == 2
    other = make_bert(tmp_path / "other", seed=1)
    with pytest.raises(SettingsDifferError, match="the model's weights differ"):
        run_build(plan_of(other), store)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert run_build(plan, store)[0].finished_before == finished


def elsewhere(plan, **settings) -> Plan:
    """Return the plan as another machine or another version of torch would have made it."""
    settings = plan.settings | settings
    return replace(plan, settings=settings, spec=replace(plan.spec, forward=settings["forward"]))


def test_a_finished_store_is_left_alone_whatever_torch_it_was_built_with(employ, tiny_models, tmp_path, capsys):
    model, store = tiny_models["bert"], tmp_path / "x.kotovec"
    run_build(elsewhere(plan_of(model), torch="1.0", forward="old", device="cuda"), store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    arguments = ["build", str(model), "--store", str(store), "--shard-tokens", "64", "--device", "cpu"]
    assert app.run(arguments) == 0
    told = capsys.readouterr()
    assert told.out == f"{store} is complete: nothing to do (--overwrite builds it again)\n"
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_shards_of_another_torch_are_not_gone_on_with(employ, tiny_models, tmp_path):
    plan = plan_of(tiny_models["bert"])
    begin(elsewhere(plan, torch="1.0"), tmp_path / "x.kotovec", 2)
    with pytest.raises(SettingsDifferError, match="torch was 1.0, now"):
        run_build(plan, tmp_path / "x.kotovec")
    summary, _ = run_build(plan, tmp_path / "x.kotovec", overwrite=True)
    assert summary.encoded == len(plan.tokens)


@pytest.fixture
def all_shards(employ, tiny_models, tmp_path):
    """Return a plan and the folder of a build that has every shard, and was interrupted then."""
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "whole.kotovec"
    begin(plan, store, len(plan.shards))
    return plan, store


def test_a_build_killed_while_it_merges_or_indexes_loses_nothing(all_shards, tmp_path):
    plan, shards = all_shards
    points = ("encoded", "copied", "merging", "merging the second", "merged", "indexing")
    for point in points:
        shutil.copytree(shards, tmp_path / point / "x.kotovec")
    kill_at(points, tmp_path, plan)
    run_build(plan, shards)
    for point in points:
        store = tmp_path / point / "x.kotovec"
        assert left_behind(store) != []
        summary, _ = run_build(plan, store)
        assert summary.encoded == 0
        assert datasets(store) == datasets(shards)
        assert sorted(path.name for path in store.rglob("*")) == sorted(path.name for path in shards.rglob("*"))
        assert left_behind(store) == []


def test_an_overwriting_build_killed_at_any_point_leaves_a_whole_store(all_shards, employ, tmp_path):
    """Until the swap it is the old one, then the new; the old one never comes back."""
    plan, shards = all_shards
    old, root = tmp_path / "old.kotovec", tmp_path / "overwrite"
    employ(Newer)
    run_build(plan, old)
    points = ("encoded", "copied", "merging", "merging the second", "merged", "indexing", "indexed", "swapped")
    for point in points:
        shutil.copytree(old, root / point / "x.kotovec")
        shutil.copytree(shards, root / point / ".x.kotovec.rebuild")
    kill_at(points, root, plan)
    employ(Fake)
    run_build(plan, shards)
    assert datasets(old) != datasets(shards)
    for point in points:
        store = root / point / "x.kotovec"
        assert datasets(store) == datasets(shards if point == "swapped" else old)
        assert store.with_name(".x.kotovec.rebuild").exists()
        summary, _ = run_build(plan, store, overwrite=True)
        assert summary.encoded == (len(plan.tokens) if point == "swapped" else 0)
        assert datasets(store) == datasets(shards)
        assert left_behind(store) == []


def test_a_plain_build_deletes_a_store_that_was_swapped_out_and_left(all_shards, employ, tmp_path):
    plan, shards = all_shards
    run_build(plan, shards)
    shutil.copytree(shards, tmp_path / ".whole.kotovec.rebuild")
    assert run_build(plan, shards)[0].finished_before
    assert left_behind(shards) == []
