"""Damage of every kind to every file of a store: what is found when, and the cure that is named does cure it."""

import json
import re
import shlex
import shutil

import h5py
import numpy as np
import pytest

from kotovec.cli.app import run
from kotovec.errors import DamagedError, StoreError
from kotovec.space import Space
from kotovec.store import Store, index
from kotovec.store.checksum import of_file
from kotovec.store.nearest import Metric

import stores
from commands import PROVENANCE, call, make_store
from mutants import FILES, INPUTS, Readers, make_stores, tally
from rays import datasets, left_behind, plan_of, run_build

# Of the bytes that are not vectors, a bit of every third is flipped, or with FUZZ_INPUTS=10000 of each.
STEP = 1 if INPUTS >= 10_000 else 3
# What is read by memory map, and checked only when a store is verified.
BULK = {
    "tokens": (),
    "static": ("vectors", "norms"),
    "isolated": ("vectors", "norms"),
    "shard": ("static", "isolated-0", "isolated-2"),
}


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    source, work = (tmp_path_factory.mktemp(name) for name in ("source", "work"))
    make_stores(source)
    return Readers(source, work)


def contents(path):
    """Everything in an HDF5 file: names, types, places, bytes and attributes."""
    found = {}

    def visit(name, node):
        marks = {key: (node.attrs[key].dtype.str, node.attrs[key].tobytes()) for key in node.attrs}
        data = None
        if isinstance(node, h5py.Dataset):
            data = (str(node.dtype), node.shape, node.id.get_offset(), node[()].tobytes())
        found[name] = (data, marks)

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


@pytest.mark.parametrize("kind", BULK)
def test_one_flipped_bit_is_noticed_anywhere_but_where_nothing_lies(readers, tmp_path, kind):
    """In superblock, headers, attributes, tokens and vectors; only in gaps does no bit matter."""
    path = readers.source / "store" / FILES[kind]
    with h5py.File(path) as file:
        bulk = [file[dataset] for dataset in BULK[kind]]
        starts = [(dataset.id.get_offset(), dataset.nbytes) for dataset in bulk]
    vectors = {place for start, size in starts for place in range(start, start + size)}
    bits = np.random.default_rng(3).integers(8, size=path.stat().st_size)
    flips = {
        place: f"{place}^{bit}" for place, bit in enumerate(bits) if place % (16 if place in vectors else STEP) == 0
    }
    outcomes = readers.read((kind, flip) for flip in flips.values())
    counts, improper = tally(outcomes)
    assert improper == []
    assert counts.total() == len(flips)
    gaps = [place for place, flip in flips.items() if outcomes[kind, flip] == "whole"]
    assert 0 < len(gaps) < len(flips) / 3
    raw = bytearray(path.read_bytes())
    for place in gaps:
        raw[place] ^= 0xFF
    (tmp_path / "gaps.h5").write_bytes(raw)
    assert contents(tmp_path / "gaps.h5") == contents(path)
    if kind != "shard":
        # All else is noticed already when the store is opened, or the space is first used.
        assert {place for place, flip in flips.items() if outcomes[kind, flip] == "found"} == vectors & set(flips)


@pytest.mark.parametrize("kind", BULK)
def test_a_file_cut_anywhere_is_refused(readers, kind):
    size = (readers.source / "store" / FILES[kind]).stat().st_size
    lengths = [*range(0, size, 11), size - 1]
    assert tally(readers.read((kind, f":{length}") for length in lengths)) == ({"refused": len(lengths)}, [])


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "words.kotovec")


def flip(path, place):
    """Flip the lowest bit of a byte; from the end where the place is negative."""
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


def offset(path, dataset):
    with h5py.File(path) as file:
        return file[dataset].id.get_offset()


@pytest.mark.parametrize("verify", ["--verify", None, "KOTOVEC_VERIFY"])
def test_query_recomputes_every_checksum_when_asked_to(capsys, monkeypatch, store, verify):
    space = store / "spaces" / "isolated-2.h5"
    flip(space, offset(space, "vectors") + 9)  # not in what is asked for
    flip(store / "indexes" / "isolated-2.l2.faiss", -1)
    if verify == "KOTOVEC_VERIFY":
        monkeypatch.setenv(verify, "1")
    answer = call(capsys, "query", "king", "--store", store, *(["--verify"] if verify == "--verify" else []))
    if verify is None:
        assert (answer.code, answer.err) == (0, "")
        return
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"error: {store} is damaged: spaces/isolated-2.h5: vectors; "
        "indexes/isolated-2.l2.faiss (kotovec index --space isolated@2 --metric l2 builds it again)\n"
        f"hint: build it again with --overwrite and --store {store}; it was built by `{PROVENANCE['command']}`\n"
    )
    with pytest.raises(DamagedError) as caught:
        Store.open(store, verify=True)
    assert answer.err == f"error: {caught.value}\nhint: {caught.value.hint}\n"


def test_query_verify_answers_from_a_whole_store(capsys, store):
    answers = [call(capsys, "query", "king - man + woman", "--store", store, *more) for more in ([], ["--verify"])]
    assert answers[0] == answers[1]
    assert answers[1].code == 0


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "other", "folder"])
@pytest.mark.parametrize(
    "options",
    [
        "--space static --metric l2",
        "--space isolated@2 --metric cosine",
        "--space static --metric ip --factory HNSW8",
        "--space static --metric cosine --factory IVF2,Flat --parameters nprobe=2",
    ],
)
def test_the_command_that_is_named_mends_the_index(capsys, store, options, damage):
    index_of = ["index", "--store", str(store), "--quiet", *options.split()]
    assert run(index_of) == 0
    number = "isolated" in options
    path = (
        store / "indexes" / f"{options.split()[1].replace('@', '-')}.{re.search('metric (.*?)( |$)', options)[1]}.faiss"
    )
    whole = path.read_bytes()
    if damage == "bit":
        flip(path, -5)
    elif damage == "other":
        shutil.copy(store / "indexes" / f"{'static' if number else 'isolated-2'}.l2.faiss", path)
    else:
        path.unlink()
        path.mkdir() if damage == "folder" else path.write_bytes(whole[:-9] if damage == "cut" else b"")
    answer = call(capsys, "verify", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    (cure,) = re.findall(r"\((kotovec index .*) builds it again\)", answer.err)
    assert sorted(shlex.split(cure)[2:]) == sorted(options.split())
    if damage not in ("bit", "other"):
        asked = call(capsys, "query", "king", "--store", store, *options.split(" --factory")[0].split())
        assert (asked.code, asked.out) == (1, "")
        assert f"{path} is damaged\nhint: build it again: {cure}\n" in asked.err
    if damage == "folder":
        path.rmdir()
    assert run([*shlex.split(cure)[1:], "--store", str(store), "--quiet"]) == 0
    assert call(capsys, "verify", "--store", store).code == 0


def row_index(folder, vectors):
    """Write a store of 200 random tokens and its index."""
    return stores.write_store(folder, stores.numbered(200), vectors, metrics=["l2"])


@pytest.mark.parametrize("taken", ["index", "record", "both", "neither"])
def test_an_index_of_another_store_is_never_searched(tmp_path, taken):
    """Of the same shape: its rows are other tokens. Without an index, every vector is searched."""
    rng = np.random.default_rng(8)
    mine, other = (rng.standard_normal((200, 6)).astype(np.float32) for _ in range(2))
    store = row_index(tmp_path / "mine.kotovec", mine)
    foreign = row_index(tmp_path / "other.kotovec", other)
    indexes = store / "indexes"
    if taken == "neither":
        shutil.rmtree(indexes)
    if taken in ("index", "both"):
        shutil.copy(foreign / "indexes" / "static.l2.faiss", indexes)
    if taken in ("record", "both"):
        shutil.copy(foreign / "indexes" / "static.l2.json", indexes)
    opened = Store.open(store)
    if taken == "index":
        with pytest.raises(DamagedError, match=r"static\.l2\.faiss is damaged\nhint: build it again: kotovec index "):
            opened.search("t7", k=3)
    else:
        distances = np.square(mine.astype(float) - mine[7]).sum(axis=1)
        assert [hit.id for hit in opened.search("t7", k=3).hits] == np.argsort(distances)[:3].tolist()
    damaged = [] if taken == "neither" else ["indexes/static.l2.faiss"]
    assert [what.split(" (")[0] for what in opened.verify()] == damaged


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"space": "static"}', "\0" * 99])
def test_an_index_whose_record_is_damaged_is_not_used_but_named(store, content):
    expected = [hit.id for hit in Store.open(store).search("king", k=5).hits]
    (store / "indexes" / "static.l2.json").write_text(content)
    opened = Store.open(store)
    assert index.load(opened.vectors, store / "indexes", Space("static"), Metric.L2) is None
    assert [hit.id for hit in opened.search("king", k=5).hits] == expected
    (damaged,) = opened.verify()
    assert damaged.startswith("indexes/static.l2.faiss (without a record; kotovec index ")


@pytest.mark.parametrize("damage", ["bit", "file", "folder", "more"])
def test_a_damaged_tokenizer_is_named_and_whole_tokens_are_found_without_it(capsys, tmp_path, damage):
    first = make_store(tmp_path / "first") / "tokenizer" / "tokenizer.json"
    files = json.dumps({"tokenizer.json": of_file(first)})
    store = make_store(tmp_path / "words.kotovec", provenance={**PROVENANCE, "tokenizer_files": files})
    assert call(capsys, "query", "kings", "--store", store, "--verify").code == 0
    path = store / "tokenizer" / "tokenizer.json"
    if damage == "bit":
        flip(path, 100)
    elif damage == "file":
        path.unlink()
    elif damage == "folder":
        shutil.rmtree(path.parent)
    else:
        path.with_name("vocab.txt").write_text("king\n")
    assert call(capsys, "query", "king", "--store", store).code == 0
    asked = call(capsys, "query", "kings", "--store", store)
    assert (asked.code, asked.out) == (1, "")
    missing = f"error: {path.parent} is missing\nhint: build the store again with --overwrite\n"
    differs = (
        f"error: {path.parent} does not match the vectors\n"
        "hint: open the store again, or build it again with --overwrite\n"
    )
    assert asked.err == (missing if damage == "folder" else differs)
    name = "vocab.txt" if damage == "more" else "tokenizer.json"
    answer = call(capsys, "verify", "--store", store)
    assert answer.code == 1
    assert (
        f"is damaged: tokenizer/{name}\nhint: build it again with --overwrite and --store {store}; it was built by `"
        in answer.err
    )


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": "1.0"}', "\udcff"])
def test_a_tokenizer_that_cannot_be_read_is_an_error_of_kotovecs(store, capsys, content):
    """One that has no checksum, as in a store that was put together by hand."""
    path = store / "tokenizer" / "tokenizer.json"
    path.write_text(content, errors="surrogateescape")
    asked = call(capsys, "query", "kings", "--store", store)
    assert (asked.code, asked.out) == (2, "")
    assert re.fullmatch(
        r"error: .*tokenizer\.json cannot be read \(.+\), so only whole tokens can be looked up\n", asked.err
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Where the first test that needs it builds a store for all."""
    return tmp_path_factory.mktemp("built") / "whole.kotovec"


def spoil(path, damage):
    """Damage a file of vectors or tokens."""
    if damage in ("folder", "text"):
        path.unlink()
        path.mkdir() if damage == "folder" else path.write_text("text" * 1000)
    else:
        flip(path, {"dataset": offset(path, "id" if path.name == "tokens.h5" else "vectors"), "header": 100}[damage])


@pytest.mark.parametrize("name", ["tokens.h5", "spaces/static.h5", "spaces/isolated-2.h5"])
@pytest.mark.parametrize("damage", ["dataset", "header", "text", "folder"])
def test_building_again_with_overwrite_mends_whatever_is_damaged(
    capsys, employ, tiny_models, built, tmp_path, name, damage
):
    plan, whole = plan_of(tiny_models["bert"]), built
    run_build(plan, whole)
    store = shutil.copytree(whole, tmp_path / "x.kotovec")
    path = store / name
    spoil(path, damage)
    # A store without its tokens, or with a folder for a file, is none; other damage is found by looking for it.
    code = 2 if damage == "folder" or (name, damage) == ("tokens.h5", "text") else 1
    for command in (["verify"], ["query", "king", "--verify"]):
        answer = call(capsys, *command, "--store", store)
        assert (answer.code, answer.out) == (code, "")
        assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)
        assert name in answer.err
        assert "build it again with --overwrite" in answer.err or damage == "folder"
    if damage == "folder":
        assert answer.err.endswith(f"{path.name} cannot be opened: Is a directory\n")
        if name == "tokens.h5":
            with pytest.raises(
                StoreError, match=r"tokens.h5 is a folder\nhint: delete it, or name another path with --store$"
            ):
                run_build(plan, store, overwrite=True)
        path.rmdir()
    run_build(plan, store, overwrite=True)
    assert Store.open(store).verify() == []
    assert datasets(store) == datasets(whole)
    assert left_behind(store) == []


def test_building_again_with_overwrite_mends_a_damaged_tokenizer(capsys, employ, tiny_models, built, tmp_path):
    plan, whole = plan_of(tiny_models["bert"]), built
    run_build(plan, whole)
    store = shutil.copytree(whole, tmp_path / "x.kotovec")
    flip(store / "tokenizer" / "tokenizer.json", 50)
    for command in (["verify"], ["query", "king", "--verify"]):
        answer = call(capsys, *command, "--store", store)
        assert (answer.code, answer.out) == (1, "")
        assert re.fullmatch(r"error: \S.*tokenizer\.json\nhint: build it again with --overwrite.*\n", answer.err)
    run_build(plan, store, overwrite=True)
    assert Store.open(store).verify() == []
    assert datasets(store) == datasets(whole)


@pytest.mark.parametrize("damage", ["dataset", "header", "text", "folder"])
def test_a_damaged_file_of_a_space_that_is_deleted_is_built_again_and_nothing_else(
    employ, tiny_models, built, tmp_path, damage
):
    plan, whole = plan_of(tiny_models["bert"]), built
    run_build(plan, whole)
    store = shutil.copytree(whole, tmp_path / "x.kotovec")
    path, others = store / "spaces" / "isolated-2.h5", (store / "tokens.h5", store / "spaces" / "static.h5")
    before = [(other.stat().st_ino, other.stat().st_mtime_ns) for other in others]
    spoil(path, damage)
    if damage != "dataset":  # which only `verify` looks at
        with pytest.raises((DamagedError, StoreError), match=r"isolated-2\.h5 (is|cannot be opened)"):
            run_build(plan, store)
    path.rmdir() if damage == "folder" else path.unlink()
    run_build(plan, store)
    assert [(other.stat().st_ino, other.stat().st_mtime_ns) for other in others] == before
    assert Store.open(store).verify() == []
    assert datasets(store) == datasets(whole)
    assert left_behind(store) == []


def twins(tmp_path):
    """Write two stores of one shape and of other vectors; return their folders."""
    rng, made = np.random.default_rng(9), []
    for name, weights in (("mine", "0" * 64), ("other", "2" * 64)):
        provenance = {**PROVENANCE, "weights_sha256": weights}
        vectors = rng.standard_normal((3, 200, 6)).astype(np.float32)
        folder, tokens = tmp_path / f"{name}.kotovec", stores.numbered(200)
        made.append(stores.write_store(folder, tokens, vectors[0], vectors[1:], layers=(0, 2), provenance=provenance))
    return made


@pytest.mark.parametrize("origin", ["other.kotovec/spaces/static.h5", "mine.kotovec/spaces/isolated-0.h5"])
def test_a_file_of_another_stores_or_of_another_space_is_never_used_but_named(capsys, tmp_path, origin):
    """Its checksums are right, and its shape is: it says of itself which tokens it is of, and which space."""
    store, _ = twins(tmp_path)
    expected = call(capsys, "query", "t7", "--space", "isolated@2", "--store", store).out
    path = store / "spaces" / "static.h5"
    shutil.copy(tmp_path / origin, path)
    answer = call(capsys, "query", "t7", "--space", "static", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    error = f"error: {path} is of other tokens or of another space"
    assert answer.err == f"{error}\nhint: build it again with --overwrite\n"
    asked = call(capsys, "query", "t7", "--space", "isolated@2", "--store", store)
    assert (asked.code, asked.out, asked.err) == (0, expected, "")
    assert Store.open(store).verify() == ["spaces/static.h5 (build it again with --overwrite)"]


def test_no_space_is_used_with_the_tokens_of_another_store(capsys, tmp_path):
    """The same tokens, of another model: vectors of two models in one store would be compared."""
    store, other = twins(tmp_path)
    shutil.copy(other / "tokens.h5", store)
    for space in ("static", "isolated@0", "isolated@2"):
        answer = call(capsys, "query", "t7", "--space", space, "--store", store)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.endswith("is of other tokens or of another space\nhint: build it again with --overwrite\n")
    files = [f"spaces/{stem}.h5 (build it again with --overwrite)" for stem in ("static", "isolated-0", "isolated-2")]
    assert Store.open(store).verify() == files


@pytest.mark.parametrize("name", ["tokens.h5", "spaces/static.h5"])
@pytest.mark.parametrize("part", ["first", "half", "last", "all"])
def test_zeros_in_place_of_a_part_of_a_file_are_found(capsys, store, name, part):
    """As a disk leaves them that lost a block, or a file system that lost what was not synced."""
    path = store / name
    raw = bytearray(path.read_bytes())
    half = len(raw) // 2
    start, stop = {"first": (0, 512), "half": (half, 2 * half), "last": (-64, None), "all": (0, None)}[part]
    raw[start:stop] = bytes(len(raw[start:stop]))
    path.write_bytes(raw)
    answer = call(capsys, "verify", "--store", store)
    assert (answer.code, answer.out) in ((1, ""), (2, ""))
    assert name in answer.err
    assert "build it again with --overwrite" in answer.err
    assert re.fullmatch(r"error: \S.*\nhint: \S.*\n", answer.err)
