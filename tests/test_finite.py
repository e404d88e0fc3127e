"""Vectors of a damaged space that are not finite: no number is made of them, and the error names the space."""

import h5py
import numpy as np
import pytest

import stores
from commands import call

COUNT = 8


def damage(path, rows):
    """Put NaN into rows of the static vectors; the norms in the file stay as they were."""
    with h5py.File(path / "spaces" / "static.h5", "r+") as file:
        vectors = file["vectors"]
        vectors[rows, 1] = np.nan


@pytest.fixture(params=["bytes", "norms"])
def store(tmp_path, monkeypatch, request):
    """A store whose t2 is NaN: its bytes alone, or its norm as well."""
    monkeypatch.chdir(tmp_path)
    vectors = np.random.default_rng(4).normal(size=(COUNT, 3)).astype(np.float32)
    if request.param == "norms":
        vectors[2, 1] = np.nan
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(COUNT), vectors)
    if request.param == "bytes":
        damage(path, [2])
    (tmp_path / "bad.tsv").write_text("t0\tt1\t1\nt1\tt2\t2\nt3\tt4\t5\nt5\tt6\t3\n")
    (tmp_path / "good.tsv").write_text("t0\tt1\t1\nt1\tt3\t2\nt3\tt4\t5\nt5\tt6\t3\n")
    (tmp_path / "bad.txt").write_text("t0\tt1\nt2\tt3\nt4\tt5\n")
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "pairs", "bad.tsv", "--space", "static"],
        ["evaluate", "analogies", "bad.txt", "--space", "static"],
        ["evaluate", "analogies", "bad.txt", "--space", "static", "--measure", "3cosavg"],
        ["evaluate", "analogies", "bad.txt", "--space", "static", "--measure", "lrcos"],
        ["convert", "a.kotovec", "a.vec"],
        ["convert", "a.kotovec", "a.npy"],
        ["convert", "a.kotovec", "a.parquet"],
        ["query", "t1 + t2"],
        ["query", "t2", "--rank", "t1"],
    ],
)
def test_what_is_made_of_a_vector_that_is_not_finite_is_one_error(capsys, store, words):
    options = [] if words[0] == "convert" else ["--store", "a.kotovec"]
    answer = call(capsys, *words, *options)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.endswith("static has a vector that is not finite\nhint: run `kotovec verify`\n")
    assert not [path for path in store.parent.iterdir() if path.name.startswith("a.") and path != store]


def test_pairs_of_other_words_are_asked(capsys, store):
    answer = call(capsys, "evaluate", "pairs", "good.tsv", "--store", store, "--space", "static")
    assert (answer.code, answer.err) == (0, "")


def test_a_candidate_that_is_not_finite_is_an_error(capsys, tmp_path):
    vectors = np.random.default_rng(4).normal(size=(COUNT, 3)).astype(np.float32)
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(COUNT), vectors)
    damage(path, [7])
    (tmp_path / "a.txt").write_text("t0\tt1\nt2\tt3\n")
    answer = call(capsys, "evaluate", "analogies", tmp_path / "a.txt", "--store", path, "--space", "static")
    assert answer.err == f"error: {path}: static has a vector that is not finite\nhint: run `kotovec verify`\n"
