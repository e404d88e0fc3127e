"""`kotovec verify`: every flipped bit is found and named."""

import json
import re

import h5py
import pytest

from commands import call, make_store

DATASETS = [
    "tokens/id",
    "tokens/text",
    "tokens/surface",
    "tokens/kind",
    "vectors/static",
    "vectors/isolated",
    "vectors/static_norms",
    "vectors/isolated_norms",
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


def offset(store, dataset):
    """Where the last byte of a dataset lies in the file."""
    with h5py.File(store / "vectors.h5") as file:
        return file[dataset].id.get_offset() + file[dataset].nbytes - 1


def test_a_whole_store_is_said_to_be_whole(capsys, store):
    answer = call(capsys, "verify", "--store", store)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{store} is whole: every checksum matches\n"
    assert call(capsys, "verify", "--store", store, "--quiet").out == ""
    assert json.loads(call(capsys, "verify", "--store", store, "--json").out) == {"store": str(store), "damaged": []}


@pytest.mark.parametrize("dataset", DATASETS)
def test_one_flipped_bit_is_found_and_its_dataset_named(capsys, store, dataset):
    flip(store / "vectors.h5", offset(store, dataset))
    answer = call(capsys, "verify", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    assert re.search(rf"\b{dataset}\b(?!_)", answer.err)
    assert re.fullmatch(r"error: .*\n", answer.err)
    assert [name for name in DATASETS if re.search(rf"\b{name}\b(?!_)", answer.err)] == [dataset]


def test_a_damaged_index_is_found_and_its_cure_named(capsys, store):
    flip(store / "indexes" / "static.l2.faiss", 100)
    answer = call(capsys, "verify", "--store", store, "--json")
    (damaged,) = json.loads(answer.out)["damaged"]
    assert answer.code == 1
    assert damaged.startswith("indexes/static.l2.faiss")
    assert "kotovec index" in damaged
    assert damaged in answer.err


def test_all_that_is_damaged_is_named(capsys, store):
    flip(store / "vectors.h5", offset(store, "vectors/static"))
    flip(store / "vectors.h5", offset(store, "vectors/isolated"))
    flip(store / "indexes" / "isolated-2.l2.faiss", 100)
    answer = call(capsys, "verify", "--store", store)
    assert answer.code == 1
    assert all(name in answer.err for name in ("vectors/static", "vectors/isolated", "isolated-2.l2.faiss"))


def test_an_index_of_other_vectors_is_named(capsys, store):
    record = store / "indexes" / "static.l2.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"dataset": "0" * 64}))
    answer = call(capsys, "verify", "--store", store)
    assert answer.code == 1
    assert "indexes/static.l2.faiss (of other vectors" in answer.err
