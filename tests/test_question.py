"""A question as a vector: `Store.question`, `Store.nearest`, and the neighbours of every row, against float64 numpy."""

import numpy as np
import pytest

from kotovec.errors import InputError, NotStoredError
from kotovec.store import Store
from kotovec.store.metric import Metric
from kotovec.store.neighbours import neighbours

import stores
from test_nearest import reference

COUNT, SIZE = 700, 12
RANDOM = np.random.default_rng(11)
VECTORS = (RANDOM.standard_normal((COUNT, SIZE)) + 3).astype(np.float32)
VECTORS[5] = 0
VECTORS[40:60] = VECTORS[30]  # ties
ISOLATED = (RANDOM.standard_normal((2, COUNT, 8)) + 1).astype(np.float16)
IDS = [3 * number for number in range(COUNT)]  # an id is no row


@pytest.fixture(scope="module", params=[["l2", "cosine", "ip"], []], ids=["indexes", "no indexes"])
def store(request, tmp_path_factory):
    tokens = stores.make_tokens([f"t{number}" for number in range(COUNT)], ids=IDS)
    folder = tmp_path_factory.mktemp("question") / "a.kotovec"
    stores.write_store(folder, tokens, VECTORS, ISOLATED, layers=(4, 8), dtype="float16", metrics=request.param)
    return Store.open(folder)


def stored(space):
    return VECTORS if space == "static" else ISOLATED[(4, 8).index(int(space.partition("@")[2] or 8))]


@pytest.mark.parametrize("metric", [Metric.L2, Metric.COSINE, Metric.IP])
@pytest.mark.parametrize("space", ["static", "isolated", "isolated@4"])
def test_the_nearest_of_vectors_are_those_of_float64(store, space, metric):
    queries = RANDOM.standard_normal((30, stored(space).shape[1]))
    found = store.nearest(queries, space=space, metric=metric, k=7)
    assert len(found) == 30
    for query, (rows, scores) in zip(queries, found, strict=True):
        order, expected = reference(stored(space), query, metric)
        assert (rows.dtype, scores.dtype) == (np.int64, np.float64)
        assert rows.tolist() == order[:7].tolist()
        assert scores == pytest.approx(expected[rows], rel=1e-11)
        ((alone, _),) = store.nearest([query.tolist()], space=space, metric=metric, k=7)
        assert alone.tolist() == rows.tolist()


@pytest.mark.parametrize("metric", [Metric.L2, Metric.COSINE, Metric.IP])
def test_rows_are_asked_for_by_their_vectors_and_rows_that_may_not_answer_are_left_out(store, metric):
    rows = [30, 45, 699, 0, 30]
    keep = RANDOM.random(COUNT) < 0.5
    skip = [np.array([row, 50, 51]) for row in rows]
    for row, left_out, found in zip(
        rows, skip, store.nearest(rows=rows, metric=metric, k=9, skip=skip, keep=keep), strict=True
    ):
        order, _ = reference(VECTORS, VECTORS[row].astype(np.float64), metric)
        assert found.rows.tolist() == [each for each in order.tolist() if keep[each] and each not in left_out][:9]
    few = np.arange(COUNT) < 3
    assert [len(found.rows) for found in store.nearest(rows=rows, k=9, keep=few)] == [3] * 5


def test_a_search_by_text_finds_what_its_vector_finds(store):
    question = store.question("t1 - t2 + 0.5*t3", "isolated@4")
    assert question.text == "t1 - t2 + 0.5*t3"
    assert question.rows.tolist() == [1, 2, 3]
    assert question.vector.tolist() == store.vector("t1 - t2 + 0.5*t3", "isolated@4").tolist()
    ((rows, scores),) = store.nearest(question.vector[np.newaxis], space="isolated@4", metric="cosine", k=10)
    hits = store.search("t1 - t2 + 0.5*t3", space="isolated@4", metric="cosine").hits
    assert [(IDS[row], score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True)] == [
        (hit.id, hit.score) for hit in hits
    ]


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_to_a_zero_vector_the_first_rows_are_as_near_as_any(store, metric):
    ((rows, scores),) = store.nearest(np.zeros((1, SIZE)), metric=metric, k=4)
    assert rows.tolist() == [0, 1, 2, 3]
    assert scores.tolist() == [0, 0, 0, 0]
    assert store.nearest(np.zeros((1, SIZE)), k=1)[0].rows.tolist() == [5]


def test_no_vectors_have_no_neighbours(store):
    assert store.nearest(np.empty((0, SIZE))) == []
    assert store.nearest(rows=[]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"takes vectors or rows, and none are given\nhint: give one of the two$"),
        ({"vectors": [[0.0] * SIZE], "rows": [1]}, "takes vectors or rows, and not both"),
        ({"vectors": np.ones(SIZE)}, r"queries are of shape \(12,\)\nhint: give one row per query, \(n, 12\)$"),
        ({"vectors": np.ones((2, 5))}, r"queries are of shape \(2, 5\)\nhint: give one row per query, \(n, 12\)$"),
        ({"vectors": [[np.nan] * SIZE]}, "not finite"),
        ({"vectors": [[1e200] * SIZE]}, "not finite"),
        (
            {"rows": [1, 2], "skip": [np.array([1])]},
            r"skip has 1 entry for 2 queries\nhint: give rows for each query$",
        ),
        (
            {"rows": [1], "keep": np.ones(3, dtype=bool)},
            r"keep is bool of shape \(3,\)\nhint: give bool of shape \(700,\)",
        ),
        ({"rows": [1], "keep": np.ones(COUNT)}, "keep is float64"),
        ({"rows": [1], "k": 0}, "k is 0"),
        ({"rows": [1], "metric": "l3"}, "unknown metric `l3`"),
        ({"rows": [1], "device": "tpu"}, "unknown device `tpu`"),
    ],
)
def test_what_does_not_fit_is_refused(store, options, message):
    with pytest.raises(InputError, match=message):
        store.nearest(**options)


@pytest.mark.parametrize("row", [-1, COUNT])
def test_a_row_that_is_none_is_named(store, row):
    with pytest.raises(NotStoredError, match=f"no row {row}: its rows go from 0 to 699"):
        store.nearest(rows=[0, row])


@pytest.mark.parametrize("metric", [Metric.L2, Metric.COSINE, Metric.IP])
def test_the_neighbours_of_every_row_are_those_of_float64_without_itself(store, metric, monkeypatch):
    monkeypatch.setattr("kotovec.store.neighbours.TOGETHER", 64)
    found = neighbours(store, "static", 6, metric=metric)
    assert found.rows.shape == found.scores.shape == (COUNT, 6)
    for row in range(COUNT):
        if row == 5 and metric is Metric.COSINE:
            assert found.rows[row].tolist() == [-1] * 6
            assert found.scores[row].tolist() == [0] * 6
            continue
        order, scores = reference(VECTORS, VECTORS[row].astype(np.float64), metric)
        assert found.rows[row].tolist() == order[order != row][:6].tolist()
        assert found.scores[row] == pytest.approx(scores[found.rows[row]], rel=1e-11, abs=1e-11)


def test_neighbours_of_some_rows_among_some_rows(store):
    keep = np.zeros(COUNT, dtype=bool)
    keep[[3, 9, 27]] = True
    found = neighbours(store, "isolated", 5, rows=[9, 100], metric="l2", keep=keep)
    assert found.rows.shape == (2, 3)
    assert sorted(found.rows[0].tolist()) == [-1, 3, 27]
    assert found.rows[0, 2] == -1
    assert sorted(found.rows[1].tolist()) == [3, 9, 27]


@pytest.mark.parametrize("vectors", [VECTORS, ISOLATED[0], VECTORS.astype(np.float64)])
def test_rows_scaled_for_cosine_have_length_1_and_zero_rows_stay_zero(vectors):
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    scaled = Metric.COSINE.scaled(vectors, norms)
    assert scaled.dtype == np.float32
    assert np.linalg.norm(scaled, axis=1) == pytest.approx((norms > 0).astype(float), abs=1e-6)
    assert np.array_equal(Metric.L2.scaled(vectors, norms), vectors.astype(np.float32))
