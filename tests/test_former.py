"""Stores of format 1 open, answer, and are built again on request; see tests/data/README.md."""

import json
import shutil

import h5py
import numpy as np
import pytest

from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import DamagedError, SettingsDifferError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.workers.encoder import Encoder

from commands import call
from models import DATA
from rays import datasets, left_behind, run_build

MODEL = DATA / "format-1" / "model"
SPACES = (Space("static"), Space("isolated", 0), Space("isolated", 2))
DATASETS = [
    *(f"tokens/{name}" for name in ("id", "text", "surface", "kind")),
    *(f"vectors/{name}" for name in ("static", "static_norms", "isolated", "isolated_norms")),
]


def plan_of(layers="0,2", **options):
    """Plan the build that the store was made by, or another one of its model."""
    return make_plan(Request(model=str(MODEL), layers=layers, device="cpu", **options))


def tree(store):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in store.rglob("*") if path.is_file()}


@pytest.fixture
def former(tmp_path):
    """Return a copy of the store that kotovec 0.1.0 wrote."""
    return shutil.copytree(DATA / "format-1" / "store", tmp_path / "x.kotovec")


@pytest.fixture
def today(employ, tmp_path):
    """Return a store of the same model, built by this kotovec."""
    employ(Encoder)
    run_build(plan_of(), tmp_path / "today.kotovec")
    return tmp_path / "today.kotovec"


def test_it_holds_what_a_build_of_today_gives(former, today):
    """Other processors may round the hidden states otherwise; the embedding matrix they do not touch."""
    old, new = Store.open(former), Store.open(today)
    assert (old.vectors.is_former, new.vectors.is_former) == (True, False)
    assert old.vectors.spaces == new.vectors.spaces == SPACES
    for name in ("ids", "kinds"):
        np.testing.assert_array_equal(getattr(old.tokens, name), getattr(new.tokens, name))
    assert (list(old.tokens.texts), list(old.tokens.surfaces)) == (list(new.tokens.texts), list(new.tokens.surfaces))
    assert (old.tokens.marking, old.tokens.unk_id) == (new.tokens.marking, new.tokens.unk_id)
    np.testing.assert_array_equal(old.array("static"), new.array("static"))
    for space in SPACES:
        np.testing.assert_allclose(old.vectors.array(space), new.vectors.array(space), rtol=0, atol=1e-6)
        np.testing.assert_allclose(old.vectors.norms(space), new.vectors.norms(space), rtol=1e-6)
        lengths = np.linalg.norm(old.vectors.array(space).astype(np.float64), axis=1)
        np.testing.assert_allclose(old.vectors.norms(space), lengths, rtol=1e-12)
    # The settings beside it are those of a tokenizer.json that is used as it stands, no longer of its class.
    name = "tokenizer.json"
    assert old.vectors.tokenizer_files()[name] == new.vectors.tokenizer_files()[name]


@pytest.mark.parametrize("space", ["static", "isolated@0", "isolated"])
def test_it_answers_as_a_store_of_today(space, former, today, capsys):
    arguments = ("query", "king - man + 女", "--space", space, "-k", "5", "--json", "--store")
    old, new = (call(capsys, *arguments, store) for store in (former, today))
    assert (old.code, new.code) == (0, 0), old.err + new.err
    hits = [json.loads(done.out)["results"] for done in (old, new)]
    assert [hit["token"] for hit in hits[0]] == [hit["token"] for hit in hits[1]]
    scores = [[hit["score"] for hit in each] for each in hits]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)


def test_the_other_commands_work_on_it(former, capsys):
    for command in (
        ("norms", "王", "king"),
        ("info",),
        ("index", "--space", "isolated@0", "--metric", "cosine"),
        ("map", "--method", "pca", "--space", "isolated"),
        ("verify",),
    ):
        done = call(capsys, *command, "--json", "--store", former)
        assert done.code == 0, done.err
        assert all(json.loads(line) for line in done.out.splitlines())
    assert (former / "indexes" / "isolated-0.cosine.faiss").is_file()
    assert [path.name for path in (former / "maps").iterdir()] != []
    assert call(capsys, "query", "王", "--space", "isolated@0", "--metric", "cosine", "--store", former).code == 0
    assert sorted(path.name for path in former.iterdir()) == ["indexes", "maps", "tokenizer", "vectors.h5"]


def test_info_names_its_layers_and_where_it_came_from(former, capsys):
    done = call(capsys, "info", "--store", former)
    assert done.code == 0
    for words in ("79: 68 word", "0, 2", "float32", "kotovec 0.1.0", "AVX512", "build model --layers 0,2"):
        assert words in done.out
    indexes = json.loads(call(capsys, "info", "--json", "--store", former).out)["indexes"]
    assert [(each["name"], each["usable"]) for each in indexes] == [("isolated-2.l2", True), ("static.l2", True)]


def test_the_command_that_built_it_finds_it_finished(former, employ, capsys):
    kept = tree(former)
    for plan in (plan_of(), plan_of("last"), plan_of("0")):
        assert run_build(plan, former)[0].finished_before
    done = call(capsys, "build", MODEL, "--layers", "0,2", "--store", former)
    assert (done.code, done.out) == (0, f"{former} is complete: nothing to do (--overwrite builds it again)\n")
    assert tree(former) == kept


def test_an_index_that_it_lacks_is_built(former, employ):
    (former / "indexes" / "static.l2.json").unlink()
    (former / "indexes" / "static.l2.faiss").unlink()
    assert not run_build(plan_of(), former)[0].finished_before
    assert (former / "indexes" / "static.l2.faiss").is_file()
    assert run_build(plan_of(), former)[0].finished_before


def test_no_space_is_added_to_it_and_the_error_names_the_cure(former, employ, capsys):
    kept = tree(former)
    for layers, missing in (("1", "isolated@1"), ("all", "isolated@1")):
        with pytest.raises(
            SettingsDifferError, match=rf"format 1, to which {missing} cannot be added\nhint: use --overwrite"
        ):
            run_build(plan_of(layers), former)
    done = call(capsys, "build", MODEL, "--layers", "all", "--store", former)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 2)
    assert done.err.endswith("\nhint: use --overwrite to build again, or --store to name another path\n")
    with pytest.raises(SettingsDifferError, match="dtype was float32, now bfloat16"):
        run_build(plan_of(dtype="bfloat16"), former)
    assert (tree(former), left_behind(former)) == (kept, [])


def test_overwrite_puts_a_store_of_today_in_its_place(former, employ, tmp_path):
    run_build(plan_of("all"), tmp_path / "today.kotovec")
    reader = Store.open(former)
    before = np.array(reader.array("static"))
    summary, _ = run_build(plan_of("all"), former, overwrite=True)
    assert summary.encoded == 79
    assert sorted(path.name for path in former.iterdir()) == ["indexes", "spaces", "tokenizer", "tokens.h5"]
    assert (datasets(former), left_behind(former)) == (datasets(tmp_path / "today.kotovec"), [])
    assert not Store.open(former).vectors.is_former
    np.testing.assert_array_equal(reader.array("static"), before)  # a reader keeps what it opened


def test_what_its_kotovec_left_unfinished_is_refused_by_its_format(former, employ, tmp_path):
    store = tmp_path / "begun.kotovec"
    with h5py.File(former / "vectors.h5") as file:
        settings = json.loads(file.attrs["settings"])
    shutil.copytree(former / "tokenizer", store / "tokenizer")
    (store / "shards").mkdir()
    (store / "shards" / "plan.json").write_text(json.dumps(settings), encoding="utf-8")
    (store / "shards" / "000000.h5").write_bytes(b"of format 1")
    (store / "shards" / "tokenizer.json").write_text('["tokenizer.json", "tokenizer_config.json"]', encoding="utf-8")
    with pytest.raises(
        SettingsDifferError, match="begun with other settings .*format was 1, now 2.*\nhint: use --overwrite"
    ):
        run_build(plan_of(), store)
    assert run_build(plan_of(), store, overwrite=True)[0].encoded == 79
    assert left_behind(store) == []


@pytest.mark.parametrize("name", DATASETS)
def test_a_flipped_bit_is_found(name, former, capsys):
    path = former / "vectors.h5"
    with h5py.File(path) as file:
        place = file[name].id.get_offset() + file[name].nbytes - 1
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    if name.startswith("tokens/"):
        with pytest.raises(DamagedError, match=f"{name} does not match its checksum"):
            Store.open(former)
    else:
        assert Store.open(former).verify() != []
    done = call(capsys, "verify", "--store", former)
    assert done.code == 1
    assert "damage" in done.err or name in done.err
    assert "--overwrite" in done.err


def test_a_table_that_claims_more_tokens_than_any_model_is_not_read(former):
    """Its texts become objects of Python: a sparse file of 45 KB took 10 GB."""
    with h5py.File(former / "vectors.h5", "r+") as file:
        sha256 = file["tokens/text"].attrs["sha256"]
        del file["tokens/text"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # so that the file is sparse
        kind = h5py.h5t.py_create(h5py.string_dtype("utf-8", 1), logical=True)
        h5py.h5d.create(file["tokens"].id, b"text", kind, h5py.h5s.create_simple((50_000_000,)), creation)
        file["tokens/text"].attrs["sha256"] = sha256
    assert (former / "vectors.h5").stat().st_blocks < 1000
    with pytest.raises(DamagedError, match="vectors.h5 claims more tokens than any model has"):
        Store.open(former)
