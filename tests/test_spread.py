"""Measures from means, counts and energies are those of all pairs of vectors, computed one by one in float64."""

import json

import numpy as np
import pytest
import summed

from kotovec.space import Space
from kotovec.store import Store, means
from kotovec.store.layout import Layout
from kotovec.store.shard import Shard, write_shard
from kotovec.store.spread import Directions, Means, measure
from kotovec.store.vectors import Vectors

from commands import call
from stores import FINGERPRINT, numbered, write_store

ROWS, SIZE = 12, 5
SPACE = Space("context", 3)


@pytest.fixture
def states():
    """The vectors of each item in its contexts: none of the first, one of the second."""
    rng = np.random.default_rng(2)
    counts = [0, 1, *rng.integers(2, 9, ROWS - 2)]
    centres = rng.standard_normal((ROWS, SIZE)) * 3 + 1
    return [centre + rng.standard_normal((count, SIZE)) for centre, count in zip(centres, counts, strict=True)]


def means_of(states):
    uses = np.array([len(each) for each in states])
    vectors = np.array([each.mean(axis=0) if len(each) else np.zeros(SIZE) for each in states])
    energies = np.array([(each**2).sum(axis=1).mean() if len(each) else 0.0 for each in states])
    return vectors, Means(np.linalg.norm(vectors, axis=1), uses, uses, energies)


def pairs(rows):
    return [(first, second) for first in range(rows) for second in range(rows) if first != second]


def test_self_similarity_and_variance_are_those_of_all_pairs(states):
    _, found = means_of(states)
    for row, each in enumerate(states):
        if len(each) < 2:
            assert np.isnan(found.self_similarities()[row])
            assert np.isnan(found.variances()[row])
            continue
        products = [each[first] @ each[second] for first, second in pairs(len(each))]
        expected = np.mean(products) / (each**2).sum(axis=1).mean()
        assert found.self_similarities()[row] == pytest.approx(expected, rel=1e-12)
        assert found.variances()[row] == pytest.approx(each.var(axis=0, ddof=1).sum(), rel=1e-10)


def test_of_vectors_of_one_length_self_similarity_is_the_mean_cosine(states):
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in states]
    _, found = means_of(units)
    each = units[4]
    cosines = [each[first] @ each[second] for first, second in pairs(len(each))]
    assert found.self_similarities()[4] == pytest.approx(np.mean(cosines), rel=1e-12)


def spread_of(states):
    vectors, found = means_of(states)
    directions = Directions(SIZE)
    for part in (slice(0, 5), slice(5, None)):
        directions.add(vectors[part], found.uses[part] > 1)
    return measure(found, directions)


def test_the_spread_of_a_space_is_that_of_all_pairs_of_items(states):
    found, several = spread_of(states), [each for each in states if len(each) > 1]
    vectors = np.array([each.mean(axis=0) for each in several])
    across = [(a @ b.T).mean() for i, a in enumerate(several) for j, b in enumerate(several) if i != j]
    energy = np.mean([(each**2).sum(axis=1).mean() for each in several])
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = [units[first] @ units[second] for first, second in pairs(len(units))]
    within = [each.var(axis=0, ddof=1).sum() for each in several]
    chance = np.mean([each / len(own) for each, own in zip(within, several, strict=True)])
    observed = vectors.var(axis=0, ddof=1).sum()
    assert (found.items, found.several) == (ROWS - 1, ROWS - 2)
    assert found.random_similarity == pytest.approx(np.mean(across) / energy, rel=1e-10)
    assert found.random_cosine == pytest.approx(np.mean(cosines), rel=1e-10)
    assert found.within == pytest.approx(np.mean(within), rel=1e-10)
    assert found.between == pytest.approx(observed - chance, rel=1e-10)
    assert found.reliability == pytest.approx((observed - chance) / observed, rel=1e-10)


def test_reliability_predicts_how_the_means_of_two_samples_agree():
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((2000, SIZE))
    first, second = ([centre + rng.standard_normal((5, SIZE)) * 2 for centre in centres] for _ in range(2))
    one, other = (np.array([each.mean(axis=0) for each in sample]) for sample in (first, second))
    agreed = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert spread_of(first).reliability == pytest.approx(agreed, abs=0.02)


def test_too_few_vectors_have_no_spread():
    found = spread_of([np.ones((1, SIZE)), np.ones((3, SIZE)), np.empty((0, SIZE))])
    assert (found.items, found.several, found.self_similarity, found.reliability) == (2, 1, None, None)


def test_info_shows_the_measures_of_a_merged_space(states, tmp_path, capsys):
    folder = write_store(tmp_path / "a.kotovec", numbered(ROWS), np.eye(ROWS))
    layout, identity = Layout(folder), Vectors(folder).attributes["identity"]
    rows = np.repeat(np.arange(ROWS), [len(each) for each in states])
    found = summed.add_up(rows, np.concatenate(states).astype(np.float32))
    layout.shards.mkdir()
    shard = Shard(0, found.rows, {SPACE: found.sums}, "host", "AVX2", found.counts, "", {SPACE: found.energies})
    write_shard(layout.shards, shard, FINGERPRINT)
    sources = means.Folder(layout.shards, FINGERPRINT, (SPACE,), ROWS, (0,))
    made = {"settings": {"contexts": 4}, "finished": "now"}
    means.merge_means(layout, SPACE, sources, identity, made, np.minimum([len(each) for each in states], 4))
    with Store.open(folder) as store:
        about = store.info()["contexts"]["context@3"]
        assert not store.verify()
    counts = np.minimum([len(each) for each in states], 4)
    assert about["none"] == 1
    assert (about["complete"], about["fewer"]) == ((counts == 4).sum(), ((counts > 0) & (counts < 4)).sum())
    assert (about["contexts"], about["vectors"]) == (counts.sum(), len(rows))
    expected = spread_of(states)
    assert about["self_similarity"] == pytest.approx(expected.self_similarity, rel=1e-5)
    assert about["random_cosine"] == pytest.approx(expected.random_cosine, rel=1e-5)
    assert about["reliability"] < expected.reliability  # contexts, not vectors, are independent
    assert json.loads(call(capsys, "info", "--json", "--store", folder).out)["contexts"]["context@3"] == about
