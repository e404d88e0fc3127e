"""k-means of many tiny sets: against all partitions, against SciPy, and its own properties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kotovec.store.kmeans import STARTS, _fill, partition


def divide(sets, most, seed=0):
    """Return the labels of some sets of points, one array each."""
    sizes = list(map(len, sets))
    draws = np.random.default_rng(seed).random((len(sets), STARTS, most))
    labels = partition(np.concatenate(sets), np.concatenate([[0], np.cumsum(sizes)]), most, draws)
    return np.split(labels, np.cumsum(sizes)[:-1])


def centres_of(points, labels):
    return np.stack([points[labels == label].astype(np.float64).mean(axis=0) for label in range(labels.max() + 1)])


def inertia(points, labels):
    return float(((points - centres_of(points, labels)[labels]) ** 2).sum())


def smallest(points, most):
    """Return the smallest inertia of all partitions into at most `most` parts."""
    labels = (np.unique(each, return_inverse=True)[1] for each in itertools.product(range(most), repeat=len(points)))
    return min(inertia(points, each) for each in labels)


def planted(rng, groups, each, size=12, distance=6.0):
    """Return points around some centres that are farther apart than they are wide, in any order, and their groups."""
    middles = np.linalg.qr(rng.standard_normal((size, size)))[0][:groups] * distance
    owners = rng.permutation(np.repeat(np.arange(groups), each))
    return (middles[owners] + rng.standard_normal((groups * each, size)) * 0.3).astype(np.float32), owners


def check(points, labels, most):
    """Check that each centre is the mean of the points nearest to it, and that centres are in their order."""
    centres = centres_of(points, labels)
    distances = ((points[:, np.newaxis].astype(np.float64) - centres) ** 2).sum(axis=2)
    spread = ((points - points.mean(axis=0, dtype=np.float64)) ** 2).sum(axis=1).max()
    assert (distances[np.arange(len(points)), labels] <= distances.min(axis=1) + 1e-8 * spread + 1e-12).all()
    sizes = np.bincount(labels)
    assert len(sizes) == min(most, len(np.unique(points, axis=0)))
    assert sizes.min() >= 1
    firsts = [int(np.flatnonzero(labels == label)[0]) for label in range(len(sizes))]
    assert sorted(range(len(sizes)), key=lambda label: (-sizes[label], firsts[label])) == list(range(len(sizes)))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_of_few_points_no_partition_is_better_where_there_are_groups(most):
    rng = np.random.default_rng(most)
    sets = [planted(rng, groups, each, 6)[0] for groups, each in ((most, 2), (3, 2)) for _ in range(4)]
    for points, labels in zip(sets, divide(sets, most), strict=True):
        check(points, labels, most)
        assert inertia(points, labels) <= smallest(points, most) * (1 + 1e-9)


@pytest.mark.parametrize("most", [2, 3, 5])
def test_planted_groups_are_found_and_scipy_finds_the_same(most):
    vq = pytest.importorskip("scipy.cluster.vq")
    rng = np.random.default_rng(most)
    drawn = [planted(rng, most, each) for each in (2, 6, 10) for _ in range(20)]
    for (points, owners), labels in zip(drawn, divide([points for points, _ in drawn], most), strict=True):
        check(points, labels, most)
        assert len({*zip(owners.tolist(), labels.tolist(), strict=True)}) == most
        wide = points.astype(np.float64)
        _, other = vq.kmeans2(wide, np.stack([wide[owners == group].mean(axis=0) for group in range(most)]))
        assert inertia(points, labels) == pytest.approx(inertia(points, other), rel=1e-9)


def test_without_groups_it_is_no_worse_than_scipy_from_as_many_starts():
    vq = pytest.importorskip("scipy.cluster.vq")
    rng = np.random.default_rng(1)
    sets = [rng.standard_normal((30, 16)).astype(np.float32) for _ in range(40)]
    ours = sum(inertia(points, labels) for points, labels in zip(sets, divide(sets, 3), strict=True))
    theirs = 0.0
    for points in sets:
        starts = [vq.kmeans2(points.astype(np.float64), 3, 100, minit="++", seed=seed)[1] for seed in range(STARTS)]
        theirs += min(inertia(points, labels) for labels in starts if len(set(labels.tolist())) == 3)
    assert ours <= theirs * 1.005


def test_equal_points_stay_together_and_make_no_centres_of_their_own():
    one, two, three = np.eye(3, 4, dtype=np.float32)
    labels = divide([np.stack([one] * 4), np.stack([two, one, two]), np.stack([one, two, three, three]), one[None]], 3)
    assert [each.tolist() for each in labels] == [[0, 0, 0, 0], [0, 1, 0], [1, 2, 0, 0], [0]]
    many = np.concatenate([np.stack([one * 9 + two * 0.01 * step for step in range(4)] * 3), np.stack([two] * 2)])
    (found,) = divide([many], 2)
    assert found.tolist() == [0] * 12 + [1] * 2
    assert divide([np.empty((0, 4), dtype=np.float32), np.stack([one])], 2)[1].tolist() == [0]


def test_points_that_differ_in_the_sign_of_a_zero_are_one():
    points = np.array([[0, 1, -2], [-3, 1, -0.0], [0, -1, -2], [-0.0, -1, -2]], dtype=np.float32)
    assert divide([points], 4)[0].tolist() == [1, 2, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_set_is_divided_alone_as_it_is_among_others(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sizes, most = data.draw(st.lists(st.integers(1, 12), min_size=2, max_size=6)), data.draw(st.integers(1, 5))
    sets = [np.round(rng.standard_normal((size, 3)) * 2).astype(np.float32) for size in sizes]  # some are equal
    draws = rng.random((len(sets), STARTS, most))
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    together = partition(np.concatenate(sets), bounds, most, draws)
    for index, points in enumerate(sets):
        alone = partition(points, np.array([0, len(points)]), most, draws[index : index + 1])
        np.testing.assert_array_equal(alone, together[bounds[index] : bounds[index + 1]])
        check(points, alone, most)


def test_a_centre_without_points_gets_the_farthest_that_is_not_alone():
    labels = np.array([[[0, 0, 0, 2]]])
    _fill(labels, np.array([[[[1.0, 9, 9], [3, 9, 9], [2, 9, 9], [9, 9, 8]]]]), 3)
    assert labels.tolist() == [[[0, 1, 0, 2]]]
