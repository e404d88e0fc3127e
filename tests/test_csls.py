"""CSLS: against its formula in numpy, with what is left out, in every command that takes a metric."""

import json

import numpy as np
import pytest

from kotovec.errors import InputError, NotStoredError
from kotovec.store import Store
from kotovec.store.geometry.hubness import count_occurrences, measure
from kotovec.store.geometry.kept import find_or_make

import stores
from commands import call

RANDOM = np.random.default_rng(29)
# A cone around a direction, in which a few rows near that direction are hubs.
VECTORS = (RANDOM.standard_normal((500, 24)) * RANDOM.uniform(0.2, 2, (500, 1)) + np.eye(24)[0] * 3).astype(np.float32)
VECTORS[40], VECTORS[41] = VECTORS[39] * 2, 0
EXACT = VECTORS.astype(np.float64)
UNITS = EXACT / np.maximum(np.linalg.norm(EXACT, axis=1, keepdims=True), 1e-300)
FILLED = np.arange(500) != 41


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = stores.write_store(tmp_path_factory.mktemp("csls") / "x.kotovec", stores.numbered(500), VECTORS, [VECTORS])
    with Store.open(made) as store:
        find_or_make(store, "static", 12)
    return made


def nearest_ten(cosines):
    return np.sort(cosines)[-10:].mean()


def crowding():
    """The mean cosine of each row with its ten nearest others."""
    cosines = UNITS @ UNITS.T
    found = np.zeros(500)
    for row in np.flatnonzero(FILLED):
        others = FILLED & (np.arange(500) != row)
        found[row] = nearest_ten(cosines[row][others])
    return found


ROWS = crowding()


def expected(query):
    """2·cos − r(query) − r(row), of all rows."""
    cosines = UNITS @ (query / np.linalg.norm(query))
    others = cosines[FILLED & (cosines < 1 - 1e-9)]
    return 2 * cosines - nearest_ten(others) - ROWS


QUERIES = [EXACT[3], EXACT[39], EXACT[5] - EXACT[6] + EXACT[7], -EXACT[8], *RANDOM.standard_normal((70, 24))]


def test_scores_and_order_are_those_of_the_formula(folder):
    with Store.open(folder) as store:
        found = store.nearest(np.array(QUERIES), space="static", metric="csls", k=9)
    for query, (rows, scores) in zip(QUERIES, found, strict=True):
        every = expected(query)
        assert rows.tolist() == np.argsort(-every, kind="stable")[:9].tolist()
        np.testing.assert_allclose(scores, every[rows], atol=1e-10)


def test_rows_that_are_left_out_are_not_found_and_the_scores_stay(folder):
    keep = np.arange(500) % 3 == 0
    with Store.open(folder) as store:
        (rows, scores), all_of_them = (
            store.nearest(
                [QUERIES[2]], space="static", metric="csls", k=count, keep=keep, skip=[np.array([3, 9, 600])]
            )[0]
            for count in (5, 500)
        )
    every = expected(QUERIES[2])
    allowed = [row for row in np.argsort(-every, kind="stable").tolist() if keep[row] and row not in (3, 9)]
    assert rows.tolist() == allowed[:5]
    assert all_of_them.rows.tolist() == allowed
    np.testing.assert_allclose(scores, every[rows], atol=1e-10)


def test_query_ranks_neighbours_and_hubs_by_csls(folder, capsys):
    of = ("--store", folder, "--metric", "csls", "--space", "static")
    answer = json.loads(call(capsys, "query", "t5 - t6 + t7", *of, "-k", 4, "--rank", "t11", "--json").out)
    every = expected(QUERIES[2])
    order = np.argsort(-every, kind="stable").tolist()
    assert [hit["id"] for hit in answer["results"]] == order[:4]
    assert answer["ranks"][0]["rank"] == order.index(11) + 1
    assert answer["ranks"][0]["score"] == pytest.approx(every[11])
    assert "CSLS, larger is nearer" in call(capsys, "query", "t5", *of).out
    with Store.open(folder) as store:
        near = find_or_make(store, "static", 10, metric="csls")
        cosine = find_or_make(store, "static", 10)
    both = 2 * UNITS @ UNITS.T - ROWS - ROWS[:, np.newaxis]
    np.fill_diagonal(both, -np.inf)
    for row in (0, 39, 77):
        assert near.rows[row].tolist() == np.argsort(-both[row], kind="stable")[:10].tolist()
    skews = [measure(count_occurrences(each.rows, 500), 10, FILLED).skewness for each in (near, cosine)]
    assert skews[0] < skews[1] / 2
    rows = [json.loads(line) for line in call(capsys, "hubs", *of, "--json", "-n", 500).out.splitlines()]
    counts = np.bincount(near.rows[near.rows >= 0], minlength=500)
    assert [row["occurrences"] for row in rows] == sorted(counts[FILLED].tolist(), reverse=True)


def test_without_the_neighbours_the_command_that_finds_them_is_named_and_works(folder, capsys):
    refused = call(capsys, "query", "t5", "--space", "isolated", "--metric", "csls", "--store", folder)
    command = f"kotovec neighbours --space isolated@12 --store {folder}"
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"error: CSLS needs the nearest tokens of every token of isolated@12\nhint: run `{command}`\n"
    )
    with Store.open(folder) as store, pytest.raises(NotStoredError):
        store.ranks("t5", ["t6"], space="isolated", metric="csls")
    assert call(capsys, *command.split()[1:], "-q").code == 0
    assert call(capsys, "query", "t5", "--space", "isolated", "--metric", "csls", "--store", folder).code == 0


def test_what_csls_cannot_do_is_one_line(folder, capsys):
    answer = call(capsys, "index", "--metric", "csls", "--store", folder)
    assert (answer.code, answer.err) == (2, "error: no index searches by CSLS\nhint: choose `l2`, `cosine` or `ip`\n")
    with Store.open(folder) as store, pytest.raises(InputError, match="a query is not finite"):
        store.nearest([[np.nan] * 24], space="static", metric="csls", k=1)
