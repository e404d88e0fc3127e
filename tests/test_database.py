"""`Store`: what a search answers, against float64 numpy and gensim on the same vectors."""

import json

import faiss
import gensim
import numpy as np
import pytest

from kotovec.errors import ExpressionError, InputError, NotStoredError, UnknownTokenError
from kotovec.store import Store
from kotovec.store.tokens import Kind
from kotovec.store.writer import identity_of

import stores

RANDOM = np.random.default_rng(23)
WORDS = [f"w{number}" for number in range(1500)]
TEXTS = ["[PAD]", "[CLS]", "[unused1]", *WORDS, *(f"##s{number}" for number in range(500))]
COMMON = RANDOM.standard_normal(24) * 20
STATIC = (RANDOM.standard_normal((len(TEXTS), 24)) + COMMON).astype(np.float32)
STATIC[7] = 0
STATIC[900:920] = STATIC[50]  # equal rows: ties
ISOLATED = (RANDOM.standard_normal((2, len(TEXTS), 32)) + 1).astype(np.float32)
IDS = [number + number // 100 for number in range(len(TEXTS))]  # with gaps, as a vocabulary may have
TRIPLES = [triple for triple in RANDOM.integers(0, len(WORDS), (40, 3)).tolist() if len(set(triple)) == 3]
QUESTIONS = [f"w{a} - w{b} + w{c}" for a, b, c in TRIPLES]


@pytest.fixture(scope="module", params=["indexes", "no indexes"])
def store(request, tmp_path_factory):
    """A store with Flat indexes for every metric, and one without any; `isolated` is float16."""
    folder = stores.write_store(
        tmp_path_factory.mktemp("store") / "a.kotovec",
        stores.make_tokens(TEXTS, ids=IDS, special=["[PAD]", "[CLS]"]),
        STATIC,
        ISOLATED,
        layers=(4, 8),
        dtype="float16",
        metrics=["l2", "cosine", "ip"] if request.param == "indexes" else [],
    )
    return Store.open(folder)


def matrix(space, layer=8):
    """The stored vectors, in float64."""
    if space == "static":
        return STATIC.astype(np.float64)
    return ISOLATED[(4, 8).index(layer)].astype(np.float16).astype(np.float64)


def row_of(word):
    return TEXTS.index(word)


def expected(vectors, triple, metric, *, unit=False, left_out=()):
    """The rows, best first, and all scores."""
    terms = [vectors[row_of(f"w{number}")] for number in triple]
    if unit:
        terms = [term / np.linalg.norm(term) for term in terms]
    query = terms[0] - terms[1] + terms[2]
    scores = np.square(vectors - query).sum(axis=1) if metric == "l2" else (vectors * query).sum(axis=1)
    if metric == "cosine":
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        scores = np.where(lengths > 0, scores / np.where(lengths > 0, lengths, 1), 0)
    order = np.argsort(scores if metric == "l2" else -scores, kind="stable")
    return [row for row in order.tolist() if row not in left_out], scores


SPACES = [("static", -1), ("isolated", -1), ("isolated", 4)]
METRICS = ["l2", "cosine", "ip"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("space", "layer"), SPACES)
def test_answers_are_those_of_float64_over_all_vectors_one_by_one_and_in_a_batch(store, space, layer, metric):
    vectors = matrix(space, 4 if layer == 4 else 8)
    batch = store.search_many(QUESTIONS, space=space, layer=layer, metric=metric)
    for triple, question, answer in zip(TRIPLES, QUESTIONS, batch, strict=True):
        rows, scores = expected(vectors, triple, metric)
        assert [hit.id for hit in answer.hits] == [IDS[row] for row in rows[:10]]
        assert [hit.token for hit in answer.hits] == [TEXTS[row] for row in rows[:10]]
        assert [hit.score for hit in answer.hits] == pytest.approx(scores[rows[:10]], rel=1e-11)
        assert [hit.rank for hit in answer.hits] == list(range(1, 11))
        assert {hit.text for hit in answer.hits if hit.is_input} <= {f"w{number}" for number in triple}
        assert store.search(question, space=space, layer=layer, metric=metric) == answer


@pytest.mark.parametrize("metric", METRICS)
def test_inputs_can_be_left_out_and_only_words_let_in(store, metric):
    vectors = matrix("static")
    others = [row for row, kind in enumerate(store.tokens.kinds) if kind != Kind.WORD]
    assert len(others) == 503
    for triple, answer in zip(
        TRIPLES, store.search_many(QUESTIONS, metric=metric, exclude_inputs=True, words_only=True, k=30), strict=True
    ):
        inputs = [row_of(f"w{number}") for number in triple]
        rows, _ = expected(vectors, triple, metric, left_out={*inputs, *others})
        assert [hit.id for hit in answer.hits] == [IDS[row] for row in rows[:30]]
        assert not any(hit.is_input for hit in answer.hits)


def test_with_unit_terms_and_without_inputs_cosine_answers_as_gensim_does(store):
    """To 1e-5, as gensim works in float32; the tokens in the same order."""
    vectors = matrix("isolated")
    keyed = gensim.models.KeyedVectors(vectors.shape[1])
    keyed.add_vectors(TEXTS, vectors.astype(np.float32))
    answers = store.search_many(
        QUESTIONS, space="isolated", metric="cosine", unit_terms=True, exclude_inputs=True, k=20
    )
    for (a, b, c), answer in zip(TRIPLES, answers, strict=True):
        theirs = keyed.most_similar(positive=[f"w{a}", f"w{c}"], negative=[f"w{b}"], topn=20)
        assert [hit.token for hit in answer.hits] == [token for token, _ in theirs]
        assert [hit.score for hit in answer.hits] == pytest.approx([score for _, score in theirs], abs=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_unit_terms_are_scaled_before_they_are_added(store, metric):
    vectors = matrix("static")
    for triple, answer in zip(TRIPLES, store.search_many(QUESTIONS, metric=metric, unit_terms=True), strict=True):
        rows, scores = expected(vectors, triple, metric, unit=True)
        assert [hit.id for hit in answer.hits] == [IDS[row] for row in rows[:10]]
        assert [hit.score for hit in answer.hits] == pytest.approx(scores[rows[:10]], rel=1e-11)


def test_equal_vectors_come_in_the_order_of_their_ids(store):
    hits = store.search(TEXTS[910], k=21).hits
    assert [hit.id for hit in hits] == [IDS[row] for row in (50, *range(900, 920))]
    assert {hit.score for hit in hits} == {0.0}
    assert [hit.is_input for hit in hits] == [row == 910 for row in (50, *range(900, 920))]


def test_k_may_be_the_whole_vocabulary(store):
    for metric in METRICS:
        answer = store.search(QUESTIONS[0], metric=metric, k=len(TEXTS))
        assert [hit.id for hit in answer.hits] == [
            IDS[row] for row in expected(matrix("static"), TRIPLES[0], metric)[0]
        ]
    fewer = store.search(QUESTIONS[0], k=len(TEXTS), exclude_inputs=True)
    assert len(fewer.hits) == len(TEXTS) - 3


def test_a_vector_is_the_sum_in_float64(store):
    a, b, c = (STATIC[row_of(f"w{number}")].astype(np.float64) for number in (1, 20, 300))
    assert store.vector("w1 - 0.25*w20 + 2*(w300 - w1)") == pytest.approx(-a - 0.25 * b + 2 * c, rel=1e-13, abs=1e-12)
    assert store.vector("w1").tolist() == a.tolist()
    assert store.vector("w1 - w1").tolist() == [0] * 24
    assert store.vector("w1", "isolated", 4).tolist() == matrix("isolated", 4)[row_of("w1")].tolist()
    assert store.vector(f"#{IDS[-1]}").tolist() == STATIC[-1].tolist()


def test_arrays_and_norms_are_those_that_were_stored(store):
    assert np.array_equal(store.array("static"), STATIC)
    assert np.array_equal(store.array("isolated"), ISOLATED[1].astype(np.float16))
    assert np.array_equal(store.array("isolated", layer=4), ISOLATED[0].astype(np.float16))
    assert store.layers == (4, 8)
    assert store.norms("isolated", 4) == pytest.approx(np.linalg.norm(matrix("isolated", 4), axis=1), rel=1e-14)
    assert store.tokens.ids.tolist() == IDS
    assert list(store.tokens.texts) == TEXTS
    with pytest.raises(ValueError, match="read-only"):
        store.array("static")[0, 0] = 1


def test_an_answer_is_plain_data_with_stable_keys(store):
    answer = store.search("w1 - 0.5*(w2 + w1)", space="isolated", metric="cosine", k=2)
    data = json.loads(json.dumps(answer.as_dict()))
    assert list(data) == ["expression", "space", "layer", "metric", "terms", "notes", "results"]
    assert (data["expression"], data["space"], data["layer"], data["metric"]) == (
        "w1 - 0.5*w2 - 0.5*w1", "isolated@8", 8, "cosine",
    )  # fmt: skip
    assert data["terms"] == [
        {"text": "w1", "weight": 1, "tokens": ["w1"]},
        {"text": "w2", "weight": -0.5, "tokens": ["w2"]},
        {"text": "w1", "weight": -0.5, "tokens": ["w1"]},
    ]
    assert [list(hit) for hit in data["results"]] == [["rank", "token", "text", "id", "score", "is_input"]] * 2
    assert store.search("w1", k=1).space.layer is None


def test_nothing_asked_is_nothing_answered(store):
    assert store.search_many([]) == []
    assert store.search_many(iter(())) == []


def test_search_is_for_one_expression_and_search_many_for_many(store):
    with pytest.raises(InputError, match=r"search takes one expression, not a list\nhint: use `search_many`$"):
        store.search(["w1", "w2"])
    with pytest.raises(
        InputError, match=r"search_many takes a list of expressions, not a str\nhint: use `search` for one expression$"
    ):
        store.search_many("w1")
    assert store.search_many(text for text in ("w1", "w2")) == [store.search("w1"), store.search("w2")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, r"k is 0\nhint: choose a number from 1 to 2003$"),
        ({"k": -1}, "k is -1"),
        ({"k": 2004}, "k is 2004, but the vocabulary has 2003 tokens"),
        ({"metric": "l3"}, r"unknown metric `l3`\nhint: choose `l2`, `cosine`, `ip` or `csls`$"),
        ({"space": "dynamic"}, r"unknown space `dynamic`\nhint: choose `static`, `isolated@4` or `isolated@8`$"),
        ({"space": "isolated", "layer": 5}, "layer 5 is not in this store: it holds 4, 8"),
        ({"unit_terms": True}, r"unit terms mean nothing with l2\nhint: use them with `cosine` or `ip`$"),
        ({"device": "tpu"}, r"unknown device `tpu`\nhint: choose `auto`, `cpu` or `cuda`$"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_with_those_that_do(store, options, message):
    with pytest.raises(InputError, match=message):
        store.search("w1", **options)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "expression", ["w1 - w1", "0*w1", "w4", "w4 + w4", "0.1*w1 + 0.2*w1 - 0.3*w1", "w1 + w2 - w2 - w1"]
)
def test_a_sum_that_is_zero_but_for_rounding_is_refused(store, expression, metric):
    assert TEXTS.index("w4") == 7  # its vector is zero
    with pytest.raises(InputError, match="is the zero vector, to which nothing is nearest"):
        store.search(expression, metric=metric)


def test_a_small_sum_is_not_a_zero_one(store):
    assert store.search("0.000001*w1", metric="cosine", k=1).hits[0].text == "w1"
    assert store.search("1000000*w1 - 999999.9999*w1", metric="cosine", k=1).hits[0].text == "w1"


def test_a_zero_term_has_no_direction_to_scale(store):
    with pytest.raises(InputError, match="vector of w4 is zero, and cannot be scaled to length 1"):
        store.search("w1 + w4", metric="cosine", unit_terms=True)


@pytest.mark.parametrize(
    ("expression", "error"),
    [("w1 -", ExpressionError), ("", ExpressionError), ("nonsense", UnknownTokenError), ("#99999", NotStoredError)],
)
def test_one_bad_expression_of_a_batch_is_the_batchs_error(store, expression, error):
    for search in (lambda: store.search(expression), lambda: store.search_many(["w1", expression])):
        with pytest.raises(error):
            search()
    with pytest.raises(error):
        store.vector(expression)


def test_raw_faiss_alone_would_answer_otherwise(store, monkeypatch):
    """The hard case: what all vectors share is long, so float32's error in ‖x‖² + ‖y‖² − 2xy is large."""
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 1)
    flat = faiss.IndexFlatL2(24)
    flat.add(STATIC + np.float32(2000))
    vectors = (STATIC + np.float32(2000)).astype(np.float64)
    queries = np.stack(
        [vectors[row_of(f"w{a}")] - vectors[row_of(f"w{b}")] + vectors[row_of(f"w{c}")] for a, b, c in TRIPLES]
    )
    _, rows = flat.search(queries.astype(np.float32), 10)
    exact = [expected(vectors, triple, "l2")[0][:10] for triple in TRIPLES]
    assert sum(mine != theirs for mine, theirs in zip(rows.tolist(), exact, strict=True)) > len(TRIPLES) // 4


def test_what_raw_faiss_gets_wrong_the_store_gets_right(tmp_path, monkeypatch):
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 1)
    far = STATIC + np.float32(2000)
    store = Store.open(stores.write_store(tmp_path / "a.kotovec", stores.make_tokens(TEXTS), far, metrics=["l2"]))
    for metric in METRICS:
        for triple, answer in zip(TRIPLES, store.search_many(QUESTIONS, metric=metric), strict=True):
            assert [hit.id for hit in answer.hits] == expected(far.astype(np.float64), triple, metric)[0][:10]


def test_info_says_what_is_in_the_store(store):
    info = json.loads(json.dumps(store.info()))
    assert info["tokens"] == 2003
    assert info["kinds"] == {"word": 1500, "subword": 500, "special": 2, "unused": 1, "byte": 0, "empty": 0}
    assert info["spaces"]["static"] == {"shape": [2003, 24], "dtype": "float32"}
    assert info["spaces"]["isolated@4"] == info["spaces"]["isolated@8"] == {"shape": [2003, 32], "dtype": "float16"}
    assert list(info["spaces"]) == ["static", "isolated@4", "isolated@8"]
    assert info["bytes"] == sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
    assert info["provenance"]["identity"] == identity_of(store.tokens, "")
    assert (info["provenance"]["hosts"], info["provenance"]["cpus"]) == (1, ["AVX2"])
    assert all(record["usable"] for record in info["indexes"])
