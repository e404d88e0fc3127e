"""3CosAvg and LRCos: leave-one-out, seeded negatives, and a regression that equals scikit-learn's."""

import numpy as np
import pytest

from kotovec.errors import InputError
from kotovec.store import Store
from kotovec.store.evaluation.analogies import evaluate_analogies
from kotovec.store.evaluation.measures import Measure
from kotovec.store.evaluation.pairs import Asked
from kotovec.store.evaluation.questions import Category, Question
from kotovec.store.evaluation.regression import Regression, sigmoid
from kotovec.store.evaluation.relations import NEGATIVES, Relation, draw_negatives, relation_of
from kotovec.store.evaluation.words import Policy, Words, find_words

import stores

COUNT, WIDTH, PAIRS = 300, 16, 12


def reference(points, positive):
    linear = pytest.importorskip("sklearn.linear_model")
    model = linear.LogisticRegression(tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(points, positive)
    return model.coef_[0], model.intercept_[0]


@pytest.mark.parametrize(("count", "width", "scale"), [(40, 8, 1), (40, 100, 1), (30, 5, 20), (60, 12, 0.01)])
def test_the_regression_is_scikit_learns(count, width, scale):
    random = np.random.default_rng(count + width)
    points = scale * random.normal(size=(count, width))
    positive = points[:, 0] + scale * random.normal(size=count) > 0.5 * scale
    kept = np.ones(count, dtype=bool)
    for left_out in ([], [0, 7], list(range(10))):
        kept[:] = True
        kept[left_out] = False
        weights, intercept = Regression(points, positive).fit(kept)
        expected, expected_intercept = reference(points[kept], positive[kept])
        assert weights == pytest.approx(expected, abs=1e-6)
        assert intercept == pytest.approx(expected_intercept, abs=1e-6)


def test_the_regression_has_the_smallest_loss():
    """At the minimum the gradient is 0: w = Σ y σ(−y(w·x + c)) x, and the intercept's own sum is 0."""
    random = np.random.default_rng(3)
    points, positive = random.normal(size=(50, 70)), random.integers(2, size=50) == 1
    weights, intercept = Regression(points, positive).fit(np.ones(50, dtype=bool))
    signs = np.where(positive, 1, -1)
    pulls = signs * sigmoid(-signs * (points @ weights + intercept))
    assert weights == pytest.approx(pulls @ points, abs=1e-9)
    assert pulls.sum() == pytest.approx(0, abs=1e-9)


def test_classes_that_a_plane_separates_and_equal_points_have_a_solution():
    points = np.repeat(np.eye(3), 4, axis=0) * 100
    weights, intercept = Regression(points, np.arange(12) < 4).fit(np.ones(12, dtype=bool))
    assert np.isfinite(weights).all()
    assert ((points @ weights + intercept > 0) == (np.arange(12) < 4)).all()
    assert sigmoid(np.array([-1000.0, 0, 1000])).tolist() == [0, 0.5, 1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store, and a category whose pairs t0 → t12, … have a common offset; t3 has two answers."""
    random = np.random.default_rng(8)
    vectors = random.normal(size=(COUNT, WIDTH))
    offset = random.normal(size=WIDTH)
    vectors[PAIRS : 2 * PAIRS] = 0.5 * vectors[:PAIRS] + offset + 0.7 * vectors[PAIRS : 2 * PAIRS]
    vectors[200:] = 0.8 * vectors[200:] + offset  # of the same class
    vectors = vectors.astype(np.float32)
    pairs = [(f"t{row}", (f"t{row + PAIRS}", *(("t40",) if row == 3 else ()))) for row in range(PAIRS)]
    pairs += [("t50", ("unknown",)), ("unknown", ("t51",))]
    path = stores.write_store(tmp_path_factory.mktemp("world") / "a.kotovec", stores.numbered(COUNT), vectors)
    return path, Category.of_pairs("c", pairs), vectors.astype(np.float64)


def solve(path, category, measure, seed=0, *, lower=False):
    with Store.open(path) as opened:
        asked = [Asked("a", opened, opened.spaces[:1])]
        return evaluate_analogies(asked, [category], Policy(lower=lower), [measure], seed=seed)[0]


def ranks_of(scores, b, answers):
    best = max(answers, key=lambda row: scores[row])
    ahead = scores > scores[best] + 1e-9
    return 1 + ahead.sum(), 1 + ahead.sum() - ahead[b]


def test_3cosavg_is_the_mean_offset_of_the_other_pairs(world):
    path, category, vectors = world
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = []
    for row in range(PAIRS):
        others = [other for other in range(PAIRS) if other != row]
        offset = np.mean([unit[other + PAIRS] - unit[other] for other in others], axis=0)
        expected.append(ranks_of(unit @ (unit[row] + offset), row, [row + PAIRS, *([40] if row == 3 else [])]))
    found = solve(path, category, Measure.AVERAGE)
    numbers, ranks = found.items["c"]
    assert numbers.tolist() == list(range(PAIRS))
    assert list(zip(ranks.among_all.tolist(), ranks.without_inputs.tolist(), strict=True)) == expected
    assert (found.counts.items, found.counts.asked) == (PAIRS + 2, PAIRS)
    assert found.without_inputs.accuracy[2].value > 0.3
    assert found.landed["b"] + found.landed["answer"] + found.landed["other"] == pytest.approx(1)


def test_lrcos_is_the_probability_of_the_class_times_the_cosine(world):
    path, category, vectors = world
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    with Store.open(path) as opened:
        texts = [word for b, answers in category.pairs for word in (b, *answers)]
        words = find_words(opened.lookup, texts, Policy())
        relation = relation_of(category, [words], words.known, words.known)
    taken = frozenset(range(2 * PAIRS)) | {40}
    negatives = draw_negatives(relation, taken, np.ones(COUNT, dtype=bool), 0)
    assert len(negatives) == len(set(negatives.tolist())) == NEGATIVES * PAIRS
    assert not taken & set(negatives.tolist())
    expected = []
    for row in range(PAIRS):
        others = np.array([other for other in range(PAIRS) if other != row])
        points = np.concatenate([unit[others + PAIRS], unit[others], unit[negatives]])
        weights, intercept = reference(points, np.arange(len(points)) < len(others))
        scores = unit @ unit[row] / (1 + np.exp(-(unit @ weights + intercept)))
        expected.append(ranks_of(scores, row, [row + PAIRS, *([40] if row == 3 else [])]))
    _, ranks = solve(path, category, Measure.REGRESSION).items["c"]
    assert list(zip(ranks.among_all.tolist(), ranks.without_inputs.tolist(), strict=True)) == expected


def several():
    """A category in which t3 leads to t15 and to t40, t5 to a word that is no row and to t17, and some pairs again."""
    pairs = [(row, row + PAIRS) for row in range(PAIRS)]
    pairs[5:5] = [(5, 999)]
    pairs[4:4] = [(3, 40)]
    texts = [(f"t{b}", f"t{answer}") for b, answer in pairs]
    texts += [("T2", "t14"), ("T2", "T14"), ("t2", "T14")]
    questions = [Question(*texts[0], b, (answer,)) for b, answer in texts[1:]]
    asked = [index for index, (_, answer) in enumerate(pairs) if answer != 999]
    return Category.of("c", questions), asked, np.array([pairs[index] for index in asked])


def test_a_word_has_a_pair_for_each_of_its_answers_and_case_makes_none(world):
    path, _, vectors = world
    category, asked, pairs = several()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    offsets, expected = unit[pairs[:, 1]] - unit[pairs[:, 0]], []
    for index, (b, answer) in enumerate(pairs):
        others = np.delete(offsets, index, axis=0)
        expected.append(ranks_of(unit @ (unit[b] + others.mean(axis=0)), b, [answer]))
    found = solve(path, category, Measure.AVERAGE, lower=True)
    numbers, ranks = found.items["c"]
    named = [category.pairs[number] for number in numbers]
    assert named == [(f"t{b}", (f"t{answer}",)) for b, answer in pairs.tolist()]
    assert list(zip(ranks.among_all.tolist(), ranks.without_inputs.tolist(), strict=True)) == expected
    assert (found.counts.items, found.counts.asked) == (PAIRS + 5, PAIRS + 1) == (len(category.pairs), len(asked))


def test_lrcos_learns_from_each_pair_of_rows_once(world):
    path, _, vectors = world
    category, _, pairs = several()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    taken = frozenset(pairs.ravel().tolist())
    negatives = draw_negatives(Relation(np.arange(len(pairs)), *pairs.T), taken, np.ones(COUNT, dtype=bool), 0)
    expected = []
    for index, (b, answer) in enumerate(pairs):
        others = np.delete(pairs, index, axis=0)
        points = np.concatenate([unit[others[:, 1]], unit[others[:, 0]], unit[negatives]])
        weights, intercept = reference(points, np.arange(len(points)) < len(others))
        scores = unit @ unit[b] / (1 + np.exp(-(unit @ weights + intercept)))
        expected.append(ranks_of(scores, b, [answer]))
    _, ranks = solve(path, category, Measure.REGRESSION, lower=True).items["c"]
    assert list(zip(ranks.among_all.tolist(), ranks.without_inputs.tolist(), strict=True)) == expected


def test_stores_with_common_are_asked_pairs_that_are_distinct_in_each():
    texts = ["t0", "t1", "t2", "t3", "T0", "T1"]
    both = [
        Words(
            {text: number for number, text in enumerate(texts)}, np.array(rows), np.arange(7), np.zeros(6, dtype=bool)
        )
        for rows in ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 0, 1])
    ]
    every = np.ones(6, dtype=bool)
    category = Category.of_pairs("c", [("t0", ("t1",)), ("T0", ("T1",)), ("t2", ("t3",))])
    assert relation_of(category, both[:1], every, every).numbers.tolist() == [0, 1, 2]
    assert relation_of(category, both, every, every).numbers.tolist() == [0, 2]
    category = Category.of_pairs("c", [("T0", ("T1",)), ("t0", ("t1", "t2")), ("t2", ("t3",))])
    assert relation_of(category, both, every, every).numbers.tolist() == [1, 2]


def test_negatives_depend_on_the_seed_and_run_out(world):
    path, category, _ = world
    first, again, other = (solve(path, category, Measure.REGRESSION, seed).items["c"][1] for seed in (0, 0, 1))
    assert first.among_all.tolist() == again.among_all.tolist() != other.among_all.tolist()
    relation = Relation(*np.arange(6).reshape(3, 2))
    free = np.array([True, False, True, True])
    assert draw_negatives(relation, frozenset({0}), free, 0).tolist() == [2, 3]


def test_a_relation_of_one_pair_cannot_be_learned(tmp_path):
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(4), np.eye(4))
    category = Category("c", (Question("t0", "t1", "t2", ("t3",)),), (("t0", ("t1",)),))
    with pytest.raises(InputError, match="no category has two pairs, which 3cosavg and lrcos need"):
        solve(path, category, Measure.AVERAGE)
    assert solve(path, category, Measure.ADD).counts.asked == 1
