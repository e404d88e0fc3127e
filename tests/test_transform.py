"""Derived spaces: what a step does to vectors, against scikit-learn and numpy, and that they are spaces like others."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import kotovec
from kotovec.cluster.request import Request
from kotovec.cluster.run import run
from kotovec.cluster.where import Resources
from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.geometry.derive import derive
from kotovec.store.geometry.steps import Step

import stores
from commands import call

RANDOM = np.random.default_rng(5)
VECTORS = (RANDOM.standard_normal((400, 16)) @ RANDOM.standard_normal((16, 16)) + np.arange(16)).astype(np.float32)
VECTORS[13] = 0
FILLED = np.arange(400) != 13
WORDS = np.arange(400) % 4 != 0
EXACT = VECTORS.astype(np.float64)


@pytest.fixture
def folder(tmp_path):
    texts = [f"{'' if word else '##'}t{number}" for number, word in enumerate(WORDS.tolist())]
    return stores.write_store(tmp_path / "x.kotovec", stores.make_tokens(texts), VECTORS, [VECTORS * 2])


def derived(folder, text, fit="all", space="static"):
    """The derived space, read from a store that is opened again, and its vectors."""
    with Store.open(folder) as store:
        made = derive(store, space, Step.parse(text, fit))
    with Store.open(folder) as store:
        assert store.verify() == []
        return made, np.array(store.array(made))


def centred(rows=FILLED):
    return EXACT - EXACT[rows].mean(axis=0)


def test_center_subtracts_the_mean_of_what_it_learns_from_and_zeros_stay(folder):
    made, vectors = derived(folder, "center")
    assert str(made) == "static+center"
    np.testing.assert_allclose(vectors[FILLED], centred()[FILLED], atol=1e-5)
    assert not vectors[13].any()
    made, vectors = derived(folder, "center", "words")
    assert str(made) == "static+center:words"
    np.testing.assert_allclose(vectors[FILLED], centred(FILLED & WORDS)[FILLED], atol=1e-5)


def test_all_but_the_top_removes_the_first_components_of_scikit_learn(folder):
    made, vectors = derived(folder, "abtt:3")
    assert str(made) == "static+abtt3"
    axes = PCA(3).fit(EXACT[FILLED]).components_
    expected = centred() - centred() @ axes.T @ axes
    np.testing.assert_allclose(vectors[FILLED], expected[FILLED], atol=1e-5)
    with Store.open(folder) as store:
        np.testing.assert_allclose(np.abs(store.vectors.part(made, "axes")), np.abs(axes), atol=1e-9)
        np.testing.assert_allclose(store.vectors.part(made, "mean"), EXACT[FILLED].mean(axis=0), atol=1e-12)


def test_the_covariance_of_a_whitened_space_is_the_identity(folder):
    _, vectors = derived(folder, "whiten")
    covariance = np.cov(vectors[FILLED].astype(np.float64).T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(16), atol=1e-6)
    expected = PCA(whiten=True).fit(EXACT[FILLED]).transform(EXACT[FILLED]) * np.sqrt(399 / 398)
    np.testing.assert_allclose(np.abs(vectors[FILLED]), np.abs(expected), atol=1e-4)


def test_whitening_leaves_out_directions_without_variance(tmp_path):
    flat = np.hstack([VECTORS[:, :4], VECTORS[:, :2]])
    store = stores.write_store(tmp_path / "flat.kotovec", stores.numbered(400), flat)
    _, vectors = derived(store, "whiten")
    covariance = np.cov(vectors[FILLED].astype(np.float64).T, bias=True)
    np.testing.assert_allclose(covariance, np.diag([1, 1, 1, 1, 0, 0]), atol=1e-6)


def test_standardize_is_scikit_learns_scaler_drop_makes_zeros_and_unit_has_length_1(folder):
    _, vectors = derived(folder, "standardize")
    scaler = StandardScaler().fit(EXACT[FILLED])
    np.testing.assert_allclose(vectors[FILLED], scaler.transform(EXACT)[FILLED], atol=1e-5)
    made, vectors = derived(folder, "drop:11,3,11")
    assert str(made) == "static+drop3.11"
    kept = np.delete(np.arange(16), [3, 11])
    assert not vectors[:, [3, 11]].any()
    np.testing.assert_array_equal(vectors[:, kept], VECTORS[:, kept])
    _, vectors = derived(folder, "unit")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), FILLED.astype(float), atol=1e-6)


def test_steps_compose_and_the_result_is_a_space_like_any_other(folder, capsys):
    derived(folder, "center", space="isolated")
    made, vectors = derived(folder, "unit", space="isolated+center")
    assert made == Space("isolated", 12, None, ("center", "unit"))
    expected = 2 * centred()[FILLED]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors[FILLED], expected, atol=1e-6)
    of = ("--store", folder)
    asked = json.loads(call(capsys, "query", "t1", *of, "--space", "isolated+center+unit", "-k", 3, "--json").out)
    squares = ((vectors.astype(np.float64) - vectors[1]) ** 2).sum(axis=1)
    assert [hit["id"] for hit in asked["results"]] == np.argsort(squares, kind="stable")[:3].tolist()
    for command in (
        ("norms", "t1"),
        ("info", "--json"),
        ("index", "--space", "isolated+center+unit"),
        ("geometry", "-q"),
        ("map", "--space", "isolated+center", "--method", "pca", "-q"),
        ("convert", folder, folder.parent / "out.vec", "--space", "isolated+center"),
    ):
        assert call(capsys, *command, *(of if command[0] != "convert" else ())).code == 0, command


def test_what_is_there_is_left_alone_and_written_again_on_request(folder):
    with Store.open(folder) as store:
        made = derive(store, "static", Step.parse("center"))
    path = folder / "spaces" / f"{made.stem}.h5"
    before = path.stat().st_mtime_ns
    with Store.open(folder) as store:
        derive(store, "static", Step.parse("center"))
        assert path.stat().st_mtime_ns == before
        derive(store, "static", Step.parse("center"), overwrite=True)
        assert path.stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("text", "fit", "reason"),
    [
        ("abtt:0", "all", "unknown step `abtt:0`"),
        ("pca", "all", "unknown step `pca`"),
        ("drop:1,,2", "all", "unknown step `drop:1,,2`"),
        ("drop:16", "all", "there is no dimension 16"),
        ("abtt:16", "all", "abtt:16 would leave nothing of 16 dimensions"),
        ("unit", "words", "unit learns nothing from vectors"),
        ("center", "frequent", "unknown value of --fit `frequent`"),
    ],
)
def test_what_is_no_step_is_refused_and_nothing_is_written(folder, text, fit, reason):
    with Store.open(folder) as store, pytest.raises(InputError) as refused:
        derive(store, "static", Step.parse(text, fit))
    assert str(refused.value).startswith(reason)
    assert refused.value.hint
    assert sorted(path.name for path in (folder / "spaces").iterdir()) == ["isolated-12.h5", "static.h5"]


def test_rows_without_a_context_have_none_in_a_derived_space_and_a_rebuild_names_what_it_drops(tiny_models, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the king and the queen\nthe man saw the king\n")
    options = {"split": "line", "contexts": 3}
    model, path = str(tiny_models["bert"]), tmp_path / "x.kotovec"
    kotovec.build(model, path, workers=0, corpus=str(corpus), **options).close()
    made, vectors = derived(path, "center", space="context")
    with Store.open(path) as store:
        present = store.vectors.present(store.space("context"))
        np.testing.assert_array_equal(store.vectors.present(made), present)
        assert not vectors[~present].any()
        assert len(store.search("king", space=made, k=100).results) == present.sum()
        assert "context@2+center" not in store.info()["contexts"]
    seen, request = [], Request(model=model, corpus=(str(corpus),), **options)
    run(request, path, Resources(workers=0), overwrite=True, report=seen.append)
    assert any("context@2+center will not be in the new one" in str(event) for event in seen)
    assert not list((path / "spaces").glob("*+*"))


@pytest.mark.parametrize("text", ["abtt:3", "drop:3,11", "unit", "center"])
def test_a_damaged_derived_space_is_derived_again_as_its_hint_says(folder, capsys, text):
    fit = "words" if text == "center" else "all"
    made, vectors = derived(folder, text, fit)
    path = folder / "spaces" / f"{made.stem}.h5"
    path.write_bytes(b"")
    command = f"kotovec transform --space static --do {text}{' --fit words' if fit == 'words' else ''} --overwrite"
    asked = call(capsys, "query", "t1", "--space", made, "--store", folder)
    assert asked.err == f"error: {path} is empty\nhint: run `{command}`\n"
    with Store.open(folder) as store:
        assert store.verify() == [f"spaces/{made.stem}.h5 (run `{command}`)"]
    assert call(capsys, *command.split()[1:], "--store", folder, "-q").code == 0
    with Store.open(folder) as store:
        assert store.verify() == []
        np.testing.assert_array_equal(store.array(made), vectors)


def test_zeros_alone_teach_nothing_and_an_imported_store_needs_no_space(tmp_path, capsys):
    zeros = stores.write_store(tmp_path / "z.kotovec", stores.numbered(9), np.zeros((9, 3), dtype=np.float32))
    answer = call(capsys, "transform", "--do", "center", "--store", zeros)
    assert answer.err == "error: there is no vector to learn from\nhint: choose another space\n"
    (tmp_path / "a.vec").write_text("2 2\nking 1 2\nqueen 3 4\n")
    assert call(capsys, "convert", tmp_path / "a.vec", tmp_path / "a.kotovec").code == 0
    made = call(capsys, "transform", "--do", "center", "--store", tmp_path / "a.kotovec", "-q")
    assert made.out == " space  imported+center  (of imported; 2 tokens)\n"


def test_a_layer_beside_a_space_that_names_another_is_refused(folder, capsys):
    of = ("--store", folder, "--space", "isolated@12", "--layer", 3)
    for command in (("query", "t1"), ("hubs",), ("neighbours",), ("index",)):
        answer = call(capsys, *command, *of)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == "error: --layer 3 and isolated@12 name two layers\nhint: leave out one of them\n"


def test_a_page_shows_beside_a_space_what_the_model_made_and_nothing_derived(folder, capsys):
    derived(folder, "center", space="isolated")
    drawn = call(capsys, "map", "--method", "pca", "--store", folder, "--html", folder.parent / "m.html", "--json")
    assert [json.loads(line)["space"] for line in drawn.out.splitlines()] == ["static", "isolated@12"]
