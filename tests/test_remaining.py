"""A dry run says what a build would do with what the store holds already, and refuses what the build would refuse."""

import json
import os
from pathlib import Path

import pytest

from kotovec.cluster.remaining import outlook
from kotovec.errors import SettingsDifferError, StoreBusyError, StoreError
from kotovec.space import Space
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

from commands import call
from interrupted import begin
from rays import plan_of, run_build


def looked_up(plan, store, *, overwrite=False):
    """Return what a dry run says, having changed nothing."""
    before = {path: os.stat(path).st_mtime_ns for path in (store.parent, *store.parent.rglob("*"))}
    found = outlook(plan, store, overwrite=overwrite)
    after = {path: os.stat(path).st_mtime_ns for path in (store.parent, *store.parent.rglob("*"))}
    assert before.keys() == after.keys()
    return found


@pytest.fixture
def complete(employ, tiny_models, tmp_path):
    """Return the path of a store of the last layer, and its plan."""
    plan = plan_of(tiny_models["bert"])
    run_build(plan, tmp_path / "x.kotovec")
    return tmp_path / "x.kotovec", plan


def test_where_nothing_is_everything_is_new(tiny_models, tmp_path):
    plan = plan_of(tiny_models["bert"])
    found = looked_up(plan, tmp_path / "x.kotovec")
    assert (found.state, found.spaces, found.encoded, str(found)) == ("new", plan.spaces, 0, "new")


def test_a_complete_store_has_nothing_left(complete):
    store, plan = complete
    found = looked_up(plan, store)
    assert (found.state, found.spaces, found.shards) == ("complete", (), 0)
    assert str(found) == "complete: nothing to do, --overwrite builds it again"
    again = looked_up(plan, store, overwrite=True)
    assert (again.state, again.spaces, str(again)) == ("again", plan.spaces, "built again beside the complete one")


def test_missing_spaces_and_indexes_are_named(complete, tiny_models):
    store, plan = complete
    found = looked_up(plan_of(tiny_models["bert"], layers="all"), store)
    assert (found.state, found.spaces) == ("incomplete", (Space("isolated", 0), Space("isolated", 1)))
    assert str(found) == "lacks 2 spaces: isolated, layers 0, 1"
    (store / "indexes" / "static.l2.faiss").unlink()
    found = looked_up(plan, store)
    assert (found.state, found.indexes, str(found)) == ("incomplete", 1, "lacks 1 index")


def test_an_interrupted_build_resumes_with_its_shards(employ, tiny_models, tmp_path):
    store, plan = tmp_path / "x.kotovec", plan_of(tiny_models["bert"])
    begin(plan, store, 3)
    found = looked_up(plan, store)
    assert (found.state, found.shards, found.encoded) == ("interrupted", len(plan.shards), 3)
    assert str(found) == f"interrupted: resumes with 3 of {len(plan.shards)} shards"
    summary, _ = run_build(plan, store)
    assert summary.encoded == len(plan.tokens) - plan.shards[2].stop  # as was said


def test_an_interrupted_extension_and_an_interrupted_replacement_resume(complete, employ, tiny_models):
    store, plan = complete
    more = plan_of(tiny_models["bert"], layers="all")
    begin(more, store, 2)
    found = looked_up(more, store)
    assert (found.state, found.encoded, found.spaces) == (
        "interrupted",
        2,
        (Space("isolated", 0), Space("isolated", 1)),
    )
    begin(plan, store, 1, overwrite=True)
    assert str(looked_up(plan, store, overwrite=True)) == (
        f"built again beside the complete one, resumes with 1 of {len(plan.shards)} shards"
    )


def test_another_model_and_other_settings_are_refused_as_by_the_build(complete, employ, tiny_models, tmp_path):
    store, _ = complete
    for other in (plan_of(tiny_models["bert-more-rows"]), plan_of(tiny_models["bert"], store_dtype="float16")):
        with pytest.raises(SettingsDifferError) as said:
            looked_up(other, store)
        with pytest.raises(SettingsDifferError) as built:
            run_build(other, store)
        assert (str(said.value), said.value.hint) == (str(built.value), built.value.hint)
    begun = tmp_path / "begun.kotovec"
    begin(plan_of(tiny_models["bert"]), begun, 1)
    with pytest.raises(SettingsDifferError, match="was begun with other settings"):
        looked_up(plan_of(tiny_models["bert"], layers="all"), begun)


def test_a_store_that_is_being_built_is_busy(complete):
    store, plan = complete
    with locked(Layout(store)), pytest.raises(StoreBusyError):
        outlook(plan, store, overwrite=False)


def test_a_folder_that_cannot_be_written_is_refused_by_a_dry_run(tiny_models):
    if not os.path.isdir("/proc/self"):
        pytest.skip("there is no /proc here")
    with pytest.raises(StoreError, match=r"nothing can be written in /proc "):
        outlook(plan_of(tiny_models["bert"]), Path("/proc/x.kotovec"), overwrite=False)


def test_the_command_prints_it_for_people_and_programs(complete, tiny_models, capsys):
    store, _ = complete
    command = ["build", tiny_models["bert"], "--store", store, "--shard-tokens", 64, "--device", "cpu", "--dry-run"]
    data = json.loads(call(capsys, *command, "--layers", "all", "--json").out)
    assert (data["state"], data["missing_spaces"]) == ("incomplete", ["isolated@0", "isolated@1"])
    assert data["missing_shards"] == data["shards"]
    lines = dict(line.strip().split(maxsplit=1) for line in call(capsys, *command).out.splitlines())
    assert lines["store"] == f"{store}  (complete: nothing to do, --overwrite builds it again)"
    assert lines["template"] == "[CLS] token [SEP]"
    assert lines["spaces"] == "static; isolated, layer 2"
    refused = call(capsys, *command, "--dtype", "bfloat16")
    assert refused.code == 2
    assert "was built with other settings (dtype was float32, now bfloat16)" in refused.err
