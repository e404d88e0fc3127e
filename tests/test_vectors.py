"""`tokens.h5` and `spaces/`: what is in them, and what becomes of a file that is damaged or no store."""

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from kotovec.errors import DamagedError, NotStoredError
from kotovec.space import Space
from kotovec.store import Store, prototypes
from kotovec.store import folder as folders
from kotovec.store.layout import Layout
from kotovec.store.merge import merge
from kotovec.store.tokens import Kind
from kotovec.store.vectors import Vectors
from kotovec.store.writer import writing_space

import stores
from layered import DATASETS, ISOLATED, LAYERS, SPACES, STATIC, TEXTS, make_layered, path_of

PAGE = Path(__file__).parents[1] / "docs" / "store-format.md"


@pytest.fixture
def files(store):
    """All files of a store, open, by their stems."""
    with contextlib.ExitStack() as stack:
        yield {stem: stack.enter_context(h5py.File(path_of(store, stem), "r")) for stem in ("tokens", *SPACES)}


def of(files, name):
    """Return a dataset by the name that `DATASETS` has."""
    stem, _, part = name.partition("/")
    return files[stem][part]


def test_every_file_says_what_it_is_and_of_what(store, files):
    assert sorted(path.relative_to(store).as_posix() for path in store.rglob("*.h5")) == sorted(
        ["tokens.h5", *(f"spaces/{stem}.h5" for stem in SPACES)]
    )
    kinds = {stem: file.attrs["encoding-type"] for stem, file in files.items()}
    assert kinds == {"tokens": b"kotovec-tokens"} | dict.fromkeys(SPACES, b"kotovec-space")
    assert {file.attrs["encoding-version"] for file in files.values()} == {b"2"}
    assert {stem: files[stem].attrs["space"].decode() for stem in SPACES} == {
        "static": "static", "isolated-0": "isolated@0", "isolated-3": "isolated@3", "isolated-12": "isolated@12",
    }  # fmt: skip
    (identity,) = {file.attrs["identity"].decode() for file in files.values()}
    parts = [b"\n", *(files["tokens"][name][()].tobytes() for name in ("id", "text"))]
    assert identity == hashlib.sha256(b"".join(parts)).hexdigest()


def test_nothing_in_the_files_is_of_variable_length_and_all_texts_read_back(store, files):
    """HDF5 keeps that in heaps without checksums, and one flipped bit there can let it read on for ever."""
    for stem, file in files.items():
        raw = path_of(store, stem).read_bytes()
        assert not any(heap in raw for heap in (b"GCOL", b"HEAP", b"FRHP"))
        nodes = [file]
        file.visititems(lambda _, node, nodes=nodes: nodes.append(node))
        for node in nodes:
            for name in node.attrs:
                string = h5py.check_string_dtype(node.attrs.get_id(name).dtype)
                assert string is None or string.length is not None
    assert texts_of(files, "text")[3] == "王"


def texts_of(files, name):
    return bytes(files["tokens"][name][1:-1]).decode().split("\0")


def test_the_files_hold_these_datasets_and_no_other(files, dtype):
    found = {
        f"{stem}/{name}": (node.dtype.kind, node.dtype.itemsize, node.shape)
        for stem, file in files.items()
        for name, node in file.items()
    }
    block = 1 + len("".join(TEXTS[:-1]).encode()) + len("a␀b".encode()) + len(TEXTS)
    assert found == {
        "tokens/id": ("i", 8, (11,)),
        "tokens/text": ("u", 1, (block,)),
        "tokens/surface": ("u", 1, (block,)),
        "tokens/kind": ("u", 1, (11,)),
        "static/vectors": ("f", 4, (11, 5)),
        **{f"isolated-{layer}/vectors": ("f", np.dtype(dtype).itemsize, (11, 7)) for layer in LAYERS},
        **{f"{stem}/norms": ("f", 8, (11,)) for stem in SPACES},
    }


def test_the_vectors_are_those_that_were_given(files, dtype):
    assert np.array_equal(files["static"]["vectors"][:], STATIC)
    for layer, vectors in zip(LAYERS, ISOLATED, strict=True):
        assert np.array_equal(files[f"isolated-{layer}"]["vectors"][:], vectors.astype(dtype))


def test_the_tokens_are_those_that_were_given(files):
    file = files["tokens"]
    assert file["id"][:].tolist() == [0, 1, 2, 5, 6, 7, 8, 9, 20, 21, 22]
    assert texts_of(files, "text") == texts_of(files, "surface") == [*TEXTS[:-1], "a␀b"]
    kinds = h5py.check_enum_dtype(file["kind"].dtype)
    assert kinds == {kind.name.lower(): kind.value for kind in Kind}
    names = {number: name for name, number in kinds.items()}
    assert [names[number] for number in file["kind"][:]] == [
        "special", "unused", "special", "word", "subword", "empty", "word", "word", "word", "word", "word",
    ]  # fmt: skip
    assert file.attrs["marking"] == b"wordpiece"
    assert file.attrs["unk_id"] == 2


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_are_plain_bytes_at_an_aligned_place(files, store, name):
    dataset = of(files, name)
    assert dataset.chunks is None
    assert dataset.compression is None
    assert dataset.id.get_offset() % 64 == 0
    raw = path_of(store, name.partition("/")[0]).read_bytes()[dataset.id.get_offset() :][: dataset.nbytes]
    assert raw == dataset[()].tobytes()


@pytest.mark.parametrize("name", DATASETS)
def test_checksums_are_of_the_bytes(files, name):
    dataset = of(files, name)
    assert dataset.attrs["sha256"].decode() == hashlib.sha256(dataset[()].tobytes()).hexdigest()


def test_norms_are_those_of_the_stored_vectors(files, dtype):
    given = {"static": STATIC} | {f"isolated-{layer}": each for layer, each in zip(LAYERS, ISOLATED, strict=True)}
    for stem, vectors in given.items():
        stored = vectors.astype("float32" if stem == "static" else dtype).astype(float)
        assert files[stem]["norms"][:] == pytest.approx(np.sqrt(np.square(stored).sum(axis=-1)), rel=1e-14)


def test_what_is_mapped_is_what_h5py_reads(store, files, dtype):
    vectors = Vectors(store)
    assert vectors.layers == LAYERS
    for layer in (*LAYERS, -1, -3):
        file = files[f"isolated-{layer if layer >= 0 else LAYERS[layer]}"]
        assert np.array_equal(vectors.array(Space("isolated", layer)), file["vectors"][:])
        assert vectors.array(Space("isolated", layer)).dtype == dtype
        assert np.array_equal(vectors.norms(Space("isolated", layer)), file["norms"][:])
    for array in (vectors.array(Space("static")), vectors.array(Space("isolated", 3)), vectors.norms(Space("static"))):
        assert isinstance(array, np.memmap)
        assert array.flags.aligned
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert np.array_equal(vectors.array(Space("static")), files["static"]["vectors"][:])


@pytest.mark.parametrize("layer", [1, 13, -4, 2**40])
def test_a_layer_that_is_not_stored_is_refused_with_those_that_are(store, layer):
    with pytest.raises(NotStoredError, match=rf"layer {layer} is not in this store: it holds 0, 3, 12"):
        Vectors(store).array(Space("isolated", layer))


def test_a_space_that_is_not_stored_is_refused(store):
    with pytest.raises(NotStoredError, match="output is not in this store: it holds static, isolated@0"):
        Vectors(store).array(Space("output"))


def test_ten_lines_without_kotovec_read_a_store(tmp_path):
    """The example of docs/store-format.md, as it stands there, where nothing of kotovec can be imported."""
    make_layered(tmp_path / "demo.kotovec")
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


def test_the_page_names_every_dataset_and_kind(files):
    page = PAGE.read_text(encoding="utf-8")
    tables, spaces, divided = re.split(r"^###? ", page, flags=re.MULTILINE)[2:5]
    assert tables.startswith("`tokens.h5`")
    assert spaces.startswith("`spaces/`")
    assert divided.startswith("Prototypes")
    for section, expected in ((tables, files["tokens"]), (spaces, files["static"]), (divided, prototypes.NAMES)):
        named = re.findall(r"^\| `(\w+)` \| (?:int|float|uint|enum)", section, flags=re.MULTILINE)
        assert sorted(set(named) - {"energy"}) == sorted(expected)  # of means over contexts alone
    kinds = re.search(r"`(\{\"word\".*?\})`", page)[1]
    assert json.loads(kinds) == h5py.check_enum_dtype(files["tokens"]["kind"].dtype)


def merged(folder, shards, bounds, fingerprint=stores.FINGERPRINT):
    """Merge shards into the files of a folder's spaces."""
    folder.mkdir()
    for space in (Space("static"), *(Space("isolated", layer) for layer in LAYERS)):
        merge(Layout(folder), space, shards, bounds, fingerprint, "1" * 64, {"dtype": "float32"})


def test_several_shards_make_the_same_files_as_one(tmp_path):
    tokens = stores.make_tokens(TEXTS)
    written = []
    for rows in (1, 4, 11):
        time.sleep(rows // 11)  # into another second: there are no times in the file
        shards = tmp_path / f"shards{rows}"
        bounds = stores.write_shards(shards, tokens, STATIC, ISOLATED, layers=LAYERS, rows=rows)
        merged(tmp_path / f"{rows}", shards, bounds)
        written.append([path_of(tmp_path / f"{rows}", stem).read_bytes() for stem in SPACES])
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "foreign"])
def test_a_shard_that_is_not_whole_stops_the_merge_and_leaves_no_file(tmp_path, damage):
    tokens = stores.make_tokens(TEXTS)
    bounds = stores.write_shards(tmp_path / "shards", tokens, STATIC, ISOLATED, layers=LAYERS, rows=4)
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
        merged(tmp_path / "x", tmp_path / "shards", bounds, fingerprint)
    # The damage is in a layer: what was merged before it is whole.
    left = {"flipped": [f"{stem}.h5" for stem in ("isolated-0", "static")]}.get(damage, [])
    assert sorted(path.name for path in (tmp_path / "x").rglob("*") if path.is_file()) == left


@pytest.mark.parametrize("rows", [0, 10, 12])
def test_a_space_of_fewer_or_more_vectors_than_tokens_is_not_written(tmp_path, rows):
    def write():
        with writing_space(Layout(tmp_path), Space("static"), (11, 5), "float32", "1" * 64, {}) as writer:
            for row in range(rows):
                writer.add(STATIC[row % 11 :][:1])

    with pytest.raises((ValueError, TypeError)):
        write()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_attributes_that_somebody_added_are_in_nobodys_way(store):
    """What h5py writes for a str is of variable length, and is not read."""
    with h5py.File(store / "tokens.h5", "r+") as file:
        file.attrs["note"] = "the good one"
        file.attrs["stars"] = 5
    with h5py.File(path_of(store, "static"), "r+") as file:
        file.attrs["note"] = "of the space"
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
    folder = make_layered(tmp_path / "a.kotovec", provenance={"command": text, "several": ["AVX2", text]})
    attributes = Store.open(folder).vectors.attributes
    assert attributes["command"] == kept
    assert attributes["several"] == ["AVX2", kept]
    assert attributes["marking"] == "wordpiece"


def test_an_open_store_goes_on_reading_the_old_one_after_a_swap(tmp_path):
    old, new = Layout(make_layered(tmp_path / "a.kotovec")), Layout(tmp_path / ".a.kotovec.rebuild")
    opened = Store.open(old.folder)
    stores.write_store(new.folder, stores.make_tokens(TEXTS), STATIC + 1, ISOLATED, layers=LAYERS)
    folders.swap(old, new)
    assert not new.folder.exists()
    assert np.array_equal(opened.array("static"), STATIC)
    assert opened.vectors.verify() == []
    assert np.array_equal(Store.open(old.folder).array("static"), STATIC + 1)


def test_a_swap_where_names_cannot_be_exchanged_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("kotovec.store.folder._exchange", lambda first, second: False)
    old, new = Layout(make_layered(tmp_path / "a.kotovec")), Layout(tmp_path / ".a.kotovec.rebuild")
    stores.write_store(new.folder, stores.make_tokens(TEXTS), STATIC + 1, ISOLATED, layers=LAYERS)
    folders.swap(old, new)
    assert [path.name for path in tmp_path.iterdir()] == ["a.kotovec"]
    assert np.array_equal(Store.open(old.folder).array("static"), STATIC + 1)


@pytest.mark.parametrize("name", ["with spaces.kotovec", "日本語の語彙.kotovec", "100%25 #1?.kotovec"])
def test_a_store_may_lie_at_any_path(tmp_path, name):
    folder = tmp_path / name
    make_layered(folder, metrics=["l2"])
    assert [hit.text for hit in Store.open(str(folder)).search("king", k=1).hits] == ["king"]
    assert Store.open(folder).verify() == []


def test_a_store_that_may_only_be_read_is_read_and_left_as_it_is(tmp_path):
    folder = make_layered(tmp_path / "a.kotovec", metrics=["l2"])
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
    folder = make_layered(tmp_path / "a.kotovec", provenance={"command": "kotovec build caf\udce9", "model": "a\0b"})
    attributes = Store.open(folder).vectors.attributes
    assert (attributes["command"], attributes["model"]) == ("kotovec build caf?", "a␀b")


def test_a_copied_store_is_the_same_store(store, tmp_path):
    shutil.copytree(store, tmp_path / "copy.kotovec")
    assert Store.open(tmp_path / "copy.kotovec").verify() == []
