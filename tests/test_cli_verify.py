"""`kotovec verify`: every flipped bit is found and named."""

import json
import re

import h5py
import pytest

from commands import call, make_store

TABLES = ["id", "text", "surface", "kind"]
DATASETS = [
    *(f"tokens.h5: {name}" for name in TABLES),
    *(f"spaces/{stem}.h5: {name}" for stem in ("static", "isolated-0", "isolated-2") for name in ("vectors", "norms")),
]


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "words.kotovec")


def flip(path, place):
    """Flip the lowest bit of a byte."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def flip_in(store, dataset):
    """Flip a bit in the last byte of a dataset, named as `verify` names it; of a text, in its last character."""
    path, _, name = dataset.partition(": ")
    with h5py.File(store / path) as file:
        last = file[name].id.get_offset() + file[name].nbytes - 1
    flip(store / path, last)


def test_a_whole_store_is_said_to_be_whole(capsys, store):
    answer = call(capsys, "verify", "--store", store)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{store} is complete: every checksum matches\n"
    assert call(capsys, "verify", "--store", store, "--quiet").out == ""
    assert json.loads(call(capsys, "verify", "--store", store, "--json").out) == {"store": str(store), "damaged": []}


@pytest.mark.parametrize("dataset", DATASETS)
def test_one_flipped_bit_is_found_and_its_dataset_named(capsys, store, dataset):
    flip_in(store, dataset)
    answer = call(capsys, "verify", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    assert re.fullmatch(r"error: .*\nhint: build it again with --overwrite.*\n", answer.err)
    assert [name for name in DATASETS if re.search(rf"\b{name}\b", answer.err)] == [dataset]


def test_a_damaged_index_is_found_and_its_cure_named(capsys, store):
    flip(store / "indexes" / "static.l2.faiss", 100)
    answer = call(capsys, "verify", "--store", store, "--json")
    (damaged,) = json.loads(answer.out)["damaged"]
    assert answer.code == 1
    assert damaged.startswith("indexes/static.l2.faiss")
    assert "kotovec index" in damaged
    assert damaged in answer.err


def test_all_that_is_damaged_is_named(capsys, store):
    flip_in(store, "spaces/static.h5: vectors")
    flip_in(store, "spaces/isolated-0.h5: norms")
    (store / "spaces" / "isolated-2.h5").write_bytes(b"")
    flip(store / "indexes" / "isolated-2.l2.faiss", 100)
    answer = call(capsys, "verify", "--store", store)
    assert answer.code == 1
    damaged = (
        "spaces/static.h5: vectors",
        "spaces/isolated-0.h5: norms",
        "spaces/isolated-2.h5",
        "isolated-2.l2.faiss",
    )
    assert [answer.err.count(name) for name in damaged] == [1] * len(damaged)


def test_an_index_of_other_vectors_is_named(capsys, store):
    record = store / "indexes" / "static.l2.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"dataset": "0" * 64}))
    answer = call(capsys, "verify", "--store", store)
    assert answer.code == 1
    assert "indexes/static.l2.faiss (of other vectors" in answer.err
