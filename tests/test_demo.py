"""The whole way with real weights: the demo's full vocabulary, built on Ray, read back, asked, and compared."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from gensim.models import KeyedVectors

from kotovec.store import Store

from commands import call
from test_encoder import reference, relative_errors

TOKENS = 30_522
DATA = Path(__file__).parent / "data"


def vectors_of(store, stem):
    """Read the file of a space with h5py alone."""
    with h5py.File(store / "spaces" / f"{stem}.h5") as file:
        return file["vectors"][()]


def test_the_file_holds_transformers_vectors_of_the_whole_vocabulary(demo, minilm):
    """Read with h5py alone: 500 sampled rows of the last layer, and every row of the embedding matrix."""
    rows = np.sort(np.random.default_rng(1).choice(TOKENS, 500, replace=False))
    with h5py.File(demo / "tokens.h5") as file:
        np.testing.assert_array_equal(file["id"][()], np.arange(TOKENS))
    assert sorted(path.name for path in (demo / "spaces").iterdir()) == ["isolated-6.h5", "static.h5"]
    static, isolated = vectors_of(demo, "static"), vectors_of(demo, "isolated-6")
    states, matrix = reference(minilm, rows, ("[CLS]", "[SEP]"))
    np.testing.assert_array_equal(static, matrix)
    assert isolated.shape == (TOKENS, 384)
    assert relative_errors(isolated[rows], states[-1]).max() <= 1e-5


@pytest.mark.parametrize("stem", ["static", "isolated-6"])
def test_the_vectors_are_those_of_the_first_edition(demo, stem):
    """Bit for bit on the processor that the file was made on; others round the last bits of a product otherwise."""
    first = np.load(DATA / "demo" / "0.1.0.npz")
    expected = first[stem.partition("-")[0]]
    vectors = vectors_of(demo, stem)[first["rows"]]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6 if stem != "static" else 0)


@pytest.mark.parametrize("space", ["static", "isolated"])
def test_king_minus_man_plus_woman_is_queen(demo, space, capsys):
    arguments = ("--exclude-inputs", "--space", space, "--json")
    done = call(capsys, "query", "--store", demo, "king - man + woman", *arguments)
    assert done.code == 0
    assert json.loads(done.out)["results"][0]["token"] == "queen"


@pytest.mark.parametrize("space", ["static", "isolated"])
def test_unit_terms_with_cosine_is_what_gensim_finds_in_the_same_vectors(demo, space):
    store = Store.open(demo)
    vectors = KeyedVectors(384)
    vectors.add_vectors(list(store.tokens.texts), np.array(store.array(space)))
    expected = vectors.most_similar(positive=["king", "woman"], negative=["man"], topn=20)
    options = {"metric": "cosine", "unit_terms": True, "exclude_inputs": True}
    answer = store.search("king - man + woman", space=space, k=20, **options)
    assert [hit.text for hit in answer.hits] == [text for text, _ in expected]
    np.testing.assert_allclose([hit.score for hit in answer.hits], [score for _, score in expected], atol=1e-5)


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("space", ["static", "isolated"])
def test_a_thousand_answers_in_a_batch_are_those_of_float64_numpy(demo, space, metric):
    store = Store.open(demo)
    rng = np.random.default_rng(2)
    asked = rng.choice(TOKENS, (1000, 3))
    answers = store.search_many([f"#{a} - #{b} + #{c}" for a, b, c in asked], space=space, metric=metric, k=10)
    vectors = vectors_of(demo, {"static": "static", "isolated": "isolated-6"}[space]).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    for (a, b, c), answer in zip(asked[::40], answers[::40], strict=True):
        query = vectors[a] - vectors[b] + vectors[c]
        scores = ((vectors - query) ** 2).sum(axis=1) if metric == "l2" else -(vectors @ query)
        if metric == "cosine":
            scores = scores / lengths / np.linalg.norm(query)
        best = np.lexsort((np.arange(TOKENS), scores))[:10]
        np.testing.assert_allclose(
            [hit.score for hit in answer.hits], np.abs(scores[best]) if metric == "l2" else -scores[best], rtol=1e-9
        )
        assert [hit.id for hit in answer.hits] == best.tolist()
