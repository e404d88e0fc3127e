"""`kotovec map`: coordinates that repeat, quality by independent measures, files that are whole and of their store."""

import json
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from kotovec.errors import DamagedError
from kotovec.space import Space
from kotovec.store import Store, maps
from kotovec.store.cartography import MapRequest, find_map, make_map
from kotovec.store.contents import foreign

import stores
from commands import call, without_steps

COUNT, SIZE = 400, 24
# Ten clumps, so that there is something to keep together.
RANDOM = np.random.default_rng(5)
VECTORS = (
    RANDOM.standard_normal((10, SIZE))[np.arange(COUNT) % 10] * 3 + RANDOM.standard_normal((COUNT, SIZE))
).astype(np.float32)
METHODS = ["umap", "tsne", "pca"]
PCA = ["--method", "pca"]


@pytest.fixture
def store(tmp_path):
    isolated = np.stack([VECTORS[::-1], VECTORS * 2])
    return stores.write_store(tmp_path / "clumps.kotovec", stores.numbered(COUNT), VECTORS, isolated, layers=(0, 2))


def mapped(store, method="pca", **options):
    return make_map(Store.open(store), MapRequest(method=method, **options))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_coordinates(method, store):
    one, other = mapped(store, method), mapped(store, method)
    assert one.coordinates.shape == (COUNT, 2)
    assert one.coordinates.dtype == np.float32
    assert np.isfinite(one.coordinates).all()
    np.testing.assert_array_equal(one.coordinates, other.coordinates)
    np.testing.assert_array_equal(one.rows, np.arange(COUNT))


@pytest.mark.parametrize("method", METHODS)
def test_clumps_lie_together(method, store):
    """The nearest token on the map is of the same clump: for one in ten by chance."""
    made = mapped(store, method, space="isolated")
    _, near = NearestNeighbors(n_neighbors=2).fit(made.coordinates).kneighbors(made.coordinates)
    same = (near[:, 1] % 10 == np.arange(COUNT) % 10).mean()
    assert same > (0.25 if method == "pca" else 0.9)


@pytest.mark.parametrize("method", METHODS)
def test_the_quality_is_that_of_scikit_learn_and_of_brute_force(method, store):
    made = mapped(store, method)
    record = made.record
    expected = trustworthiness(VECTORS, made.coordinates, n_neighbors=10, metric="cosine")
    assert record.sampled == COUNT
    assert record.trustworthiness == pytest.approx(expected, abs=2e-3)  # cosine in float32 orders near ties elsewise
    true = NearestNeighbors(n_neighbors=11, metric="cosine").fit(VECTORS).kneighbors(VECTORS)[1][:, 1:]
    drawn = NearestNeighbors(n_neighbors=11).fit(made.coordinates).kneighbors(made.coordinates)[1][:, 1:]
    shares = [len(set(one) & set(other)) / 10 for one, other in zip(true.tolist(), drawn.tolist(), strict=True)]
    assert record.recall == pytest.approx(np.mean(shares), abs=2e-3)


@pytest.mark.parametrize(("count", "near"), [(4, 1), (5, 2), (12, 5), (16, 7), (18, 8), (20, 9), (21, 10)])
@pytest.mark.parametrize("method", METHODS)
def test_the_quality_of_a_small_map_is_of_fewer_neighbours(capsys, tmp_path, method, count, near):
    """Of 18 tokens and ten neighbours, trustworthiness was below 0; of 11 and fewer, recall was 1 on every map."""
    vectors = np.random.default_rng(count).standard_normal((count, 8)).astype(np.float32)
    folder = stores.write_store(tmp_path / "few.kotovec", stores.numbered(count), vectors)
    near_by = {"umap": ["--neighbors", "3"], "tsne": ["--perplexity", "2"]}.get(method, [])
    options = [*near_by, "--method", method, "--store", folder]
    data = json.loads(call(capsys, "map", *options, "--json").out)
    points = maps.read_map(folder / "maps", data["name"], data["dataset"]).coordinates
    assert data["nearest"] == near
    assert data["trustworthiness"] == pytest.approx(
        trustworthiness(vectors, points, n_neighbors=near, metric="cosine"), abs=1e-6
    )
    assert 0 <= data["trustworthiness"] <= 1
    true, drawn = (
        NearestNeighbors(n_neighbors=near + 1, metric=metric).fit(each).kneighbors(each)[1][:, 1:].tolist()
        for each, metric in ((vectors, "cosine"), (points, "euclidean"))
    )
    shares = [len(set(one) & set(other)) / near for one, other in zip(true, drawn, strict=True)]
    assert data["recall"] == pytest.approx(np.mean(shares))
    table = call(capsys, "map", *options, "--png", tmp_path / "map.png").out
    assert f"recall@{near}  {data['recall']:.4f} of the {near} nearest are among the {near} nearest" in table


def test_a_small_map_that_was_measured_by_ten_neighbours_is_made_again(tmp_path):
    opened = Store.open(stores.write_store(tmp_path / "few.kotovec", stores.numbered(18), VECTORS[:18]))
    request = MapRequest(method="pca")
    made = make_map(opened, request)
    path = opened.path / "maps" / "static.pca.h5"
    with h5py.File(path, "r+") as file:  # as before `nearest` was recorded
        del file.attrs["nearest"]
        file.attrs["trustworthiness"] = -0.2
    assert (opened.verify(), find_map(opened, request)) == ([], None)
    assert make_map(opened, request).record == made.record
    assert find_map(opened, request).record.nearest == 8


def test_principal_components_are_those_of_an_svd(store):
    made = mapped(store)
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    left, values, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * values[:2]
    np.testing.assert_allclose(np.abs(made.coordinates), np.abs(expected), atol=1e-4)
    assert made.record.parameters["explained_variance"] == pytest.approx(
        (values[:2] ** 2).sum() / (values**2).sum(), abs=1e-4
    )


def test_a_map_is_kept_with_how_it_was_made(capsys, store):
    answer = call(capsys, "map", "--store", store, "--method", "pca", "--space", "isolated", "--sample", 100, "--json")
    assert answer.code == 0
    told = json.loads(answer.out)
    opened = Store.open(store)
    read = maps.read_map(store / "maps", "isolated-2.pca.sample", opened.vectors.checksum(Space("isolated")))
    assert read.record.name == told["name"] == "isolated-2.pca.sample"
    assert (told["tokens"], len(read.rows), read.record.parameters["sample"]) == (100, 100, 100)
    assert read.record.versions == told["versions"]
    assert (np.diff(read.rows) > 0).all()
    assert opened.verify() == []
    assert maps.read_map(store / "maps", "isolated-2.pca.sample", "0" * 64) is None
    assert maps.verify(store / "maps", lambda _, sha256: sha256 == "0" * 64) == [
        "maps/isolated-2.pca.sample.h5 (of other vectors; make it again with kotovec map)"
    ]
    assert maps.read_map(store / "maps", "static.pca", opened.vectors.checksum(Space("static"))) is None


def test_a_map_of_a_sample_does_not_replace_the_map_of_all_tokens(store):
    opened = Store.open(store)
    make_map(opened, MapRequest(method="pca"))
    written = (store / "maps" / "static.pca.h5").stat().st_ino
    assert len(make_map(opened, MapRequest(method="pca", sample=100)).rows) == 100
    assert (store / "maps" / "static.pca.h5").stat().st_ino == written
    assert len(find_map(opened, MapRequest(method="pca")).rows) == COUNT
    assert len(find_map(opened, MapRequest(method="pca", sample=100)).rows) == 100
    assert find_map(opened, MapRequest(method="pca", sample=101)) is None
    whole = make_map(opened, MapRequest(method="pca", sample=COUNT))  # no sample: nothing is left out
    assert (whole.record.name, "sample" in whole.record.parameters) == ("static.pca", False)
    assert foreign(store) is None


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (["--seed", 4], ["--neighbors", 9], ("umap", "n_neighbors 15", "seed 4")),
        (["--method", "tsne"], ["--method", "tsne", "--perplexity", 9], ("tsne", "perplexity 30", "seed 0")),
        ([*PCA, "--seed", 3], PCA, ("pca", "seed 3")),
        ([*PCA, "--sample", 50], [*PCA, "--sample", 60], ("pca", "sample 50", "seed 0")),
        (PCA, [*PCA, "--sample", 60], ()),  # it is kept beside that of all tokens
        ([*PCA, "--sample", 60], PCA, ()),
        ([*PCA, "--seed", 1], [*PCA, "--seed", 1, "--again"], ()),
        (PCA, [*PCA, "--space", "isolated"], ()),
    ],
)
def test_a_note_says_which_map_another_one_replaces(capsys, store, first, second, named):
    """Minutes of computation were replaced without a word."""
    assert "replaces" not in call(capsys, "map", "--store", store, *first).err
    before = {path.name: path.read_bytes() for path in (store / "maps").iterdir()}
    err = without_steps(call(capsys, "map", "--store", store, *second).err)
    assert err.startswith("note: this replaces the kept map of static by ") == bool(named)
    assert all(part in err for part in named)
    assert err.count("\n") == bool(named)
    files = {name: (store / "maps" / name).read_bytes() for name in before}
    assert (files == before) == (not named)
    assert call(capsys, "map", "--store", store, *first, "-q").err == ""


def test_the_table_names_map_recall_trust_and_file(capsys, store):
    answer = call(capsys, "map", "--store", store, "--method", "pca")
    assert answer.code == 0
    assert [line.split()[0] for line in answer.out.splitlines()] == ["map", "recall@10", "trust", "kept"]
    assert "static; pca  (400 tokens;" in answer.out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--method", "mds"], "unknown method `mds`\nhint: choose `umap`, `tsne` or `pca`\n"),
        (["--sample", "3"], "--sample is 3\nhint: use 4 tokens or more\n"),
        (["--neighbors", "400"], "--neighbors is 400, of 400 tokens\nhint: use more than 1, and less than 400\n"),
        (
            ["--method", "tsne", "--perplexity", "1"],
            "--perplexity is 1, of 400 tokens\nhint: use more than 1, and less than 400\n",
        ),
        (["--seed", "-1"], "--seed is -1\nhint: use 0 or more, and less than 2^32\n"),
        (["--space", "dynamic"], "dynamic"),
        (["--labels", "20"], "--labels labels a picture, and there is none\nhint: add --png FILE\n"),
        (
            ["--perplexity", "20"],
            "--perplexity is for --method tsne\nhint: leave it out, or use --method tsne\n",
        ),
        (["--method", "pca", "--neighbors", "9"], "--neighbors is for --method umap\nhint: leave it out, or "),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_map(capsys, store, options, reason):
    answer = call(capsys, "map", "--store", store, *options)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err
    assert not (store / "maps").exists()


@pytest.mark.parametrize(("method", "module"), [("umap", "umap"), ("tsne", "sklearn.manifold")])
def test_a_missing_library_is_named_with_its_cure(capsys, monkeypatch, store, method, module):
    monkeypatch.setitem(sys.modules, module, None)
    answer = call(capsys, "map", "--store", store, "--method", method)
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == "hint: install it: pip install 'kotovec[map]'; or use --method pca"


@pytest.mark.parametrize("part", ["rows", "coordinates"])
def test_damage_is_found_and_says_what_mends_it(store, part):
    made = mapped(store)
    with h5py.File(store / "maps" / "static.pca.h5", "r+") as file:
        file[part][7] = 1
    with pytest.raises(
        DamagedError, match=rf"{part} does not match its checksum\nhint: make it again with kotovec map$"
    ):
        maps.read_map(store / "maps", "static.pca", made.record.dataset)
    assert Store.open(store).verify() == ["maps/static.pca.h5 (make it again with kotovec map)"]
    (store / "maps" / "static.pca.h5").write_bytes(b"")
    with pytest.raises(DamagedError, match=r"cannot be read .*\nhint: make it again with kotovec map$"):
        maps.read_map(store / "maps", "static.pca", made.record.dataset)


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-9])]
)
def test_a_damaged_map_is_made_anew_as_its_error_says(capsys, store, spoil):
    whole = mapped(store)
    spoil(store / "maps" / "static.pca.h5")
    assert Store.open(store).verify() == ["maps/static.pca.h5 (make it again with kotovec map)"]
    assert call(capsys, "map", "--store", store, "--method", "pca").code == 0
    assert Store.open(store).verify() == []
    np.testing.assert_array_equal(
        maps.read_map(store / "maps", "static.pca", whole.record.dataset).coordinates, whole.coordinates
    )


@pytest.mark.parametrize("change", [{"seed": 1}, {"sample": 50}, {"method": "umap", "neighbors": 5}])
def test_a_map_that_is_kept_is_taken_for_what_it_was_made_for_only(store, change):
    opened = Store.open(store)
    request = MapRequest(method=change.get("method", "pca"))
    assert find_map(opened, request) is None
    made = make_map(opened, request)
    np.testing.assert_array_equal(find_map(opened, request).coordinates, made.coordinates)
    other = replace(request, **change)
    assert find_map(opened, other) is None
    make_map(opened, other)
    assert (find_map(opened, request) is None) == ("sample" not in change)  # which is kept apart


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        (np.zeros((50, 8)), "all 50 vectors of static are zero: there is nothing to map"),
        (np.full((50, 8), 0.3), "all 50 vectors of static are of the same direction: there is nothing to map"),
        (np.outer(np.arange(1, 51), np.arange(8)), "all 50 vectors of static are of the same direction"),
        (np.arange(50)[:, np.newaxis], "the vectors of static have one dimension: a map needs two"),
        (np.diag([np.nan, np.inf, *[1.0] * 48]), "2 of the 50 vectors of static are not finite"),
    ],
    ids=["zeros", "equal", "parallel", "one dimension", "not finite"],
)
def test_a_space_that_has_no_map_is_one_line(capsys, tmp_path, method, vectors, reason):
    """t-SNE ended the process with a segmentation fault, PCA wrote NaN as JSON."""
    folder = stores.write_store(tmp_path / "z.kotovec", stores.numbered(50), vectors)
    answer = call(capsys, "map", "--store", folder, "--method", method, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert f"error: {reason}" in answer.err
    assert not (folder / "maps").exists()


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("distinct", [1, 2, 30])
def test_a_space_of_some_equal_rows_and_zeros_has_a_map_of_numbers(capsys, tmp_path, method, distinct):
    random = np.random.default_rng(5)
    vectors = np.vstack([np.zeros((30, 8)), random.standard_normal((distinct, 8))[random.integers(0, distinct, 30)]])
    folder = stores.write_store(tmp_path / "z.kotovec", stores.numbered(60), vectors)
    png = tmp_path / "map.png"
    answer = call(capsys, "map", "--store", folder, "--method", method, "--json", "--png", png)
    data = json.loads(answer.out, parse_constant=pytest.fail)
    assert 0 <= data["recall"] <= 1
    assert data["trustworthiness"] <= 1
    assert png.stat().st_size > 10_000
    assert np.isfinite(maps.read_map(folder / "maps", data["name"], data["dataset"]).coordinates).all()
