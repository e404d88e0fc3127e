"""The indicators of under-trained tokens, against numpy written from the paper, and planted rows that they find."""

import numpy as np
import pytest
from test_notation import spelled

from kotovec.cli.findings import pairs
from kotovec.errors import InputError, NotStoredError
from kotovec.space import STATIC, Space
from kotovec.store import Store, moments
from kotovec.store.audit import audit
from kotovec.store.layout import Layout
from kotovec.store.separation import area, separation
from kotovec.store.tokens import Kind, Marking
from kotovec.store.undertrained import Indicator, choose, find_candidates, find_indicators, find_references
from kotovec.store.vectors import Vectors
from kotovec.store.writer import write_space

from commands import call
from stores import make_tokens, write_store
from tokenized import NO_LAYERS

CLOSE = 1e-6


def by_the_paper(matrix, unused):
    """Section 2.2 of arXiv 2405.05417 in plain numpy: two cosine distances of every row of a matrix, and its norm."""
    matrix = matrix.astype(np.float64)
    component = np.linalg.eigh(np.cov(matrix, rowvar=False))[1][:, -1]  # the first principal one
    without = matrix - np.outer(matrix @ component, component)
    found = []
    for each in (matrix, without):
        mean = each[unused].mean(axis=0)
        lengths = np.linalg.norm(each, axis=1) * np.linalg.norm(mean)
        found.append(1 - each @ mean / lengths)
    return (*found, np.linalg.norm(matrix, axis=1))


def check(store, space, matrix, unused):
    indicators = find_indicators(store, space, unused)
    cosine, component, norm = by_the_paper(matrix, unused)
    np.testing.assert_allclose(indicators.cosine, cosine, atol=CLOSE, rtol=0)
    np.testing.assert_allclose(indicators.component, component, atol=CLOSE, rtol=0)
    np.testing.assert_allclose(indicators.norm, norm, atol=CLOSE, rtol=0)
    return indicators


def test_the_indicators_of_the_demo_are_those_of_the_paper(demo_static):
    with Store.open(demo_static) as store:
        references = find_references(store.tokens)
        assert len(references.unused) == len(references.rows) == 994
        indicators = check(store, "static", store.array("static"), references.rows)
        assert choose(indicators) is Indicator.COMPONENT


def test_a_matrix_whose_rows_share_a_large_component(tmp_path):
    random = np.random.default_rng(1)
    vectors = random.standard_normal((500, 24)) + 30 * random.standard_normal((500, 1)) * np.eye(24)[3] + 5
    vectors[7] = 0
    with Store.open(write_store(tmp_path / "a.kotovec", make_tokens([f"t{n}" for n in range(500)]), vectors)) as store:
        unused = np.array([3, 99, 400])
        stored = store.array("static").copy()
        stored[7] = 1e-30  # the paper leaves open what a zero vector's cosine is; here it is 0
        indicators = find_indicators(store, "static", unused)
        cosine, component, _ = by_the_paper(stored, unused)
        others = np.arange(500) != 7
        np.testing.assert_allclose(indicators.cosine[others], cosine[others], atol=CLOSE, rtol=0)
        np.testing.assert_allclose(indicators.component[others], component[others], atol=1e-5, rtol=0)
        assert indicators.cosine[7] == indicators.component[7] == 1


def test_the_first_component_is_that_of_a_singular_value_decomposition_in_blocks_of_any_size(monkeypatch):
    vectors = np.random.default_rng(4).standard_normal((300, 12)).astype(np.float32) * np.arange(1, 13) + 7
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    expected = np.linalg.svd(centred, full_matrices=False)[2][0]
    for most in (1, 5 * 8 * 12, 1 << 20):
        monkeypatch.setattr(moments, "MOST_BYTES", most)
        found = moments.first_component(moments.mean(vectors), vectors)
        np.testing.assert_allclose(found * np.sign(found @ expected), expected, atol=1e-9)
        np.testing.assert_allclose(
            moments.distances(vectors, moments.mean(vectors)), np.linalg.norm(centred, axis=1), rtol=1e-9
        )


def test_an_output_matrix_of_its_own_is_what_cosines_are_of_and_norms_are_of_the_input(tmp_path):
    random = np.random.default_rng(2)
    tokens = make_tokens(["[unused0]", "[unused1]", *(f"t{n}" for n in range(60))])
    static, output = random.standard_normal((2, 62, 8)).astype(np.float32)
    path = write_store(tmp_path / "a.kotovec", tokens, static, NO_LAYERS, layers=())
    with Store.open(path) as store:
        identity = store.vectors.attributes["identity"]
        assert choose(find_indicators(store, "static", np.array([0, 1]))) is Indicator.COMPONENT
    write_space(Layout(path), Space("output"), output, identity, {"settings": {}})
    with Store.open(path) as store:
        indicators = find_indicators(store, "static", find_references(store.tokens).rows)
        cosine, component, _ = by_the_paper(output, [0, 1])
        np.testing.assert_allclose(indicators.cosine, cosine, atol=CLOSE, rtol=0)
        np.testing.assert_allclose(indicators.component, component, atol=CLOSE, rtol=0)
        np.testing.assert_allclose(indicators.norm, np.linalg.norm(static, axis=1), rtol=1e-6)
        assert (str(indicators.norm_space), str(indicators.cosine_space)) == ("static", "output")
        assert choose(indicators) is Indicator.NORM
        assert str(find_indicators(store, "output", np.array([0])).norm_space) == "output"


def test_rows_without_a_token_are_references_where_the_store_holds_them(tmp_path, monkeypatch):
    random = np.random.default_rng(2)
    static, unnamed = np.split(random.standard_normal((70, 8)).astype(np.float32), [62])
    path = write_store(tmp_path / "a.kotovec", make_tokens([f"t{n}" for n in range(62)]), static, NO_LAYERS, layers=())
    parts = {(STATIC, "unnamed"): unnamed, (STATIC, "unnamed_id"): np.arange(62, 70)}
    monkeypatch.setattr(Vectors, "part", lambda self, *name: parts.get(name), raising=False)
    with Store.open(path) as store:
        found = audit(store)
        cosine, component, _ = by_the_paper(np.concatenate([static, unnamed]), range(62, 70))
        np.testing.assert_allclose(found.indicators.cosine, cosine[:62], atol=CLOSE, rtol=0)
        np.testing.assert_allclose(found.indicators.component, component[:62], atol=CLOSE, rtol=0)
        assert (found.unnamed, found.indicator) == (8, Indicator.COMPONENT)
        norms = area_of_pairs(np.linalg.norm(unnamed, axis=1), np.linalg.norm(static, axis=1))
        assert found.separation[Indicator.NORM] == pytest.approx(norms)
        assert found.as_dict()["references"]["rows_without_token"] == 8
        assert audit(store, reference=[3]).unnamed == 0


def area_of_pairs(values, others):
    """The area under the ROC curve by its definition: every pair, of which ties count half."""
    return np.mean([(value < others).mean() + (value == others).mean() / 2 for value in values])


def test_the_area_under_the_curve_counts_pairs():
    random = np.random.default_rng(0)
    for most in (3, 1000):  # with many ties, with few
        values, others = (random.integers(0, most, size).astype(float) for size in (40, 90))
        assert area(values, others) == pytest.approx(area_of_pairs(values, others))
    assert area(np.arange(3.0), np.arange(5.0, 9)) == 1
    assert area(np.ones(3), np.ones(4)) == 0.5


def unused_rows(store):
    return np.flatnonzero(store.tokens.kinds == Kind.UNUSED)


def test_the_unused_rows_of_the_demo_are_not_what_they_began_as(demo_static):
    """They have drifted in one direction: nine tenths of their length is their mean, and their noise has halved."""
    with Store.open(demo_static) as store:
        unused = store.array("static")[unused_rows(store)].astype(np.float64)
    mean = unused.mean(axis=0)
    lengths = np.linalg.norm(unused, axis=1)
    assert np.linalg.norm(mean) / lengths.mean() == pytest.approx(0.906, abs=1e-3)
    assert (unused - mean).std() == pytest.approx(0.00985, abs=1e-5)  # BERT's rows begin with 0.02
    unit = unused / lengths[:, np.newaxis]
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    assert cosines.mean() == pytest.approx(0.822, abs=1e-3)


@pytest.fixture(scope="module")
def planted(demo_static, tmp_path_factory):
    """The demo's matrix, in which 300 words have rows that drifted with its unused ones, and 300 are fresh noise.

    In another store, its unused rows are fresh noise, too.
    """
    random = np.random.default_rng(0)
    with Store.open(demo_static) as store:
        vectors, tokens, rows = store.array("static").copy(), store.tokens, unused_rows(store)
    words = random.permutation(np.flatnonzero(tokens.kinds == Kind.WORD))
    drifted, fresh, others = words[:300], words[300:600], words[600:]
    unused = vectors[rows].astype(np.float64)
    spread = (unused - unused.mean(axis=0)).std()
    vectors[drifted] = unused.mean(axis=0) + random.normal(0, spread, (300, vectors.shape[1]))
    vectors[fresh] = random.normal(0, 0.02, (300, vectors.shape[1]))  # what BERT's rows begin as
    folder = tmp_path_factory.mktemp("planted")
    path = write_store(folder / "a.kotovec", tokens, vectors, NO_LAYERS, layers=())
    vectors[rows] = random.normal(0, 0.02, (len(rows), vectors.shape[1]))
    other = write_store(folder / "b.kotovec", tokens, vectors, NO_LAYERS, layers=())
    return path, other, drifted, fresh, others


def areas(indicators, rows, others):
    return {each: area(indicators.of(each)[rows], indicators.of(each)[others]) for each in Indicator}


def test_planted_rows_that_drifted_with_the_unused_ones_are_found_by_every_indicator(planted):
    """And so by the default one: these are what rows become that no text trains."""
    path, _, drifted, fresh, others = planted
    with Store.open(path) as store:
        found = audit(store)
    assert found.indicator is Indicator.COMPONENT
    assert min(areas(found.indicators, drifted, others).values()) >= 0.99
    assert min(found.separation.values()) >= 0.97
    # What has not even drifted has no direction in common with them, but is short.
    by_indicator = areas(found.indicators, fresh, others)
    assert by_indicator[Indicator.NORM] >= 0.99
    assert max(by_indicator[each] for each in (Indicator.COSINE, Indicator.COMPONENT)) < 0.9


def test_where_the_unused_rows_did_not_drift_the_report_says_that_norms_separate_them(planted):
    """The rule of the paper still takes the cosine; `--indicator norm` finds what was planted."""
    _, path, _, fresh, others = planted
    with Store.open(path) as store:
        found = audit(store)
        by_norm = audit(store, indicator="norm")
    assert found.indicator is Indicator.COMPONENT
    assert found.separation[Indicator.NORM] >= 0.99
    assert max(found.separation[each] for each in (Indicator.COSINE, Indicator.COMPONENT)) < 0.6
    assert max(found.separation, key=found.separation.get) is Indicator.NORM
    assert areas(by_norm.indicators, fresh, others)[Indicator.NORM] >= 0.99
    assert len(set(by_norm.candidates) & set(fresh)) == 300
    assert dict(pairs(found))["separation"].startswith("0.99")
    assert " by norm; " in dict(pairs(found))["separation"]


def test_separation_leaves_each_reference_out_of_the_mean_that_it_is_compared_with(demo_static):
    """Against numpy, one reference after the other."""
    with Store.open(demo_static) as store:
        rows = unused_rows(store)[:40]
        indicators = find_indicators(store, "static", rows)
        others = np.flatnonzero(store.tokens.kinds == Kind.WORD)
        matrix = store.array("static").astype(np.float64)
        none = np.empty(0, dtype=np.int64)
        found = separation(store, indicators, rows, none, others)
        assert list(separation(store, find_indicators(store, "static", rows[:1]), rows[:1], none, others)) == []
    component = np.linalg.eigh(np.cov(matrix, rowvar=False))[1][:, -1]
    without = matrix - np.outer(matrix @ component, component)
    for indicator, each in ((Indicator.COSINE, matrix), (Indicator.COMPONENT, without)):
        values = []
        for row in rows:
            mean = each[rows[rows != row]].mean(axis=0)
            values.append(1 - each[row] @ mean / np.linalg.norm(each[row]) / np.linalg.norm(mean))
        assert found[indicator] == pytest.approx(area_of_pairs(values, indicators.of(indicator)[others]), abs=1e-6)
    norms = np.linalg.norm(matrix, axis=1)
    assert found[Indicator.NORM] == pytest.approx(area_of_pairs(norms[rows], norms[others]), abs=1e-6)


def test_reference_rows_are_found_by_their_texts():
    texts = ["<unused5>", "[unused0]", "madeupword0003", "<0xC0>", "<0xF5>", "<0x41>", "<0xFF>", "a"]
    references = find_references(make_tokens(texts, marking=Marking.METASPACE))
    assert references.unused.tolist() == [0, 1, 2]
    assert references.impossible.tolist() == [3, 4, 6]
    assert references.rows.tolist() == [0, 1, 2, 3, 4, 6]


def test_impossible_bytes_of_a_byte_level_vocabulary():
    octets = [bytes([octet]) for octet in (0x41, 0xC0, 0xC1, 0xC2, 0xF4, 0xF5, 0xFF)]
    tokens = make_tokens([*map(spelled, octets), spelled(b"\xc0\xc1")], marking=Marking.BYTELEVEL)
    assert find_references(tokens).impossible.tolist() == [1, 2, 5, 6]


def test_the_real_byte_level_alphabet_has_thirteen(bytelevel):
    with Store.open(bytelevel) as store:
        assert len(find_references(store.tokens).impossible) == 13


def test_named_references_replace_those_that_are_found():
    tokens = make_tokens(["[unused0]", "a", "b"], ids=[3, 5, 9])
    references = find_references(tokens, [9, 5, 9])
    assert (references.unused.tolist(), references.named.tolist(), references.rows.tolist()) == ([], [1, 2], [1, 2])
    with pytest.raises(NotStoredError, match="holds no token #4"):
        find_references(tokens, [5, 4])


def test_without_references_only_norms_are_left(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((40, 4))
    with Store.open(write_store(tmp_path / "a.kotovec", make_tokens([f"t{n}" for n in range(40)]), vectors)) as store:
        indicators = find_indicators(store, "static", find_references(store.tokens).rows)
    assert choose(indicators) is Indicator.NORM
    with pytest.raises(InputError, match="no reference rows for the indicator cosine"):
        indicators.of(Indicator.COSINE)


def test_candidates_are_the_smallest_two_per_cent_smallest_first():
    values = np.random.default_rng(0).permutation(1000).astype(np.float64)
    eligible = np.flatnonzero(values % 2 == 0)
    rows, threshold = find_candidates(values, eligible)
    assert values[rows].tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert threshold == pytest.approx(np.percentile(values[eligible], 2))
    nothing, none = find_candidates(values, np.empty(0, dtype=np.int64))
    assert (len(nothing), np.isnan(none)) == (0, True)


def test_vectors_that_are_not_finite_are_an_error(capsys, tmp_path):
    """The message names the first tokens, by their ids."""
    vectors = np.random.default_rng(0).standard_normal((30, 4))
    vectors[3, 2], vectors[7, 0], vectors[8, 1] = np.nan, np.inf, -np.inf
    tokens = make_tokens(["[unused0]", *(f"t{n}" for n in range(29))], ids=range(100, 130))
    path = write_store(tmp_path / "a.kotovec", tokens, vectors)
    for references in ([0], []):  # also where norms alone are computed
        with Store.open(path) as store, pytest.raises(InputError) as caught:
            find_indicators(store, "static", np.array(references, dtype=np.int64))
        assert str(caught.value) == "3 of the 30 vectors of static are not finite: #103, #107, #108"
    answer = call(capsys, "audit", "--store", path)
    assert (answer.code, answer.err) == (2, "error: 3 of the 30 vectors of static are not finite: #103, #107, #108\n")
    vectors[10:] = np.nan
    path = write_store(tmp_path / "b.kotovec", tokens, vectors)
    with Store.open(path) as store, pytest.raises(InputError, match=r"^23 of .*: #103, #107, #108, #110, #111, …$"):
        audit(store)
