"""The indicators of under-trained tokens, against numpy written from the paper, and planted rows that they find."""

import numpy as np
import pytest
from test_notation import spelled

from kotovec.errors import InputError, NotStoredError
from kotovec.space import STATIC, Space
from kotovec.store import Store, moments
from kotovec.store.audit import audit
from kotovec.store.layout import Layout
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
        assert found.as_dict()["references"]["rows_without_token"] == 8
        assert audit(store, reference=[3]).unnamed == 0


def area(values, planted, others):
    """The area under the ROC curve: how often a planted row has a smaller value than another one."""
    sorted_ = np.sort(values[others])
    below = np.searchsorted(sorted_, values[planted], side="left")
    equal = np.searchsorted(sorted_, values[planted], side="right") - below
    return 1 - (below + equal / 2).mean() / len(others)


@pytest.fixture(scope="module")
def planted(demo_static, tmp_path_factory):
    """The demo's matrix, in which 300 words have rows like those of its unused tokens, and 300 fresh noise."""
    random = np.random.default_rng(0)
    with Store.open(demo_static) as store:
        vectors, tokens = store.array("static").copy(), store.tokens
    words = random.permutation(np.flatnonzero(tokens.kinds == Kind.WORD))
    like, fresh, others = words[:300], words[300:600], words[600:]
    unused = vectors[tokens.kinds == Kind.UNUSED].astype(np.float64)
    spread = (unused - unused.mean(axis=0)).std()
    vectors[like] = unused.mean(axis=0) + random.normal(0, spread, (300, vectors.shape[1]))
    vectors[fresh] = random.normal(0, 0.02, (300, vectors.shape[1]))  # what BERT's rows begin as
    path = write_store(tmp_path_factory.mktemp("planted") / "a.kotovec", tokens, vectors, NO_LAYERS, layers=())
    return path, like, fresh, others


def test_planted_rows_are_found(planted):
    path, like, fresh, others = planted
    with Store.open(path) as store:
        indicators = find_indicators(store, "static", find_references(store.tokens).rows)
    assert area(indicators.component, like, others) >= 0.99
    assert area(indicators.cosine, like, others) >= 0.99
    assert area(indicators.norm, like, others) >= 0.99
    # What has not even drifted with the unused rows has no direction in common with them, but is short.
    assert area(indicators.norm, fresh, others) >= 0.99
    assert area(indicators.component, fresh, others) < 0.9


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
