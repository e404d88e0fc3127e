"""Rows that no sentence of a corpus has: they are no answer anywhere, and asked for they are refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kotovec.cli.page.data import page_data
from kotovec.errors import InputError, NotStoredError, UnknownTokenError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.audit import audit
from kotovec.store.cartography import MapRequest, find_map, make_map
from kotovec.store.listing import list_tokens
from kotovec.store.measure import build_index
from kotovec.store.moments import distances
from kotovec.store.neighbours import neighbours
from kotovec.store.tokens import Kind, Pieces, Strings, describe_words

from commands import call
from stores import add_contexts, add_means, numbered, write_store

ROWS, SIZE = 300, 8
SPACE = Space("context", 2)
HINT = "choose `static` or `isolated@12`"


@pytest.fixture
def gappy(tmp_path):
    """Every third token has no vector in context@2; those of the others surround zero, which would be near to all."""
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((ROWS, SIZE)).astype(np.float32)
    folder = write_store(tmp_path / "a.kotovec", numbered(ROWS), vectors)
    add_means(folder, SPACE, vectors * 0.3, np.arange(ROWS) % 3)
    with Store.open(folder) as store:
        yield store


def truth(store, query, metric, count):
    """Return the rows that a plain scan of those with a vector finds."""
    rows = np.flatnonzero(np.arange(ROWS) % 3)
    vectors = store.array(SPACE)[rows].astype(np.float64)
    scores = {
        "l2": -((vectors - query) ** 2).sum(axis=1),
        "cosine": vectors @ query / np.linalg.norm(vectors, axis=1),
        "ip": vectors @ query,
    }[metric]
    return rows[np.argsort(-scores, kind="stable")[:count]].tolist()


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("factory", [None, "Flat", "HNSW16", "IVF4,Flat", "SQ8"])
def test_no_search_finds_them(gappy, metric, factory):
    if factory is not None:
        parameters = {"IVF4,Flat": "nprobe=4", "HNSW16": "efSearch=300"}.get(factory, "")
        record, measured = build_index(gappy, SPACE, metric, factory=factory, parameters=parameters)
        assert record.factory == factory
        assert measured is None or measured.recall_at_10 > 0.9
    rng = np.random.default_rng(11)
    queries = np.concatenate([rng.standard_normal((30, SIZE)) * scale for scale in (1e-3, 1, -1)])
    with Store.open(gappy.path) as store:
        for count in (10, ROWS):
            for query, found in zip(queries, store.nearest(queries, space=SPACE, metric=metric, k=count), strict=True):
                expected = truth(store, query, metric, count)
                assert (found.rows % 3).all()
                assert len(found.rows) == len(expected)
                if factory in (None, "Flat"):
                    assert found.rows.tolist() == expected
        keep = np.arange(ROWS) < 30
        (found,) = store.nearest(queries[:1], space=SPACE, metric=metric, k=30, keep=keep)
        assert set(found.rows.tolist()) == {row for row in range(30) if row % 3}
        assert all(hit.id % 3 for hit in store.search("t1 - t2 + t4", space=SPACE, metric=metric, k=100).results)


def test_asked_for_they_get_one_line_and_the_spaces_that_have_them(gappy):
    expected = "`t3` has no vector in context@2: no sentence of the corpus has it"
    for ask in (
        lambda: gappy.search("t3", space=SPACE),
        lambda: gappy.vector("t1 + t3", SPACE),
        lambda: gappy.question("t3", SPACE),
        lambda: gappy.nearest(rows=[1, 3], space=SPACE),
    ):
        with pytest.raises(NotStoredError) as caught:
            ask()
        assert (str(caught.value), caught.value.hint) == (expected, HINT)
    assert gappy.search("t3", space="static", k=1).results[0].token == "t3"


@pytest.mark.parametrize(
    ("settings", "reason", "cure"),
    [
        ({"fraction": 1.0}, "no sentence of the corpus has it", "build the space again with a larger corpus"),
        (
            {"fraction": 0.02},
            "none of the sentences that --fraction 0.02 draws has it",
            "build the space again with a larger --fraction",
        ),
        (
            {"contexts-from": "0" * 64},
            "the store whose sentences were taken has none for it",
            "build the space again with --corpus",
        ),
    ],
)
def test_why_there_is_no_vector_is_what_the_build_was_asked_for(settings, reason, cure, tmp_path, capsys):
    """A larger corpus was the advice in all cases: to a special token, too."""
    path = tmp_path / "a.kotovec"
    kinds = [Kind[name] for name in ("SPECIAL", "UNUSED", "WORD", "WORD", "WORD", "EMPTY")]
    tokens = replace(numbered(6), kinds=np.array(kinds, dtype=np.uint8))
    write_store(path, tokens, np.eye(6, dtype=np.float32))
    add_means(path, SPACE, np.eye(6), [0, 0, 0, 2, 1, 0], made={"settings": settings})
    add_contexts(path, {"t3": [0, 1], "t4": [1]}, ["t3 is here", "t3 and t4"])
    for name in ("static", "isolated-12"):
        (path / "spaces" / f"{name}.h5").unlink()
    reasons = {"t0": "special tokens have no contexts", "t1": "unused tokens have no contexts", "t2": reason}
    reasons["t5"] = "empty tokens have no contexts"
    with Store.open(path) as store:
        for token, why in reasons.items():
            with pytest.raises(NotStoredError) as caught:
                store.vector(token, SPACE)
            assert str(caught.value).splitlines()[0] == f"`{token}` has no vector in context@2: {why}"
            assert caught.value.hint == (cure if token == "t2" else "name another token")
            assert store.contexts(token).reason == why
        ranks = store.ranks("t3", ["t4", *reasons], space=SPACE)
        assert [each.rank for each in ranks] == [2, None, None, None, None]
        assert [each.note for each in ranks[1:]] == [
            f"`{t}` has no rank in context@2: {why}" for t, why in reasons.items()
        ]
        assert store.contexts("t3").reason == ""
    shown = call(capsys, "contexts", "t2", "t3", "--store", path)
    assert shown.err == f"note: t2 has no contexts: {reason}\n"
    found = [
        json.loads(line) for line in call(capsys, "contexts", "t2", "t3", "--json", "--store", path).out.splitlines()
    ]
    assert [each.get("reason") for each in found] == [reason, None]


def test_the_commands_print_the_line_and_leave_gaps(gappy, capsys):
    done = call(capsys, "query", "t3 + t1", "--space", "context", "--store", gappy.path)
    assert done.code == 2
    assert done.err.splitlines() == [
        "error: `t3` has no vector in context@2: no sentence of the corpus has it",
        f"hint: {HINT}",
    ]
    norms = call(capsys, "norms", "t3", "t4", "--json", "--store", gappy.path)
    rows = [json.loads(line) for line in norms.out.splitlines()]
    assert rows[0]["context@2"] is None
    assert rows[0]["notes"] == ["t3 has a vector in static, isolated@12 alone"]
    assert rows[1]["context@2"] == pytest.approx(gappy.norms(SPACE)[4])


def test_who_asks_for_more_than_there_are_is_told_how_many_there_are(gappy):
    note = "context@2 has vectors of 200 of 300 tokens"
    assert [len(gappy.search("t1", space="context", k=k).results) for k in (200, 201)] == [200, 200]
    assert [note in gappy.search("t1", space="context", k=k).notes for k in (200, 201)] == [False, True]
    assert gappy.search("t1", k=300).notes == ()


@pytest.mark.parametrize(("count", "words"), [(1, "1 word"), (3, "3 words")])
def test_a_store_of_words_has_words(count, words, tmp_path):
    """`the store has 1 words`, and `vectors of 9 of 11 tokens`."""
    pieces = Pieces(np.arange(count + 1), np.arange(count, dtype=np.int32))
    table = describe_words(Strings([f"w{number}" for number in range(count)]), pieces)
    folder = write_store(tmp_path / "w.kotovec", table, np.eye(count, 4, dtype=np.float32))
    add_means(folder, SPACE, np.eye(count, 4), [2, *[0] * (count - 1)])
    with Store.open(folder) as store:
        with pytest.raises(InputError, match=f"^k is 9, but the store has {words}\n") as caught:
            store.search("w0", k=9, space="static")
        assert caught.value.hint == ("choose 1" if count == 1 else f"choose a number from 1 to {count}")
        with pytest.raises(UnknownTokenError) as unknown:
            store.search("x", space="static")
        known = "the one word" if count == 1 else "one of the 3 words"
        assert str(unknown.value) == f"`x` is not {known} of this store"
        notes = store.search("w0", k=count, space=SPACE).notes
        assert notes == (() if count == 1 else ("context@2 has vectors of 1 of 3 words",))
        if count > 1:
            found = list_tokens(store, space=SPACE, sort="norm", columns=("id",))
            assert found.notes == ("left out as context@2 has no vector of them: 2 words",)


def test_neighbours_are_others_that_have_a_vector_and_they_have_none(gappy):
    for metric in ("l2", "cosine", "ip"):
        found = neighbours(gappy, SPACE, 5, metric=metric)
        assert found.rows.shape == (ROWS, 5)
        gaps = np.arange(ROWS) % 3 == 0
        assert (found.rows[gaps] == -1).all()
        assert (found.rows[~gaps] % 3 > 0).all()
    assert neighbours(gappy, SPACE, ROWS - 1, rows=[1]).rows.shape == (1, 199)


def test_a_table_leaves_them_out_and_says_so(gappy):
    found = list_tokens(gappy, space=SPACE, sort="norm", columns=("id", "norm", "centroid"))
    assert found.total == 200
    assert found.notes == ("left out as context@2 has no vector of them: 100 tokens",)
    ids = np.array([row["id"] for row in found.rows()])
    assert (ids % 3).all()
    vectors = gappy.array(SPACE)[ids].astype(np.float64)
    centre = [row["centroid"] for row in found.rows()]
    np.testing.assert_allclose(centre, distances(vectors, vectors.mean(axis=0)), rtol=1e-9)
    assert list_tokens(gappy, space="static", columns=("id",)).total == ROWS


def test_an_audit_is_of_all_tokens(gappy):
    with pytest.raises(InputError, match="context@2 lacks some of the tokens"):
        audit(gappy, space=SPACE)


def test_a_map_shows_the_others_and_a_page_those_that_both_spaces_have(gappy):
    maps = [make_map(gappy, MapRequest(space, "pca")) for space in ("static", SPACE)]
    assert [len(map_.rows) for map_ in maps] == [ROWS, 200]
    assert (maps[1].rows % 3).all()
    assert len(find_map(gappy, MapRequest(SPACE, "pca")).rows) == 200
    data = page_data(gappy, maps, "t1 + t2")
    assert {len(space["x"]) for space in data["spaces"]} == {len(data["spaces"][1]["x"])}
    sample = make_map(gappy, MapRequest(SPACE, "pca", sample=60))
    other = make_map(gappy, MapRequest("static", "pca", sample=60))
    assert sample.rows.tolist() == [row for row in other.rows.tolist() if row % 3]
    assert find_map(gappy, MapRequest(SPACE, "pca", sample=60)) is not None
    with pytest.raises(InputError, match="not on this map"):
        maps[1].positions([3], gappy.tokens)


def test_the_map_command_counts_each_space_and_passes_over_one_that_lacks_the_expression(gappy, capsys, tmp_path):
    asked = ("map", "--method", "pca", "--html", tmp_path / "m.html", "--json", "--store", gappy.path)
    for expression, spaces in (("t1 + t2", [("static", 300), ("context@2", 200)]), ("t3", None)):
        done = call(capsys, *asked, "--expression", expression)
        found = [(each["space"], each["tokens"]) for each in map(json.loads, done.out.splitlines())]
        assert found == (spaces or [("static", 300), ("isolated@12", 300)])


def test_a_space_whose_rows_all_have_a_vector_has_no_gaps(gappy, tmp_path):
    folder = write_store(tmp_path / "b.kotovec", numbered(4), np.eye(4))
    add_means(folder, SPACE, np.eye(4), [1, 2, 3, 4])
    with Store.open(folder) as store:
        assert store.vectors.present(SPACE) is None
        assert store.vectors.present(Space("static")) is None
        assert not store.verify()
