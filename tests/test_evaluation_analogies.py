"""Analogies: ranks equal those of gensim and of ten lines of float64 numpy; landings, ties and intervals are right."""

import numpy as np
import pytest

from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.evaluation import ranks as ranks_module
from kotovec.store.evaluation.analogies import evaluate_analogies
from kotovec.store.evaluation.measures import EPSILON, Measure, Terms
from kotovec.store.evaluation.pairs import Asked
from kotovec.store.evaluation.problems import LANDINGS, padded
from kotovec.store.evaluation.questions import Category, Question
from kotovec.store.evaluation.ranks import Candidates, Run, rank
from kotovec.store.evaluation.relations import LEARNED
from kotovec.store.evaluation.words import Policy

import stores

OF_QUESTIONS = [measure for measure in Measure if measure not in LEARNED]
COUNT, WIDTH, QUESTIONS = 600, 20, 2000


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(4)
    return (random.normal(size=(COUNT, WIDTH)) * random.uniform(0.5, 2, size=(COUNT, 1)) + 0.3).astype(np.float32)


@pytest.fixture(scope="module")
def questions():
    """2,000 questions, whose answers are among the nearest rows as often as not."""
    return np.random.default_rng(6).permuted(np.tile(np.arange(COUNT), (QUESTIONS, 1)), axis=1)[:, :4]


@pytest.fixture(scope="module")
def solved(vectors, questions, tmp_path_factory):
    """The ranks of the public function, through a store, by every measure."""
    path = stores.write_store(tmp_path_factory.mktemp("solved") / "a.kotovec", stores.numbered(COUNT), vectors)
    asked = [Question(*(f"t{row}" for row in each[:3]), (f"t{each[3]}",)) for each in questions]
    categories = [Category.of("first", asked[:700]), Category.of("second", asked[700:])]
    with Store.open(path) as opened:
        found = evaluate_analogies([Asked("a", opened, [Space("static")])], categories, Policy(), OF_QUESTIONS)
    return {each.measure: each for each in found}


def ranks_of(solved, kind):
    return np.concatenate([getattr(each, kind) for _, each in solved.items.values()]).tolist()


def scores_by_hand(measure, vectors, a, a_star, b):
    vectors = vectors.astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if measure is Measure.L2:
        return -((vectors - (vectors[a_star] - vectors[a] + vectors[b])) ** 2).sum(axis=1)
    if measure is Measure.DIRECTION:
        offset, away = unit[a_star] - unit[a], unit - unit[b]
        lengths = np.linalg.norm(away, axis=1) * np.linalg.norm(offset)
        return np.divide(away @ offset, lengths, out=np.zeros(len(unit)), where=lengths > 1e-9)
    near, far, of_b = unit @ unit[a_star], unit @ unit[a], unit @ unit[b]
    if measure is Measure.MUL:
        return (1 + near) / 2 * (1 + of_b) / 2 / ((1 + far) / 2 + EPSILON)
    return of_b if measure is Measure.ONLY_B else near - far + of_b


@pytest.mark.parametrize("measure", OF_QUESTIONS)
def test_all_ranks_are_those_of_ten_lines_of_numpy(solved, vectors, questions, measure):
    among_all, without_inputs, first = [], [], []
    for *inputs, answer in questions:
        scores = scores_by_hand(measure, vectors, *inputs)
        ahead = scores > scores[answer] + 1e-12
        among_all.append(1 + ahead.sum())
        without_inputs.append(1 + ahead.sum() - ahead[inputs].sum())
        first.append(scores.argmax())
    assert ranks_of(solved[measure], "among_all") == among_all
    assert ranks_of(solved[measure], "without_inputs") == without_inputs
    assert ranks_of(solved[measure], "first") == first


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("measure", "search"), [(Measure.ADD, "most_similar"), (Measure.MUL, "most_similar_cosmul")])
def test_all_ranks_are_gensims(solved, vectors, questions, measure, search):
    models = pytest.importorskip("gensim.models")
    keyed = models.KeyedVectors(WIDTH, dtype=np.float64)
    keyed.add_vectors([f"t{row}" for row in range(COUNT)], vectors.astype(np.float64))
    expected = []
    for a, a_star, b, answer in questions.tolist():
        options = {"positive": [f"t{b}", f"t{a_star}"], "negative": [f"t{a}"], "topn": COUNT}
        names = [name for name, _ in getattr(keyed, search)(**options)]
        expected.append(1 + names.index(f"t{answer}"))
    assert ranks_of(solved[measure], "without_inputs") == expected


def test_the_share_that_gensim_answers_right_is_accuracy_at_1(solved, vectors, questions):
    ranks = np.array(ranks_of(solved[Measure.ADD], "without_inputs"))
    score = solved[Measure.ADD].without_inputs
    shares = [(ranks <= cut).mean() for cut in (1, 5, 10)]
    assert [each.value for each in score.accuracy] == pytest.approx(shares, abs=1e-12)
    assert score.reciprocal.value == pytest.approx((1 / ranks).mean(), abs=1e-12)
    assert (score.accuracy[0].low, score.accuracy[0].high) == (None, None)  # of two categories
    first, second = (each[0] for each in solved[Measure.ADD].categories.values())
    assert (first.questions, second.questions) == (700, 1300)
    assert (700 * first.accuracy[2].value + 1300 * second.accuracy[2].value) / 2000 == pytest.approx(shares[2])


def test_blocks_change_nothing(solved, vectors, questions, monkeypatch):
    monkeypatch.setattr(ranks_module, "BLOCK", 97)
    monkeypatch.setattr(ranks_module, "TOGETHER", 7)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    candidates = Candidates(vectors, norms, np.ones(COUNT, dtype=bool))
    terms = Terms(candidates.unit(slice(None)), norms, *questions.T[:3])
    answers, inputs = questions[:, 3:], np.sort(questions[:, :3])
    runs = [
        Run(terms.unit, terms.scorer(each), answers, inputs, terms.tie(each, candidates.longest))
        for each in OF_QUESTIONS
    ]
    for measure, found in zip(OF_QUESTIONS, rank(candidates, runs), strict=True):
        for kind in ("among_all", "without_inputs", "first"):
            assert getattr(found, kind).tolist() == ranks_of(solved[measure], kind)


def solve(path, categories, measures, **options):
    with Store.open(path) as opened:
        return evaluate_analogies([Asked("a", opened, opened.spaces[:1])], categories, Policy(), measures, **options)


def category(*lines):
    return Category.of("c", [Question(*line.split()[:3], tuple(line.split()[3].split("/"))) for line in lines])


def test_equal_scores_are_ordered_by_row(tmp_path):
    """t3, t4 and t5 are the same vector, and so are b and t6."""
    vectors = np.eye(7)
    vectors[4] = vectors[5] = vectors[3]
    vectors[6] = vectors[2]
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(7), vectors)
    found = solve(path, [category("t0 t3 t2 t4", "t0 t3 t2 t5", "t0 t4 t2 t3", "t0 t3 t2 t6")], [Measure.ADD])[0]
    _, ranks = found.items["c"]
    assert ranks.among_all.tolist() == [3, 4, 2, 5]  # t2 3 4 5 6 all have the score 1: t2 is first
    assert ranks.first.tolist() == [2, 2, 2, 2]
    assert ranks.without_inputs.tolist() == [1, 2, 1, 3]
    assert found.landed == {"answer": 0, "b": 1, "a*": 0, "a": 0, "other": 0}


def test_the_best_of_several_answers_counts_and_one_that_is_an_input_only_among_all(tmp_path):
    vectors = np.eye(8)[:, :6]
    vectors[6], vectors[7] = [0, 0.1, 1, 0, 0, 0.2], [0, 0.6, 0.5, 0, 0, 0]
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(8), vectors)
    lines = ["t0 t1 t2 t5/t7", "t0 t1 t2 t7/none", "t0 t1 t2 t2/t5", "t0 t1 t2 t2", "t0 t1 t2 none", "t0 t1 no t2"]
    found = solve(path, [category(*lines)], [Measure.ADD])[0]
    numbers, ranks = found.items["c"]
    assert numbers.tolist() == [0, 1, 2, 3]
    # Scores: t7 1.41, t6 1.07, t1 and t2 1, t3 t4 t5 0, t0 −1.
    assert ranks.among_all.tolist() == [1, 1, 4, 4]
    assert ranks.without_inputs.tolist() == [1, 1, 5, 0]
    assert found.landed["answer"] == 0.5
    assert [each.value for each in found.without_inputs.accuracy] == [0.5, 0.75, 0.75]
    assert found.without_inputs.reciprocal.value == pytest.approx((1 + 1 + 0.2 + 0) / 4)
    assert (found.counts.items, found.counts.asked, found.counts.unknown) == (6, 4, 2)


def test_inputs_are_left_out_and_answers_are_found_in_all_their_forms(tmp_path):
    texts = ["king", "queen", "man", "woman", "##king", "##queen", "other"]
    vectors = np.eye(7)
    vectors[4] = vectors[0] + 0.01 * np.eye(7)[4]
    vectors[5] = vectors[0] + vectors[3] - vectors[2] + 0.01 * np.eye(7)[5]
    path = stores.write_store(tmp_path / "a.kotovec", stores.make_tokens(texts), vectors)
    found = solve(path, [category("man woman king queen")], [Measure.ADD, Measure.ONLY_B])
    assert [each.items["c"][1].without_inputs.tolist() for each in found] == [[1], [1]]
    assert [each.items["c"][1].first.tolist() for each in found] == [[5], [0]]
    assert [each.landed["answer"] for each in found] == [1, 0]
    assert found[1].landed == {"answer": 0, "b": 1, "a*": 0, "a": 0, "other": 0}


def test_rows_without_a_vector_are_neither_asked_nor_answers(tmp_path):
    vectors = np.eye(6)
    vectors[5] = [0.5, 2, 2, 0, 0, 0]
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(6), vectors)
    counts = np.array([1, 1, 1, 1, 1, 0])
    stores.add_means(path, Space("context", 2), vectors, counts)
    with Store.open(path) as opened:
        spaces = [Space("context", 2), Space("static")]
        questions = [category("t0 t1 t2 t3", "t0 t1 t2 t5", "t5 t1 t2 t3")]
        found = evaluate_analogies([Asked("a", opened, spaces)], questions, Policy(), [Measure.ADD])
    assert [each.items["c"][0].tolist() for each in found] == [[0], [0]]
    assert [each.items["c"][1].without_inputs.tolist() for each in found] == [[1], [2]]
    assert found[0].counts.absent == 1


def test_landings_have_the_order_of_the_question(tmp_path):
    assert LANDINGS == ("answer", "b", "a*", "a", "other")
    vectors = np.array([[1, 0, 0], [0.9, 0.5, 0], [0, 0, 1], [0, 1, 0], [0.3, 0.1, 0.05]], dtype=float)
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(5), vectors)
    found = solve(path, [category("t2 t1 t0 t3", "t1 t0 t2 t3")], [Measure.ADD])[0]
    scores = [scores_by_hand(Measure.ADD, vectors, *rows) for rows in ([2, 1, 0], [1, 0, 2])]
    names = {
        0: {0: "b", 1: "a*", 2: "a", 3: "answer", 4: "other"},
        1: {2: "b", 0: "a*", 1: "a", 3: "answer", 4: "other"},
    }
    expected = [names[index][int(each.argmax())] for index, each in enumerate(scores)]
    assert found.landed == {name: expected.count(name) / 2 for name in LANDINGS}


def test_rows_of_different_length_are_padded():
    assert padded([{3, 1}, set(), {2}]).tolist() == [[1, 3], [-1, -1], [2, -1]]
