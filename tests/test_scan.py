"""Where float32 proves nothing: a scan of all rows, exact, in bounded memory, and no calls in vain."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from kotovec.store import nearest as module
from kotovec.store import products
from kotovec.store.metric import Metric
from kotovec.store.nearest import Choice, Matrix, nearest, score
from kotovec.store.search import search_vectors

from test_nearest import (
    KINDS,
    METRICS,
    RANDOM,
    ROWS,
    anything,
    matrix_of,
    reference,
    sums,
    ways,
)


def spied(candidates, asked):
    def spy(block, count):
        asked.append((len(block), count))
        return candidates(block, count)

    return spy


def proves_nothing(monkeypatch, *, promising):
    monkeypatch.setattr(module, "_outlook", lambda *_: (False, promising))


def test_a_block_takes_bounded_memory_whatever_the_dimensions(monkeypatch):
    """A sparse space of 131,072 dimensions, 300 KB on the disk, took a query 15 GB."""
    monkeypatch.setattr(products, "LARGEST", 1 << 20)
    wide = Matrix(np.broadcast_to(np.float16(1), (70, 1 << 14)), np.full(70, 128.0))
    assert [(start, len(block)) for start, block in products.blocks(wide, Metric.L2, 65536)] == [
        (0, 16),
        (16, 16),
        (32, 16),
        (48, 16),
        (64, 6),
    ]
    wider = Matrix(np.broadcast_to(np.float16(1), (2, 1 << 19)), np.ones(2))
    assert [start for start, _ in products.blocks(wider, Metric.COSINE, 65536)] == [0, 1]


@pytest.mark.parametrize("way", ["rescored", "scanned"])
@pytest.mark.parametrize("count", [1, 9])
def test_float64_and_products_take_bounded_memory_whatever_the_dimensions(way, count, monkeypatch):
    """Blocks had 4,096 rows: 4 GB of float64 at 131,072 dimensions."""
    if way == "scanned":
        proves_nothing(monkeypatch, promising=False)
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(products, "LARGEST", 1 << 20)
    wide = Matrix(np.broadcast_to(np.float16(1), (600, 1 << 14)), np.full(600, 128.0))
    queries = np.ones((count, 1 << 14))
    candidates = products.search_products(wide, Metric.L2)
    tracemalloc.start()
    found = nearest(wide, queries, 300, Metric.L2, anything(queries), candidates)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [rows.tolist() for rows, _ in found] == [list(range(300))] * count
    assert peak < (6 << 20) + 3 * queries.nbytes  # 600 rows in float64 take 79 MB


@pytest.fixture
def small_parts(monkeypatch):
    """A scan of 3,000 rows and 50 queries in several blocks and parts, uneven at their ends."""
    monkeypatch.setattr(module, "SCAN_BLOCK", 700)
    monkeypatch.setattr(module, "SCAN_QUERIES", 16)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("restricted", [False, True], ids=["all", "skip-keep"])
@pytest.mark.parametrize("k", [1, 10, 1000, ROWS])
@pytest.mark.parametrize("metric", METRICS)
def test_where_float32_proves_nothing_a_batch_still_gets_the_float64_order_ties_by_id(metric, k, restricted):
    vectors = KINDS["one_sided"]
    queries = sums(vectors, 30)
    keep = RANDOM.random(ROWS) < 0.4 if restricted else np.ones(ROWS, dtype=bool)
    skip = [RANDOM.integers(0, ROWS, 50 if restricted else 0) for _ in queries]
    choice = Choice(skip, keep if restricted else None)
    found = nearest(matrix_of(vectors), queries, k, metric, choice, ways(vectors, metric)["index"])
    for query, left_out, (rows, scores) in zip(queries, skip, found, strict=True):
        order, all_scores = reference(vectors, query, metric)
        expected = order[keep[order] & ~np.isin(order, left_out)][:k]
        assert rows.tolist() == expected.tolist()
        assert scores.tolist() == all_scores[expected].tolist()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_of_all_rows_equals_float64_to_the_last_bit_on_all_kinds_of_rows(kind, metric, monkeypatch):
    proves_nothing(monkeypatch, promising=False)
    vectors = KINDS[kind]
    queries = sums(vectors)
    found = nearest(matrix_of(vectors), queries, 10, metric, anything(queries), ways(vectors, metric)["index"])
    for query, (rows, scores) in zip(queries, found, strict=True):
        order, all_scores = reference(vectors, query, metric)
        assert rows.tolist() == order[:10].tolist()
        assert scores.tolist() == all_scores[order[:10]].tolist()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_exact_score_lies_outside_the_range_that_its_product_allows(kind, metric):
    matrix = matrix_of(KINDS[kind])
    for scale in (1e-120, 1e-90, 1, 1e90):
        for query in sums(matrix.vectors, 5)[:8] * scale:
            exact = reference(matrix.vectors, query, metric)[1] * (1 if metric is Metric.L2 else -1)
            products = matrix.vectors.astype(np.float64) @ query
            low, high = metric.bounds(products, matrix.norms, query)
            assert (low <= exact).all()
            assert (exact <= high).all()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("metric", METRICS)
def test_a_scan_sums_few_rows_exactly_besides_the_product(metric, monkeypatch):
    """Else the product is of no use, and every query costs a pass over all rows of its own."""
    proves_nothing(monkeypatch, promising=False)
    vectors = KINDS["anisotropic"]
    queries = sums(vectors)
    candidates = ways(vectors, metric)["index"]
    summed = []
    exact = Metric.exact
    monkeypatch.setattr(Metric, "exact", lambda self, rows, *rest: summed.append(len(rows)) or exact(self, rows, *rest))
    nearest(matrix_of(vectors), queries, 10, metric, anything(queries), candidates)
    assert sum(summed) <= len(queries) * (27 + 40)  # the candidates, and less than ten of each of five blocks


@pytest.mark.parametrize("promising", [False, True])
def test_no_call_asks_for_more_candidates_than_its_memory_allows(promising, monkeypatch):
    monkeypatch.setattr(module, "MOST_CANDIDATES", 2000)
    proves_nothing(monkeypatch, promising=promising)
    vectors = KINDS["gaussian"]
    queries = sums(vectors, 150)
    asked = []
    candidates = spied(ways(vectors, Metric.L2)["vectors"], asked)
    found = nearest(matrix_of(vectors), queries, 10, Metric.L2, anything(queries), candidates)
    assert max(some * count for some, count in asked) <= 2000
    assert sorted({count for _, count in asked}) == ([27, 108, 432] if promising else [27])
    for count in {count for _, count in asked}:
        assert sum(some for some, its in asked if its == count) == len(queries)
    for query, (rows, _) in zip(queries, found, strict=True):
        assert rows.tolist() == reference(vectors, query, Metric.L2)[0][:10].tolist()


def test_a_large_k_is_asked_for_in_parts():
    vectors = np.tile(RANDOM.standard_normal((10_000, 4)).astype(np.float32), (8, 1))
    queries = vectors[:80].astype(np.float64)
    asked = []
    candidates = spied(search_vectors(matrix_of(vectors), Metric.L2), asked)
    found = nearest(matrix_of(vectors), queries, 19_000, Metric.L2, anything(queries), candidates)
    assert asked
    assert max(some * count for some, count in asked) <= 2**20
    for query, (rows, _) in list(zip(queries, found, strict=True))[::20]:
        assert rows.tolist() == reference(vectors, query, Metric.L2)[0][:19_000].tolist()


@pytest.mark.parametrize("kind", ["one_sided", "huge"])
def test_more_candidates_are_not_fetched_where_they_cannot_prove_more(kind):
    vectors = KINDS[kind]
    queries = sums(vectors)
    asked = []
    candidates = spied(ways(vectors, Metric.L2)["index"], asked)
    nearest(matrix_of(vectors), queries, 10, Metric.L2, anything(queries), candidates)
    assert asked == [(len(queries), 27)]


@pytest.mark.parametrize("some", [3, 50], ids=["faiss", "products"])
def test_candidates_of_several_blocks_are_those_of_one(some, monkeypatch):
    vectors = KINDS["duplicated"]
    queries = sums(vectors).astype(np.float32)[-some:]
    for metric in (Metric.L2, Metric.IP):
        whole = search_vectors(matrix_of(vectors), metric)(queries, 700)
        with monkeypatch.context() as patch:
            patch.setattr("kotovec.store.search.BLOCK", 500)  # fewer rows than candidates, and six blocks of them
            patch.setattr(
                "kotovec.store.products._growing", lambda matrix, _: pairwise(range(0, len(matrix.vectors) + 1, 300))
            )
            parts = search_vectors(matrix_of(vectors), metric)(queries, 700)
        assert parts[0] == pytest.approx(whole[0], rel=1e-4, abs=1e-3)
        for query, scores, rows in zip(queries, *parts, strict=True):
            assert len(set(rows.tolist())) == 700
            true = score(matrix_of(vectors), query.astype(np.float64), metric, rows)
            assert scores == pytest.approx(true, rel=1e-4, abs=1e-3)
