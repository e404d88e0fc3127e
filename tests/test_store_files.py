"""What becomes of the files of a store that are damaged, of other tokens, or none of kotovec's."""

import hashlib
import os
import shutil

import h5py
import numpy as np
import pytest

from kotovec.errors import DamagedError, KotovecError, StoreError, StoreNotFoundError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store import folder as folders
from kotovec.store.hdf5 import write_attributes
from kotovec.store.layout import Layout
from kotovec.store.vectors import Vectors
from kotovec.store.writer import write_space

import stores
from layered import DATASETS, ISOLATED, LAYERS, STATIC, TEXTS, make_layered, path_of


def test_no_store_at_a_path_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    for name, problem in (
        ("nothing", "there is no folder "),
        ("", "is not a store: it holds no tokens.h5"),
        ("file", "is a file, and a store is a folder"),
    ):
        with pytest.raises(StoreNotFoundError, match=problem):
            Store.open(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_a_file_that_is_not_hdf5_is_no_store(tmp_path, content):
    (tmp_path / "tokens.h5").write_bytes(content)
    what = "(is not a kotovec store, or is damaged|is empty|is cut short|is damaged)"
    said = rf"{what}.*\nhint: build it again with --overwrite$"
    with pytest.raises(KotovecError, match=said):
        Store.open(tmp_path)


def test_another_hdf5_file_is_no_store(tmp_path):
    with h5py.File(tmp_path / "tokens.h5", "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(StoreError, match="is an HDF5 file, but not a kotovec store"):
        Store.open(tmp_path)


@pytest.mark.parametrize("stem", ["tokens", "static"])
def test_a_newer_format_is_refused_by_its_number(store, stem):
    with h5py.File(path_of(store, stem), "r+") as file:
        write_attributes(file, {"encoding-version": "3"})
    with pytest.raises(
        StoreError, match=r"has format 3, this kotovec reads up to 2\nhint: upgrade kotovec: pip install -U kotovec$"
    ):
        Store.open(store).array("static")


@pytest.mark.parametrize("missing", ["tokens/text", "tokens/surface", "static/vectors", "static/norms"])
def test_a_store_with_a_part_missing_is_refused(store, missing):
    stem, _, name = missing.partition("/")
    with h5py.File(path_of(store, stem), "r+") as file:
        del file[name]
    with pytest.raises(DamagedError, match=r"is damaged \(.*\)\nhint: build it again with --overwrite$"):
        Store.open(store).array("static")


@pytest.mark.parametrize("name", ["text", "surface", "kind", "id"])
def test_tables_of_different_lengths_are_refused(store, name):
    with h5py.File(path_of(store, "tokens"), "r+") as file:
        shorter = file[name][:-1] if name in ("id", "kind") else file[name][:-4]  # `a␀b` loses a part of its end
        kind = file[name].dtype
        del file[name]
        shorter = shorter if name in ("id", "kind") else shorter[: bytes(shorter).rindex(b"\0") + 1]
        write_attributes(
            file.create_dataset(name, data=shorter, dtype=kind),
            {"sha256": hashlib.sha256(shorter.tobytes()).hexdigest()},
        )
    with pytest.raises(DamagedError, match="tables of different lengths"):
        Store.open(store)


def test_the_space_of_another_table_of_tokens_is_refused_and_told_by_verify(store, tmp_path, dtype):
    """Of the same shape, and whole: only the identity that it names tells that its rows are of other tokens."""
    other = tmp_path / "other.kotovec"
    stores.write_store(other, stores.make_tokens(TEXTS[::-1]), STATIC, ISOLATED, layers=LAYERS, dtype=dtype)
    shutil.copy(path_of(other, "isolated-3"), path_of(store, "isolated-3"))
    opened = Store.open(store)
    assert np.array_equal(opened.array("static"), STATIC)
    with pytest.raises(
        DamagedError, match=r"isolated-3\.h5 is of other tokens or of another space\nhint: build it again"
    ):
        opened.array("isolated@3")
    assert opened.verify() == ["spaces/isolated-3.h5 (build it again with --overwrite)"]


def test_a_space_under_another_ones_name_is_refused(store):
    shutil.copy(path_of(store, "isolated-3"), path_of(store, "isolated-12"))
    with pytest.raises(DamagedError, match=r"isolated-12\.h5 is of other tokens or of another space"):
        Store.open(store).array("isolated")


def test_the_same_tokens_of_another_model_are_another_table(tmp_path):
    identities = set()
    for weights in ("1", "2"):
        make_layered(tmp_path / weights, provenance={"weights_sha256": weights * 64})
        identities.add(Vectors(tmp_path / weights).attributes["identity"])
    assert len(identities) == 2


@pytest.mark.parametrize(("shape", "dtype"), [((10, 5), "float32"), ((11,), "float32"), ((11, 5), "int32")])
def test_a_space_of_another_shape_or_type_than_its_tokens_have_is_refused(tmp_path, shape, dtype):
    store = make_layered(tmp_path / "a.kotovec")
    with h5py.File(path_of(store, "static"), "r+") as file:
        attributes = dict(file["vectors"].attrs)
        del file["vectors"]
        file.create_dataset("vectors", data=np.ones(shape, dtype=dtype)).attrs.update(attributes)
    with pytest.raises(DamagedError, match="another type or shape than the tokens have"):
        Store.open(store).array("static")


def test_a_file_among_the_spaces_that_is_named_like_none_is_refused(store):
    (store / "spaces" / "notes on it.h5").write_bytes(b"x")
    with pytest.raises(
        StoreError, match=r"notes on it\.h5 is not a space of a kotovec store\nhint: move it elsewhere$"
    ):
        Store.open(store)


@pytest.mark.parametrize("spaces", ["none", "empty"])
def test_a_store_that_has_tokens_and_no_space_yet_is_not_finished(store, spaces):
    shutil.rmtree(store / "spaces")
    if spaces == "empty":
        (store / "spaces").mkdir()
    assert not Layout(store).is_store
    with pytest.raises(
        StoreNotFoundError, match=r"is not finished\nhint: run its `kotovec build` command again; it resumes$"
    ):
        Store.open(store)


def test_a_space_that_is_added_later_leaves_the_others_as_they_are(store):
    before = {path: path.read_bytes() for path in store.rglob("*.h5")}
    opened = Store.open(store)
    write_space(Layout(store), Space("isolated", 5), ISOLATED[0] + 1, opened.vectors.attributes["identity"], {"by": 1})
    assert {path: path.read_bytes() for path in before} == before
    assert opened.layers == LAYERS  # what is open stays as it was
    again = Store.open(store)
    assert again.layers == (0, 3, 5, 12)
    assert np.array_equal(again.array("isolated@5"), ISOLATED[0] + 1)
    assert again.vectors.made(Space("isolated", 5)) == {"by": 1}


@pytest.mark.parametrize("stem", ["tokens", "static"])
@pytest.mark.parametrize("left", [0.99, 0.5, 0.1])
def test_a_file_that_was_cut_short_is_damaged(store, left, stem):
    path = path_of(store, stem)
    os.truncate(path, int(path.stat().st_size * left))
    with pytest.raises(DamagedError, match=rf"{stem}\.h5 is cut short"):
        Store.open(store).array("static")


@pytest.mark.parametrize("name", DATASETS)
def test_a_flipped_bit_is_found_in_every_dataset_and_named(store, name):
    stem, _, part = name.partition("/")
    path = path_of(store, stem)
    with h5py.File(path, "r") as file:
        place = file[part].id.get_offset() + file[part].nbytes // 2
    assert Store.open(store).verify() == []
    flip(path, place)
    if stem == "tokens":
        with pytest.raises(DamagedError, match=rf"tokens\.h5: {part} does not match its checksum"):
            Store.open(store)
    else:
        assert Store.open(store).verify() == [f"spaces/{stem}.h5: {part} (build it again with --overwrite)"]


def flip(path, place):
    """Flip the lowest bit of a byte."""
    with path.open("r+b") as raw:
        raw.seek(place)
        (byte,) = raw.read(1)
        raw.seek(place)
        raw.write(bytes([byte ^ 1]))


def test_verify_names_a_space_whose_header_is_damaged_with_its_index_and_all_else_that_is(tmp_path):
    store = make_layered(tmp_path / "a.kotovec", metrics=["l2"])
    path = path_of(store, "static")
    flip(path, path.read_bytes().index(b"identity"))
    flip(store / "indexes" / "isolated-12.l2.faiss", 100)
    assert Store.open(store).verify() == [
        "spaces/static.h5 (build it again with --overwrite)",
        "indexes/isolated-12.l2.faiss (kotovec index --space isolated@12 --metric l2 builds it again)",
        "indexes/static.l2.faiss (of other vectors; kotovec index --space static --metric l2 builds it again)",
    ]


def test_a_damaged_plan_is_one_line_and_a_fresh_start(tmp_path):
    layout = Layout(tmp_path / "x.kotovec")
    for content in ("", "[]", "3", "[" * 10**5, '{"model": '):
        folders.begin(layout, {})
        layout.plan.write_text(content)
        with pytest.raises(OSError, match=rf"plan.json is damaged\nhint: delete {layout.shards} to start again$"):
            folders.read_plan(layout)
