"""Bootstrap intervals: of 500 data sets whose true numbers are known, 93 to 97 of 100 intervals hold them."""

import math

import numpy as np
import pytest

from kotovec.store.evaluation import intervals
from kotovec.store.evaluation.intervals import Estimate, draw_categories, draw_items, draw_pairs, tail, units_of
from kotovec.store.evaluation.pairs import _measure
from kotovec.store.evaluation.scores import score

SETS = 500
CATEGORIES, SIZES = 14, (20, 40, 60, 100)
A, B, POWER = 3, 2, 0.8  # the accuracies of categories: p ~ Beta(3, 2) in a space, p ** 0.8 in another


def held(estimate, true):
    return estimate.low <= true <= estimate.high


def data_set(random):
    """Ranks in two spaces by category: 1 where right, 2 where not; what is right in the first is in the second."""
    accuracies, sizes = random.beta(A, B, size=CATEGORIES), random.choice(SIZES, size=CATEGORIES)
    chances = [random.random(size) for size in sizes]
    return [
        [1 + (chance >= accuracy**power).astype(np.int64) for chance, accuracy in zip(chances, accuracies, strict=True)]
        for power in (1, POWER)
    ]


def test_nineteen_of_twenty_intervals_hold_the_true_accuracy_and_the_true_difference():
    """Of p ~ Beta(a, b), the mean of p ** s is B(a + s, b) / B(a, b)."""
    random, counts, words = np.random.default_rng(0), np.zeros(3), [(np.arange(2),) * 2] * CATEGORIES
    moment = math.gamma(A + POWER) * math.gamma(A + B) / math.gamma(A) / math.gamma(A + B + POWER)
    assert moment == pytest.approx(np.mean(np.random.default_rng(1).beta(A, B, size=10**6) ** POWER), abs=1e-3)
    for _ in range(SETS):
        first, second = score(data_set(random), words, [0, 0], seed=1)
        counts += [
            held(first.accuracy[0], A / (A + B)),
            held(second.accuracy[0], moment),
            held(second.difference, moment - A / (A + B)),
        ]
    assert ((counts / SETS >= 0.93) & (counts / SETS <= 0.97)).all(), counts / SETS


def test_the_intervals_of_a_category_hold_its_true_accuracy_whose_questions_share_their_pairs():
    """Each of 16 pairs makes a question easier or harder, as a : a* by .5 and as b by 1.5 on the scale of logits.

    Were questions drawn, two of three intervals would hold the true accuracy.
    """
    random, count, base, of_a, of_b = np.random.default_rng(0), 16, 1, 0.5, 1.5
    noise = random.normal(size=10**6) * math.hypot(of_a, of_b)
    true, right = (1 / (1 + np.exp(-base - noise))).mean(), 0
    a, b = np.nonzero(~np.eye(count, dtype=bool))
    for _ in range(SETS):
        ease = base + of_a * random.normal(size=count)[a] + of_b * random.normal(size=count)[b]
        ranks = 1 + (random.random(len(a)) >= 1 / (1 + np.exp(-ease))).astype(np.int64)
        right += held(score([[ranks]], [(a, b)], [0], seed=1)[0].accuracy[0], true)
    assert 0.93 <= right / SETS <= 0.98


def test_nineteen_of_twenty_intervals_hold_the_true_correlation_and_the_true_difference():
    """Of two normal variables with the correlation r, Spearman's is 6/π·asin(r/2)."""
    random, counts, (first, second) = np.random.default_rng(0), np.zeros(3), (0.5, 0.6)
    true = [6 / math.pi * math.asin(each / 2) for each in (first, second)]
    for _ in range(SETS):
        scores, *noise = random.normal(size=(3, 60))
        cosines = [r * scores + math.sqrt(1 - r * r) * each for r, each in zip((first, second), noise, strict=True)]
        (rho, rho_drawn, r, r_drawn), (other, other_drawn, _, _) = (_measure(each, scores, 1) for each in cosines)
        counts += [
            held(Estimate.of(rho, rho_drawn, 60), true[0]),
            held(Estimate.of(r, r_drawn, 60), first),
            held(Estimate.of(other - rho, other_drawn - rho_drawn, 60), true[1] - true[0]),
        ]
    assert ((counts / SETS >= 0.93) & (counts / SETS <= 0.97)).all(), counts / SETS


def test_intervals_are_scipys_of_the_level_that_is_expanded():
    """`scipy.stats.bootstrap` takes the plain percentiles: at the level 1 − 2·Φ(−√(n/(n−1))·t) they are ours."""
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    values, sizes = random.exponential(size=25), random.integers(1, 9, size=25)
    level = 1 - 2 * stats.norm.cdf(-math.sqrt(25 / 24) * stats.t.ppf(0.975, 24))
    options = {"confidence_level": level, "n_resamples": 50_000, "method": "percentile", "random_state": random}
    drawn = draw_pairs(values[:, np.newaxis], np.arange(25), np.arange(25), 0, draws=50_000)
    expected = stats.bootstrap((values,), np.mean, **options).confidence_interval
    found = Estimate.of(values.mean(), drawn[:, 0], 25)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert found.value == values.mean()

    def mean(values, sizes):
        return (values * sizes).sum(axis=-1) / sizes.sum(axis=-1)

    expected = stats.bootstrap((values, sizes), mean, paired=True, vectorized=False, **options).confidence_interval
    drawn = draw_categories([np.full((n, 1), each) for each, n in zip(values, sizes, strict=True)], 0, draws=50_000)
    found = Estimate.of(0.0, drawn[:, 0], 25)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)


@pytest.mark.parametrize("units", [5, 8, 9.3, 14, 40, 963, 19_544])
def test_the_share_below_an_interval_is_that_of_students_t(units):
    stats = pytest.importorskip("scipy.stats")
    expected = 100 * stats.norm.cdf(-math.sqrt(units / (units - 1)) * stats.t.ppf(0.975, units - 1))
    assert tail(units) == pytest.approx(expected, rel=0.01)


def test_of_few_units_the_interval_is_all_that_was_drawn_and_of_two_there_is_none():
    drawn = np.arange(1000.0)
    assert Estimate.of(500, drawn, 3) == Estimate(500, pytest.approx(0, abs=0.01), pytest.approx(999, abs=0.01))
    assert Estimate.of(500, drawn, 2) == Estimate.of(500, drawn, 1) == Estimate(500)
    assert tail(10**9) == pytest.approx(2.5)
    assert units_of([7]) == 1
    assert units_of([10, 10, 10]) == pytest.approx(3)
    assert units_of([1, 1, 998]) == pytest.approx(1000**2 / (2 + 998**2))


def test_draws_that_have_no_correlation_are_left_out_of_an_interval():
    assert Estimate.of(float("nan"), np.ones(3), 9) == Estimate(None)
    assert Estimate.of(0.5, np.full(3, np.nan), 9) == Estimate(0.5)
    assert Estimate.of(0.5, np.array([0.0, np.nan, 1.0]), 10**9) == Estimate(
        0.5, pytest.approx(0.025), pytest.approx(0.975)
    )


def test_a_draw_of_categories_is_the_mean_of_all_their_questions():
    values = [(np.arange(n) < k)[:, np.newaxis].astype(float) for k, n in ((5, 10), (50, 50))]
    drawn = draw_categories(values, seed=0, draws=20_000)[:, 0]
    assert set(drawn.round(9).tolist()) == {0.5, round(55 / 60, 9), 1.0}
    assert [(drawn == share).mean() for share in (0.5, 1)] == pytest.approx([0.25, 0.25], abs=0.02)


def test_a_draw_of_pairs_counts_a_question_as_often_as_both_of_its_pairs():
    """Of the questions 0:1, 1:2 and 2:0; with the pairs drawn 2, 1, 0 times only the first counts, twice."""
    a, b = np.array([0, 1, 2]), np.array([1, 2, 0])
    values, times = np.eye(3), np.concatenate(list(draw_items(3, 5)))
    drawn = draw_pairs(values, a, b, 5)
    weights = times[:, a] * times[:, b]
    assert np.isnan(drawn[weights.sum(axis=1) == 0]).all()
    some = weights.sum(axis=1) > 0
    assert drawn[some] == pytest.approx(weights[some] / weights[some].sum(axis=1, keepdims=True))
    assert drawn[(times == [2, 1, 0]).all(axis=1)].tolist()[0] == [1, 0, 0]
    assert draw_pairs(values, a, a, 5) == pytest.approx(times / 3)


def test_all_columns_have_the_same_draws_and_the_seed_and_no_block_decides_them(monkeypatch):
    values = np.random.default_rng(0).random((30, 1))
    a, b = np.arange(30), np.arange(30)[::-1]
    drawn, items = draw_pairs(values, a, b, 7), np.concatenate(list(draw_items(30, 7)))
    both = draw_pairs(np.concatenate([values, 1 - 2 * values], axis=1), a, b, 7)
    assert both[:, 0] == pytest.approx(drawn[:, 0], abs=1e-12)
    assert both[:, 1] == pytest.approx(1 - 2 * drawn[:, 0], abs=1e-12)
    assert draw_pairs(values, a, b, 7).tolist() == drawn.tolist() != draw_pairs(values, a, b, 8).tolist()
    monkeypatch.setattr(intervals, "WEIGHTS", 100)
    assert draw_pairs(values, a, b, 7) == pytest.approx(drawn, abs=1e-12)
    assert np.concatenate(list(draw_items(30, 7))).tolist() == items.tolist()
    assert (items.shape, set(items.sum(axis=1).tolist())) == ((1000, 30), {30})


def test_scores_by_hand():
    ranks = [np.array([1, 2, 0]), np.array([7, 11]), np.array([7])]
    other = [np.array([1, 1, 1]), np.array([1, 11]), np.array([1])]
    words = [(np.arange(len(each)),) * 2 for each in ranks]
    first, second = score([ranks, other], words, [0, 0], seed=0)
    found = first.as_dict()
    assert {name: each["value"] for name, each in found.items() if name.startswith(("acc", "rec"))} == {
        "accuracy@1": pytest.approx(1 / 6), "accuracy@5": pytest.approx(2 / 6), "accuracy@10": pytest.approx(4 / 6),
        "reciprocal": pytest.approx((1 + 1 / 2 + 1 / 7 + 1 / 11 + 1 / 7) / 6),
    }  # fmt: skip
    assert (found["questions"], found["difference"]) == (6, None)
    assert second.difference.value == pytest.approx(4 / 6)
    same = score([ranks, ranks], words, [0, 0], seed=0)[1]
    assert same.accuracy == first.accuracy
    assert same.difference.value == 0
    alone = score([ranks[:1]], words[:1], [0], seed=0)[0].accuracy[0]
    assert (alone.value, alone.low, alone.high) == (1 / 3, pytest.approx(0), pytest.approx(1))
