"""Adding spaces to a store: only what is missing is encoded, and what is there is read all the while."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from kotovec.cluster import plan as planning
from kotovec.cluster import replica as replicas
from kotovec.cluster.build import Resources, build
from kotovec.errors import SettingsDifferError, WorkerError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.workers.encoder import Encoder

from interrupted import begin, kill_at
from models import make_bert
from rays import (
    SLOW_COMMAND,
    Fake,
    Listener,
    Newer,
    Process,
    datasets,
    expected,
    left_behind,
    plan_of,
    run_build,
    shard_files,
    wait_for,
)

STATIC, FIRST, SECOND, LAST = Space("static"), *(Space("isolated", layer) for layer in range(3))


def files_of(store):
    """Return inode and time of each file of the tokens, the spaces and the tokenizer."""
    paths = [store / "tokens.h5", *(store / "spaces").iterdir(), *(store / "tokenizer").iterdir()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def names_of(store):
    return sorted(path.relative_to(store).as_posix() for path in store.rglob("*"))


def recording(folder, base):
    """Return workers that leave a file for each space that they encoded, in a folder."""
    folder.mkdir()

    class Recording(base):
        def encode(self, number, inputs):
            encoded = super().encode(number, inputs)
            for name in encoded.arrays:
                (folder / name).touch()
            return encoded

    return Recording


@pytest.fixture
def extended(employ, tiny_models, tmp_path):
    """Return a store of layer 0, and the plan of all layers of the same model."""
    store = tmp_path / "x.kotovec"
    run_build(plan_of(tiny_models["bert"], layers="0"), store)
    return store, plan_of(tiny_models["bert"], layers="all")


@pytest.fixture
def whole(employ, tiny_models, tmp_path):
    """Return a store that was built with all layers at once."""
    run_build(plan_of(tiny_models["bert"], layers="all"), tmp_path / "whole.kotovec")
    return tmp_path / "whole.kotovec"


@pytest.mark.parametrize(
    ("kind", "before", "asked", "encoded", "options"),
    [
        ("bert", "last", "all", [FIRST, SECOND], {}),
        ("bert", "0", "1,2", [SECOND, LAST], {"store_dtype": "float16"}),
        ("roberta", "1", "0,1,2", [FIRST, LAST], {}),
    ],
    ids=["lower layers", "layers beside", "around"],
)
def test_only_the_missing_layers_are_encoded_with_the_bytes_of_one_build(
    kind, before, asked, encoded, options, employ, tiny_models, tmp_path
):
    model, store, whole = tiny_models[kind], tmp_path / "x.kotovec", tmp_path / "whole.kotovec"
    employ(Encoder)
    run_build(plan_of(model, layers=before, **options), store)
    kept = files_of(store)
    employ(recording(tmp_path / "seen", Encoder))
    plan = plan_of(model, layers=asked, **options)
    summary, listener = run_build(plan, store)
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == list(map(str, encoded))
    assert (summary.encoded, summary.finished_before, listener.notices) == (len(plan.tokens), False, [])
    assert files_of(store).items() >= kept.items()
    employ(Encoder)
    run_build(plan_of(model, layers="all", **options), whole)
    assert datasets(store) == datasets(whole)
    assert set(names_of(store)) >= set(names_of(whole))
    assert left_behind(store) == []
    assert Store.open(store).verify() == []
    for layers in ("last", "0", "1,2", "all"):  # fewer are there already
        assert run_build(plan_of(model, layers=layers, **options), store)[0].finished_before


def test_a_reader_sees_the_old_spaces_at_every_moment_and_then_the_new_ones(extended, whole):
    store, plan = extended
    before, reader = datasets(store), Store.open(store)

    class Looking(Listener):
        def __call__(self, event):
            super().__call__(event)
            if getattr(event, "name", "") == "index":  # all are merged
                assert datasets(store) == datasets(whole)
            else:
                assert datasets(store) == before
            assert Store.open(store).search("#7", k=1).hits[0].id == 7

    looking = Looking()
    build(plan, store, Resources(workers=2), report=looking)
    phases = [event.name for event in looking if hasattr(event, "name")]
    assert phases == ["start", "load", "encode", "merge", "index"]
    assert reader.vectors.spaces == (STATIC, FIRST)
    assert reader.search("#7", k=1).hits[0].id == 7
    assert Store.open(store).vectors.spaces == (STATIC, FIRST, SECOND, LAST)
    assert datasets(store) == datasets(whole)


def test_what_an_extension_tells_of_itself_is_in_the_new_files_alone(extended):
    store, plan = extended
    old = Store.open(store).vectors
    made = {space: old.made(space) for space in (STATIC, FIRST)}
    run_build(plan, store)
    vectors = Store.open(store).vectors
    assert vectors.spaces == (STATIC, FIRST, SECOND, LAST)
    assert {space: vectors.made(space) for space in (STATIC, FIRST)} == made
    assert vectors.made(LAST)["settings"] == made[FIRST]["settings"]


def test_a_question_goes_to_the_last_layer_once_it_is_there(extended):
    store, plan = extended
    states = expected(plan.tokens.ids, plan.spec)
    np.testing.assert_array_equal(Store.open(store).array("isolated"), states[0])
    run_build(plan, store)
    np.testing.assert_array_equal(Store.open(store).array("isolated"), states[2])
    assert (store / "indexes" / "isolated-2.l2.faiss").is_file()


def altered(model, folder):
    """Return a copy of a model whose tokenizer files differ, and read the same."""
    shutil.copytree(model, folder)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"truncation": null', '"truncation":  null'))
    return folder


def test_an_extension_with_other_settings_is_refused_by_their_names(extended, tiny_models, tmp_path):
    store, _ = extended
    model, before = tiny_models["bert"], datasets(store)
    kept = files_of(store)
    others = [
        (make_bert(tmp_path / "weights", seed=1), {}, "the model's weights differ"),
        (altered(model, tmp_path / "tokenizer"), {}, "the model's tokenizer files differ"),
        (model, {"dtype": "bfloat16"}, "dtype was float32, now bfloat16"),
        (model, {"store_dtype": "float16"}, "store-dtype was float32, now float16"),
        (model, {"token_filter": ("word",)}, "token-filter was word,.*, now word"),
        (model, {"shard_tokens": 32}, "shard-tokens was 64, now 32"),
    ]
    for folder, options, said in others:
        with pytest.raises(SettingsDifferError, match=rf"built with other settings \(.*{said}") as caught:
            run_build(plan_of(folder, layers="all", **options), store)
        assert caught.value.hint == "use --overwrite to build again, or --store to name another path"
    assert (files_of(store), datasets(store), left_behind(store)) == (kept, before, [])


def test_a_new_space_may_have_another_dtype_than_those_that_are_there(extended, tiny_models):
    """Nothing is mixed within a space; what is asked of one that is there must be what it was made with."""
    store, plan = extended
    run_build(plan_of(tiny_models["bert"], layers="1", dtype="bfloat16", store_dtype="float16"), store)
    vectors = Store.open(store).vectors
    assert {space: vectors.made(space)["dtype"] for space in (FIRST, SECOND)} == {FIRST: "float32", SECOND: "bfloat16"}
    assert [str(vectors.array(space).dtype) for space in (STATIC, FIRST, SECOND)] == ["float32", "float32", "float16"]
    with pytest.raises(SettingsDifferError, match="dtype was bfloat16, now float32"):
        run_build(plan, store)


@pytest.mark.parametrize("rows", [200, 100])
def test_more_layers_make_smaller_shards_which_is_no_other_setting_while_batches_stay(
    rows, employ, tiny_models, tmp_path, monkeypatch
):
    """A batch has 192 tokens: shards of 400 and of 200 hold the same ones, shards of 100 do not."""
    model, store = tiny_models["bert"], tmp_path / "x.kotovec"
    monkeypatch.setitem(replicas.SHARD_BYTES, "cpu", rows * 4 * 32 * 4)
    employ(Encoder)
    run_build(plan_of(model, shard_tokens=1024), store)
    plan = plan_of(model, layers="all", shard_tokens=1024)
    assert plan.settings["shard-tokens"] == rows
    if rows < planning.BATCH_TOKENS["cpu"]:
        with pytest.raises(SettingsDifferError, match="shard-tokens was 200, now 100"):
            run_build(plan, store)
        return
    run_build(plan, store)
    run_build(plan, tmp_path / "whole.kotovec")
    assert datasets(store) == datasets(tmp_path / "whole.kotovec")


def test_an_interrupted_extension_goes_on_and_only_with_the_same_settings(extended, whole, tiny_models):
    store, plan = extended
    model, before = tiny_models["bert"], datasets(store)
    begin(plan, store, 3)
    assert datasets(store) == before
    assert Store.open(store).search("#7", k=1).hits[0].id == 7
    for options, said in (
        ({"layers": "0,1"}, "layers was 0,1,2, now 0,1"),
        ({"layers": "1", "dtype": "bfloat16"}, "layers was 0,1,2, now 1; dtype was float32, now bfloat16"),
    ):
        with pytest.raises(SettingsDifferError, match=f"begun with other settings .*{said}"):
            run_build(plan_of(model, **options), store)
    assert len(shard_files(store)) == 3
    summary, listener = run_build(plan, store)
    assert listener.notices == [f"resuming with 3 of {len(plan.shards)} shards from an earlier run"]
    assert summary.encoded == len(plan.tokens) - plan.shards[2].stop
    assert (datasets(store), left_behind(store)) == (datasets(whole), [])


def test_a_build_of_what_is_there_keeps_the_shards_of_an_interrupted_extension(extended, whole, tiny_models):
    store, plan = extended
    begin(plan, store, 3)
    assert run_build(plan_of(tiny_models["bert"], layers="0"), store)[0].finished_before
    assert len(shard_files(store)) == 3
    assert run_build(plan, store)[0].encoded == len(plan.tokens) - plan.shards[2].stop
    assert (datasets(store), left_behind(store)) == (datasets(whole), [])


def test_a_failed_extension_leaves_the_store_as_it_was(extended, employ):
    store, plan = extended
    kept, names = files_of(store), names_of(store)

    class Failing(Fake):
        def encode(self, number, inputs):
            raise ZeroDivisionError

    employ(Failing)
    with pytest.raises(WorkerError, match="a worker failed: ZeroDivisionError"):
        run_build(plan, store)
    assert (files_of(store), names_of(store), left_behind(store)) == (kept, names, [])


def test_an_extension_killed_while_it_merges_or_indexes_loses_nothing(extended, whole, tmp_path):
    store, plan = extended
    before = datasets(store)
    begin(plan, store, len(plan.shards))
    added = {"encoded": 0, "merging": 0, "merging the second": 1, "merged": 2, "indexing": 2}
    for point in added:
        shutil.copytree(store, tmp_path / point / "x.kotovec")
    kill_at(tuple(added), tmp_path, plan)
    for point, count in added.items():
        killed = tmp_path / point / "x.kotovec"
        found = datasets(killed)
        assert found.items() >= before.items()
        assert found.items() <= datasets(whole).items()
        opened = Store.open(killed)
        assert opened.vectors.spaces == (STATIC, FIRST, SECOND, LAST)[: 2 + count]
        assert opened.verify() == []
        assert opened.search("#7", k=1).hits[0].id == 7
        assert left_behind(killed) != []
        summary, _ = run_build(plan, killed)
        assert summary.encoded == 0
        assert datasets(killed) == datasets(whole)
        assert left_behind(killed) == []


def test_an_extension_killed_while_it_encodes_goes_on_and_is_read_meanwhile(employ, tiny_models, tmp_path):
    """SIGKILL to the driver of a command line, in a private Ray of its own."""
    model, store, whole = tiny_models["bert"], tmp_path / "x.kotovec", tmp_path / "whole.kotovec"
    employ(Encoder)
    run_build(plan_of(model), store)
    plan = plan_of(model, layers="all")
    run_build(plan, whole)
    before, kept = datasets(store), files_of(store)
    arguments = ["build", model, "--store", store, "--layers", "all", "--shard-tokens", "64", "--device", "cpu"]
    with Process(*arguments, "--workers", 1, cwd=tmp_path, code=SLOW_COMMAND) as process:
        wait_for(lambda: len(shard_files(store)) >= 2 or process.popen.poll() is not None)
        process.popen.kill()
        assert process.popen.wait() == -signal.SIGKILL
        assert (datasets(store), files_of(store)) == (before, kept)
        assert Store.open(store).search("#7", k=1).hits[0].id == 7
        whole_shards = len(shard_files(store))
        summary, listener = run_build(plan, store)
    assert listener.notices == [f"resuming with {whole_shards} of {len(plan.shards)} shards from an earlier run"]
    assert summary.encoded == len(plan.tokens) - plan.shards[whole_shards - 1].stop
    assert (datasets(store), left_behind(store)) == (datasets(whole), [])
    assert files_of(store).items() >= kept.items()


def test_overwriting_an_interrupted_extension_builds_all_anew(extended, employ, tmp_path):
    """An interrupted one leaves the old spaces, and is taken up."""
    store, plan = extended
    before = datasets(store)
    begin(plan, store, 3)
    employ(Newer)
    begin(plan, store, 2, overwrite=True)
    assert datasets(store) == before
    summary, listener = run_build(plan, store, overwrite=True)
    assert listener.notices == [f"resuming with 2 of {len(plan.shards)} shards from an earlier run"]
    assert summary.encoded == len(plan.tokens) - plan.shards[1].stop
    run_build(plan, tmp_path / "newer.kotovec")
    assert (datasets(store), left_behind(store)) == (datasets(tmp_path / "newer.kotovec"), [])


def test_a_shard_of_an_extension_is_not_one_of_a_whole_build(extended, tiny_models):
    """They hold other spaces: the plan in the folder says which, and so does the fingerprint in each of them."""
    store, plan = extended
    begin(plan, store, 1)
    begun = json.loads(Path(store / "shards" / "plan.json").read_text(encoding="utf-8"))
    assert begun["spaces"] == [str(SECOND), str(LAST)]
    assert plan.only((SECOND, LAST)).fingerprint != plan.fingerprint
