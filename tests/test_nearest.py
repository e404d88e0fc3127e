"""The nearest rows are those of float64 arithmetic over all rows, in order, ties by id."""

import math
from fractions import Fraction

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kotovec.store.index import flat
from kotovec.store.metric import Metric
from kotovec.store.nearest import Choice, Matrix, nearest
from kotovec.store.products import search_products
from kotovec.store.search import search_index, search_vectors

METRICS = [Metric.L2, Metric.COSINE, Metric.IP]
RANDOM = np.random.default_rng(7)
ROWS, SIZE = 3000, 64
COMMON = RANDOM.standard_normal(SIZE) * 300  # what all vectors of an anisotropic space share


def gaussian():
    return RANDOM.standard_normal((ROWS, SIZE))


def anisotropic():
    return gaussian() + COMMON


def duplicated():
    """1,000 rows are one and the same."""
    vectors = gaussian()
    vectors[RANDOM.permutation(ROWS)[:1000]] = vectors[0]
    return vectors


def with_zero_rows():
    vectors = gaussian()
    vectors[::7] = 0
    return vectors


def of_all_lengths():
    """Norms from 1e-6 to 1e6 times the usual."""
    return gaussian() * np.logspace(-6, 6, ROWS)[RANDOM.permutation(ROWS), np.newaxis]


def tiny():
    """Squares that float32 cannot hold."""
    return gaussian() * 1e-25


def huge():
    return gaussian() * 1e25


def subnormal():
    return gaussian() * 1e-40


def one_sided():
    """Nearly one and the same vector of norm 3,000, with rows that occur 2 to 600 times."""
    vectors = gaussian() + COMMON * (3000 / np.linalg.norm(COMMON))
    places = RANDOM.permutation(ROWS)
    vectors[places[:600]] = vectors[places[0]]
    vectors[places[600:800]] = vectors[places[800:1000]]
    return vectors


KINDS = {
    kind.__name__: kind().astype(np.float32)
    for kind in (gaussian, anisotropic, duplicated, with_zero_rows, of_all_lengths, tiny, huge, subnormal, one_sided)
}


def norms_of(vectors):
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


def matrix_of(vectors):
    return Matrix(vectors, norms_of(vectors))


def reference(vectors, query, metric):
    """All rows, best first, and all scores: float64 numpy."""
    vectors = vectors.astype(np.float64)
    if metric is Metric.L2:
        scores = np.square(vectors - query).sum(axis=1)
    else:
        scores = (vectors * query).sum(axis=1)
        if metric is Metric.COSINE:
            lengths = norms_of(vectors) * np.linalg.norm(query)
            scores = np.clip(np.where(lengths > 0, scores / np.where(lengths > 0, lengths, 1), 0), -1, 1)
    return np.argsort(scores if metric is Metric.L2 else -scores, kind="stable"), scores


def sums(vectors, count=40):
    """Sums of three rows, as word arithmetic makes them, and single rows."""
    vectors = vectors.astype(np.float64)
    rows = RANDOM.integers(0, len(vectors), (count, 3))
    arithmetic = vectors[rows[:, 0]] - vectors[rows[:, 1]] + vectors[rows[:, 2]]
    queries = np.concatenate([arithmetic, vectors[rows[:10, 0]]])
    return queries[np.linalg.norm(queries, axis=1) > 0]


def anything(queries):
    return Choice([np.empty(0, dtype=np.int64)] * len(queries))


def ways(vectors, metric):
    matrix = matrix_of(vectors)
    return {"index": search_index(flat(matrix, metric)), "vectors": search_vectors(matrix, metric)}


@pytest.fixture(params=[1, 10**9], ids=["expanded", "direct"])
def formula(request):
    """For l2 faiss sums (x − y)², or from some number of queries on ‖x‖² + ‖y‖² − 2xy: 20, or 128,000 on others."""
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = request.param
    yield
    faiss.cvar.distance_compute_blas_threshold = before


@pytest.mark.usefixtures("formula")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_are_those_of_float64_in_order(kind, metric):
    vectors = KINDS[kind]
    queries = sums(vectors)
    expected = [reference(vectors, query, metric) for query in queries]
    for candidates in ways(vectors, metric).values():
        found = nearest(matrix_of(vectors), queries, 10, metric, anything(queries), candidates)
        for (rows, scores), (order, all_scores) in zip(found, expected, strict=True):
            assert rows.tolist() == order[:10].tolist()
            assert scores == pytest.approx(all_scores[order[:10]], rel=1e-12, abs=0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["gaussian", "anisotropic", "duplicated", "tiny", "huge"])
def test_one_by_one_and_in_a_batch_the_answers_are_the_same_to_the_last_bit(kind, metric):
    vectors = KINDS[kind]
    queries = sums(vectors)
    matrix = matrix_of(vectors)
    for candidates in ways(vectors, metric).values():  # in the vectors, one is found by faiss and many by products
        batch = nearest(matrix, queries, 10, metric, anything(queries), candidates)
        for query, (rows, scores) in zip(queries, batch, strict=True):
            ((alone, its_scores),) = nearest(matrix, query[np.newaxis], 10, metric, anything([query]), candidates)
            assert alone.tolist() == rows.tolist()
            assert its_scores.tolist() == scores.tolist()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [1, 27, 700, ROWS])
@pytest.mark.parametrize("kind", ["gaussian", "anisotropic", "with_zero_rows", "of_all_lengths"])
def test_products_find_the_best_rows_within_the_error_that_the_proof_allows(kind, count, metric):
    """No row that is left out may be better than the last one by more than that: else the proof proves nothing."""
    vectors = KINDS[kind]
    matrix, queries = matrix_of(vectors), sums(vectors)
    if metric is Metric.COSINE:
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    found, found_rows = search_products(matrix, metric)(queries.astype(np.float32), count)
    sign = 1 if metric is Metric.L2 else -1
    for query, scores, rows in zip(queries, found * sign, found_rows, strict=True):
        true = reference(vectors, query, metric)[1] * sign
        error = metric.float32_error(query, matrix.longest)
        assert len(set(rows.tolist())) == count
        assert (np.diff(scores) >= 0).all()
        assert np.abs(scores - true[rows]).max() <= error
        assert np.delete(true, rows).min(initial=np.inf) >= scores[-1] - error


@pytest.mark.parametrize("kind", ["anisotropic", "tiny", "huge"])
def test_raw_faiss_alone_orders_some_of_them_otherwise(kind, monkeypatch):
    """What the rescoring is for: without it these answers are wrong."""
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 20)
    vectors = KINDS[kind]
    queries = sums(vectors)
    index = faiss.IndexFlatL2(SIZE)
    index.add(vectors)
    _, rows = index.search(queries.astype(np.float32), 10)
    expected = [reference(vectors, query, Metric.L2)[0][:10].tolist() for query in queries]
    assert sum(a != b for a, b in zip(rows.tolist(), expected, strict=True)) > 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_thousand_equal_rows_come_in_the_order_of_their_ids(metric):
    vectors = KINDS["duplicated"]
    equal = np.flatnonzero((vectors == vectors[0]).all(axis=1))
    assert len(equal) >= 1000
    query = vectors[:1].astype(np.float64)
    for candidates in ways(vectors, metric).values():
        ((rows, scores),) = nearest(matrix_of(vectors), query, 900, metric, anything(query), candidates)
        order, all_scores = reference(vectors, query[0], metric)
        assert rows.tolist() == order[:900].tolist()
        if metric is not Metric.IP:
            assert rows.tolist() == equal[:900].tolist()
            assert len(set(scores.tolist())) == 1
        assert scores == pytest.approx(all_scores[rows], rel=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_k_may_be_all_rows(metric):
    vectors = KINDS["with_zero_rows"]
    queries = sums(vectors, 4)
    found = nearest(matrix_of(vectors), queries, ROWS, metric, anything(queries), ways(vectors, metric)["index"])
    for query, (rows, _) in zip(queries, found, strict=True):
        assert rows.tolist() == reference(vectors, query, metric)[0].tolist()


def test_a_zero_row_has_cosine_0():
    vectors = np.array([[0, 0], [1, 0], [-1, 0], [0, 1]], dtype=np.float32)
    query = np.array([[2.0, 0.0]])
    candidates = ways(vectors, Metric.COSINE)["vectors"]
    ((rows, scores),) = nearest(matrix_of(vectors), query, 4, Metric.COSINE, anything(query), candidates)
    assert rows.tolist() == [1, 0, 3, 2]
    assert scores.tolist() == [1, 0, 0, -1]


def test_no_cosine_is_beyond_1():
    """82, 106, 20 and its multiples had 1.0000000000000002, of which math.acos raises."""
    vectors = np.outer([1, 2, 3, -3, 5, 1e-20, -7, 1e4], [82, 106, 20]).astype(np.float32)
    queries = np.array(vectors, np.float64)
    found = nearest(
        matrix_of(vectors), queries, 8, Metric.COSINE, anything(queries), ways(vectors, Metric.COSINE)["vectors"]
    )
    scores = np.array([scores for _, scores in found])
    assert np.abs(scores).max() == 1
    np.testing.assert_allclose(np.abs(scores), 1, rtol=1e-7)  # the rows are rounded to float32, 1e-20 times 82 too


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_may_not_answer_are_left_out_and_the_next_ones_move_up(metric):
    vectors = KINDS["anisotropic"]
    queries = sums(vectors, 20)
    keep = RANDOM.random(ROWS) < 0.1
    skip = [RANDOM.integers(0, ROWS, 50) for _ in queries]
    found = nearest(matrix_of(vectors), queries, 10, metric, Choice(skip, keep), ways(vectors, metric)["index"])
    for query, left_out, (rows, _) in zip(queries, skip, found, strict=True):
        order, _ = reference(vectors, query, metric)
        expected = [row for row in order.tolist() if keep[row] and row not in left_out][:10]
        assert rows.tolist() == expected


def test_fewer_rows_than_k_are_all_that_there_is():
    vectors = KINDS["gaussian"]
    query = sums(vectors, 1)[:1]
    keep = np.zeros(ROWS, dtype=bool)
    keep[[5, 17]] = True
    candidates = ways(vectors, Metric.L2)["index"]
    ((rows, _),) = nearest(matrix_of(vectors), query, 10, Metric.L2, Choice([np.array([17])], keep), candidates)
    assert rows.tolist() == [5]


def test_float16_rows_are_compared_as_they_are_stored():
    vectors = (RANDOM.standard_normal((ROWS, SIZE)) + 3).astype(np.float16)
    queries = sums(vectors)
    for metric in METRICS:
        for candidates in ways(vectors, metric).values():
            found = nearest(matrix_of(vectors), queries, 10, metric, anything(queries), candidates)
            for query, (rows, _) in zip(queries, found, strict=True):
                assert rows.tolist() == reference(vectors, query, metric)[0][:10].tolist()


small = st.integers(-2, 2)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS), count=st.integers(1, 400), size=st.integers(1, 4))
def test_among_many_ties_of_whole_numbers_the_order_is_that_of_exact_arithmetic(data, metric, count, size):
    """Rows of whole numbers: l2 and ip are exact in float64, so Python's own integers are the reference."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).integers(-2, 3, (count, size)).astype(np.float32)
    query = np.array(data.draw(st.lists(small, min_size=size, max_size=size).filter(any)), dtype=np.float64)
    k = data.draw(st.integers(1, count))
    skip = data.draw(st.lists(st.integers(0, count - 1), max_size=5))

    def rank(row):
        products = [int(x) * int(y) for x, y in zip(vectors[row], query, strict=True)]
        if metric is Metric.L2:
            return sum((int(x) - int(y)) ** 2 for x, y in zip(vectors[row], query, strict=True))
        if metric is Metric.IP:
            return -sum(products)
        square = sum(int(x) ** 2 for x in vectors[row])
        cosine = sum(products)  # compared by sign and square: exact, without roots
        return -Fraction(cosine * abs(cosine), square) if square else Fraction(0)

    allowed = [row for row in range(count) if row not in skip]
    expected = sorted(allowed, key=lambda row: (rank(row), row))[:k]
    for candidates in ways(vectors, metric).values():
        ((rows, _),) = nearest(
            matrix_of(vectors), query[np.newaxis], k, metric, Choice([np.array(skip, np.int64)]), candidates
        )
        if metric is Metric.COSINE:  # equal cosines of different rows may round differently
            assert [rank(row) for row in rows.tolist()] == [rank(row) for row in expected]
        else:
            assert rows.tolist() == expected


@pytest.mark.usefixtures("formula")
@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["gaussian", "anisotropic", "of_all_lengths", "tiny", "huge", "subnormal"])
def test_no_score_of_faiss_is_wrong_by_more_than_the_bound(kind, metric, batch):
    vectors = KINDS[kind]
    queries = sums(vectors, 64)[:batch]
    longest = float(norms_of(vectors).max())
    block = queries / np.linalg.norm(queries, axis=1, keepdims=True) if metric is Metric.COSINE else queries
    scores, rows = ways(vectors, metric)["vectors"](block.astype(np.float32), ROWS)
    for place, query in enumerate(queries):
        bound = metric.float32_error(query, longest)
        if math.isinf(bound):
            assert kind == "huge"
            assert metric is not Metric.COSINE
            continue
        true = reference(vectors, query, metric)[1][rows[place]]
        assert rows[place].min() >= 0
        assert np.abs(scores[place] - true).max() <= bound


def test_the_bound_settles_most_queries_of_an_ordinary_space_at_the_first_asking():
    """Else every query would scan all rows in float64, and faiss would be of no use."""
    vectors = KINDS["gaussian"]
    queries = sums(vectors)
    asked = []
    candidates = ways(vectors, Metric.L2)["index"]

    def counting(block, count):
        asked.append(len(block))
        return candidates(block, count)

    nearest(matrix_of(vectors), queries, 10, Metric.L2, anything(queries), counting)
    assert asked == [len(queries)]


def test_an_approximate_finder_is_believed_but_its_scores_are_exact():
    vectors = KINDS["gaussian"]
    query = sums(vectors, 1)[:1]
    rows = np.array([[44, 3, -1, 99]])

    def candidates(block, count):
        return np.zeros((1, 4), dtype=np.float32), rows

    ((found, scores),) = nearest(matrix_of(vectors), query, 10, Metric.L2, anything(query), candidates, exact=False)
    true = reference(vectors, query[0], Metric.L2)[1]
    assert found.tolist() == sorted([44, 3, 99], key=lambda row: true[row])
    assert scores == pytest.approx(sorted(true[[44, 3, 99]]), rel=1e-12)
