"""`vectors.h5`: what is in it, and what becomes of a file that is damaged or no store."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from kotovec.errors import DamagedError, KotovecError, NotStoredError, StoreError, StoreNotFoundError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.hdf5 import write_attributes
from kotovec.store.layout import Layout
from kotovec.store.merge import Shape, merge
from kotovec.store.tokens import Kind
from kotovec.store.vectors import Vectors

import stores

RANDOM = np.random.default_rng(5)
TEXTS = ["[PAD]", "[unused0]", "[UNK]", "王", "##王", "", "king", "man", "woman", "queen", "a\0b"]
LAYERS = (0, 3, 12)
STATIC = RANDOM.standard_normal((11, 5)).astype(np.float32)
ISOLATED = RANDOM.standard_normal((3, 11, 7)).astype(np.float32)
DATASETS = [
    "tokens/id", "tokens/text", "tokens/surface", "tokens/kind", "vectors/static", "vectors/static_norms",
    "vectors/isolated", "vectors/isolated_norms",
]  # fmt: skip
PAGE = Path(__file__).parents[1] / "docs" / "store-format.md"


def make(folder, dtype="float32", **more):
    tokens = stores.make_tokens(TEXTS, ids=[0, 1, 2, 5, 6, 7, 8, 9, 20, 21, 22], special=["[PAD]", "[UNK]"])
    return stores.write_store(folder, tokens, STATIC, ISOLATED, layers=LAYERS, dtype=dtype, **more)


@pytest.fixture(params=["float32", "float16"])
def dtype(request):
    return request.param


@pytest.fixture
def store(tmp_path, dtype):
    return make(tmp_path / "a.kotovec", dtype)


@pytest.fixture
def file(store):
    with h5py.File(store / "vectors.h5", "r") as file:
        yield file


def test_every_group_says_what_it_is(file):
    found = {"/": file.attrs["encoding-type"]}
    file.visititems(
        lambda name, node: found.update({name: node.attrs["encoding-type"]}) if isinstance(node, h5py.Group) else None
    )
    assert found == {"/": b"kotovec-store", "tokens": b"kotovec-tokens", "vectors": b"kotovec-vectors"}
    assert [file[name].attrs["encoding-version"] for name in found] == [b"1"] * 3


def test_nothing_in_the_file_is_of_variable_length_and_all_texts_read_back(store, file):
    """HDF5 keeps that in heaps without checksums, and one flipped bit there can let it read on for ever."""
    raw = (store / "vectors.h5").read_bytes()
    assert not any(heap in raw for heap in (b"GCOL", b"HEAP", b"FRHP"))
    nodes = [file]
    file.visititems(lambda _, node: nodes.append(node))
    for node in nodes:
        for name in node.attrs:
            string = h5py.check_string_dtype(node.attrs.get_id(name).dtype)
            assert string is None or string.length is not None
    assert file["tokens/text"].asstr()[3] == "王"


def test_the_file_holds_these_datasets_and_no_other(file, dtype):
    found = {}
    file.visititems(
        lambda name, node: (
            found.update({name: (node.dtype.kind, node.dtype.itemsize, node.shape)})
            if isinstance(node, h5py.Dataset)
            else None
        )
    )
    assert found == {
        "tokens/id": ("i", 8, (11,)),
        "tokens/text": ("S", len("[unused0]"), (11,)),
        "tokens/surface": ("S", len("[unused0]"), (11,)),
        "tokens/kind": ("u", 1, (11,)),
        "vectors/static": ("f", 4, (11, 5)),
        "vectors/static_norms": ("f", 8, (11,)),
        "vectors/isolated": ("f", np.dtype(dtype).itemsize, (3, 11, 7)),
        "vectors/isolated_norms": ("f", 8, (3, 11)),
    }


def test_the_vectors_are_those_that_were_given(file, dtype):
    assert np.array_equal(file["vectors/static"][:], STATIC)
    assert np.array_equal(file["vectors/isolated"][:], ISOLATED.astype(dtype))
    assert file["vectors/isolated"].attrs["layers"].tolist() == list(LAYERS)


def test_the_tokens_are_those_that_were_given(file):
    assert file["tokens/id"][:].tolist() == [0, 1, 2, 5, 6, 7, 8, 9, 20, 21, 22]
    assert file["tokens/text"].asstr()[:].tolist() == [*TEXTS[:-1], "a␀b"]
    kinds = h5py.check_enum_dtype(file["tokens/kind"].dtype)
    assert kinds == {kind.name.lower(): kind.value for kind in Kind}
    names = {number: name for name, number in kinds.items()}
    assert [names[number] for number in file["tokens/kind"][:]] == [
        "special", "unused", "special", "word", "subword", "empty", "word", "word", "word", "word", "word",
    ]  # fmt: skip
    assert file["tokens"].attrs["marking"] == b"wordpiece"
    assert file["tokens"].attrs["unk_id"] == 2


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_are_plain_bytes_at_an_aligned_place(file, store, name):
    dataset = file[name]
    assert dataset.chunks is None
    assert dataset.compression is None
    assert dataset.id.get_offset() % 64 == 0
    raw = (store / "vectors.h5").read_bytes()[dataset.id.get_offset() :][: dataset.nbytes]
    assert raw == dataset[()].tobytes()


@pytest.mark.parametrize("name", DATASETS)
def test_checksums_are_of_the_bytes(file, name):
    assert file[name].attrs["sha256"].decode() == hashlib.sha256(file[name][()].tobytes()).hexdigest()


def test_norms_are_those_of_the_stored_vectors(file, dtype):
    assert file["vectors/static_norms"][:] == pytest.approx(
        np.sqrt(np.square(STATIC.astype(float)).sum(axis=-1)), rel=1e-14
    )
    stored = ISOLATED.astype(dtype).astype(float)
    assert file["vectors/isolated_norms"][:] == pytest.approx(np.sqrt(np.square(stored).sum(axis=-1)), rel=1e-14)


def test_what_is_mapped_is_what_h5py_reads(store, file, dtype):
    vectors = Vectors(store)
    assert vectors.layers == LAYERS
    for layer in (*LAYERS, -1, -3):
        expected = file["vectors/isolated"][LAYERS.index(layer) if layer >= 0 else layer]
        assert np.array_equal(vectors.array(Space("isolated", layer)), expected)
        assert vectors.array(Space("isolated", layer)).dtype == dtype
        assert np.array_equal(
            vectors.norms(Space("isolated", layer)),
            file["vectors/isolated_norms"][LAYERS.index(layer) if layer >= 0 else layer],
        )
    for array in (vectors.array(Space("static")), vectors.array(Space("isolated", 3)), vectors.norms(Space("static"))):
        assert isinstance(array, np.memmap)
        assert array.flags.aligned
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert np.array_equal(vectors.array(Space("static")), file["vectors/static"][:])


@pytest.mark.parametrize("layer", [1, 13, -4, 2**40])
def test_a_layer_that_is_not_stored_is_refused_with_those_that_are(store, layer):
    with pytest.raises(NotStoredError, match=rf"layer {layer} is not in this store: it holds 0, 3, 12"):
        Vectors(store).array(Space("isolated", layer))


def test_a_space_that_is_not_stored_is_refused(store):
    with pytest.raises(NotStoredError, match="output is not in this store: it holds static, isolated@0"):
        Vectors(store).array(Space("output"))


def test_ten_lines_without_kotovec_read_a_store(tmp_path):
    """The example of docs/store-format.md, as it stands there, where nothing of kotovec can be imported."""
    make(tmp_path / "demo.kotovec")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 10
    guard = "import sys\nsys.modules['kotovec'] = None\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", guard + code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    rows = {text: row for row, text in enumerate(TEXTS)}
    query = STATIC[rows["king"]] - STATIC[rows["man"]] + STATIC[rows["woman"]]
    order = np.argsort(np.square(STATIC - query).sum(axis=1))[:5]
    assert done.stderr == ""
    assert done.stdout == f"{[[*TEXTS[:-1], 'a␀b'][row] for row in order]}\n"


def test_the_page_names_every_dataset_and_kind(file):
    page = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `((?:tokens|vectors)/\w+)` \|", page, flags=re.MULTILINE)) == set(DATASETS)
    kinds = re.search(r"`(\{\"word\".*?\})`", page)[1]
    assert json.loads(kinds) == h5py.check_enum_dtype(file["tokens/kind"].dtype)


def test_several_shards_make_the_same_file_as_one(tmp_path):
    tokens = stores.make_tokens(TEXTS)
    for rows in (1, 4, 11):
        time.sleep(rows // 11)  # into another second: there are no times in the file
        shards = tmp_path / f"shards{rows}"
        bounds = stores.write_shards(shards, tokens, STATIC, ISOLATED, rows=rows)
        merge(tmp_path / f"{rows}.h5", shards, Shape(bounds, LAYERS, "float32"), tokens, stores.FINGERPRINT, {})
    one, four, all_ = ((tmp_path / f"{rows}.h5").read_bytes() for rows in (1, 4, 11))
    assert one == four == all_


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "foreign"])
def test_a_shard_that_is_not_whole_stops_the_merge_and_leaves_no_file(tmp_path, damage):
    tokens = stores.make_tokens(TEXTS)
    bounds = stores.write_shards(tmp_path / "shards", tokens, STATIC, ISOLATED, rows=4)
    path = tmp_path / "shards" / "000001.h5"
    raw = bytearray(path.read_bytes())
    fingerprint = stores.FINGERPRINT
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        place = raw.index(ISOLATED[1, 4:8].tobytes())
        raw[place + 5] ^= 1
        path.write_bytes(raw)
    elif damage == "cut":
        path.write_bytes(raw[:-100])
    else:
        fingerprint = "0" * 64
    with pytest.raises(DamagedError, match="00000[01].h5"):
        merge(tmp_path / "x.h5", tmp_path / "shards", Shape(bounds, LAYERS, "float32"), tokens, fingerprint, {})
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_no_store_at_a_path_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "nothing", tmp_path, tmp_path / "file"):
        with pytest.raises(StoreNotFoundError, match="holds no vectors.h5: not a store, or not built yet"):
            Store.open(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_a_file_that_is_not_hdf5_is_no_store(tmp_path, content):
    (tmp_path / "vectors.h5").write_bytes(content)
    said = "(is not a kotovec store, or is damaged|is empty|is cut short|is damaged).*: build it again with --overwrite"
    with pytest.raises(KotovecError, match=said):
        Store.open(tmp_path)


def test_another_hdf5_file_is_no_store(tmp_path):
    with h5py.File(tmp_path / "vectors.h5", "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(StoreError, match="is an HDF5 file, but not a kotovec store"):
        Store.open(tmp_path)


def test_a_newer_format_is_refused_by_its_number(store):
    with h5py.File(store / "vectors.h5", "r+") as file:
        write_attributes(file, {"encoding-version": "2"})
    with pytest.raises(StoreError, match=r"has format 2, this kotovec reads up to 1: pip install -U kotovec"):
        Store.open(store)


@pytest.mark.parametrize("missing", ["tokens", "tokens/surface", "vectors/isolated", "vectors/static_norms"])
def test_a_store_with_a_part_missing_is_refused(store, missing):
    with h5py.File(store / "vectors.h5", "r+") as file:
        del file[missing]
    with pytest.raises(DamagedError, match=r"is damaged \(.*\): build it again with --overwrite"):
        Store.open(store)


def test_attributes_that_somebody_added_are_in_nobodys_way(store):
    """What h5py writes for a str is of variable length, and is not read."""
    with h5py.File(store / "vectors.h5", "r+") as file:
        file.attrs["note"] = "the good one"
        file.attrs["stars"] = 5
    opened = Store.open(store)
    assert "note" not in opened.vectors.attributes
    assert opened.vectors.attributes["stars"] == 5
    assert opened.verify() == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("王" * 20_000, "王" * 20_000),
        ("王" * 20_001, "王" * 20_000),
        ("x" + "王" * 20_000, "x" + "王" * 19_999),
        ("x" * 10**6, "x" * 60_000),
    ],
)
def test_a_text_longer_than_a_header_holds_is_cut_at_a_character(tmp_path, text, kept):
    folder = make(tmp_path / "a.kotovec", provenance={"command": text, "cpus": ["AVX2", text]})
    attributes = Store.open(folder).vectors.attributes
    assert attributes["command"] == kept
    assert attributes["fingerprint"] == stores.FINGERPRINT


@pytest.mark.parametrize("left", [0.99, 0.5, 0.1])
def test_a_file_that_was_cut_short_is_damaged(store, left):
    path = store / "vectors.h5"
    os.truncate(path, int(path.stat().st_size * left))
    with pytest.raises(DamagedError, match="is cut short"):
        Store.open(store)


@pytest.mark.parametrize("name", DATASETS)
def test_a_flipped_bit_is_found_in_every_dataset_and_named(store, name):
    path = store / "vectors.h5"
    with h5py.File(path, "r") as file:
        place = file[name].id.get_offset() + file[name].nbytes // 2
    assert Store.open(store).verify() == []
    with path.open("r+b") as raw:
        raw.seek(place)
        (byte,) = raw.read(1)
        raw.seek(place)
        raw.write(bytes([byte ^ 1]))
    if name.startswith("tokens/"):
        with pytest.raises(DamagedError, match=f"{name} does not match its checksum"):
            Store.open(store)
    else:
        assert Store.open(store).verify() == [f"vectors.h5: {name} (build it again with --overwrite)"]


def test_an_open_store_goes_on_reading_the_old_one_after_a_swap(tmp_path):
    old, new = Layout(make(tmp_path / "a.kotovec")), Layout(tmp_path / ".a.kotovec.rebuild")
    opened = Store.open(old.folder)
    stores.write_store(new.folder, stores.make_tokens(TEXTS), STATIC + 1, ISOLATED, layers=LAYERS)
    old.swap(new)
    assert not new.folder.exists()
    assert np.array_equal(opened.array("static"), STATIC)
    assert opened.vectors.verify() == []
    assert np.array_equal(Store.open(old.folder).array("static"), STATIC + 1)


def test_a_swap_where_names_cannot_be_exchanged_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("kotovec.store.layout._exchange", lambda first, second: False)
    old, new = Layout(make(tmp_path / "a.kotovec")), Layout(tmp_path / ".a.kotovec.rebuild")
    stores.write_store(new.folder, stores.make_tokens(TEXTS), STATIC + 1, ISOLATED, layers=LAYERS)
    old.swap(new)
    assert [path.name for path in tmp_path.iterdir()] == ["a.kotovec"]
    assert np.array_equal(Store.open(old.folder).array("static"), STATIC + 1)


@pytest.mark.parametrize("name", ["with spaces.kotovec", "日本語の語彙.kotovec", "100%25 #1?.kotovec"])
def test_a_store_may_lie_at_any_path(tmp_path, name):
    folder = tmp_path / name
    make(folder, metrics=["l2"])
    assert [hit.text for hit in Store.open(str(folder)).search("king", k=1).hits] == ["king"]
    assert Store.open(folder).verify() == []


def test_a_store_that_may_only_be_read_is_read_and_left_as_it_is(tmp_path):
    folder = make(tmp_path / "a.kotovec", metrics=["l2"])
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        store = Store.open(folder)
        assert store.search("king", k=1).hits[0].text == "king"
        assert store.verify() == []
        store.info()
        after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
        assert after == before
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_texts_of_provenance_that_hdf5_cannot_hold_do_not_lose_the_build(tmp_path):
    """A path that is not valid UTF-8 arrives in sys.argv with surrogates, at the end of a long build."""
    folder = make(tmp_path / "a.kotovec", provenance={"command": "kotovec build caf\udce9", "model": "a\0b"})
    attributes = Store.open(folder).vectors.attributes
    assert (attributes["command"], attributes["model"]) == ("kotovec build caf?", "a␀b")


def test_a_copied_store_is_the_same_store(store, tmp_path):
    shutil.copytree(store, tmp_path / "copy.kotovec")
    assert Store.open(tmp_path / "copy.kotovec").verify() == []
