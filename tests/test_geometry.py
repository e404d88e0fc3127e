"""What is measured of a space, against the definitions in float64 and other people's code."""

import json

import numpy as np
import pyarrow.parquet
import pytest
import scipy.special
import scipy.stats
from sklearn.decomposition import PCA

from kotovec.errors import DamagedError, DiskFullError, StoreError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.geometry import hubness, isotropy, kept
from kotovec.store.geometry.survey import correlate, survey
from kotovec.store.layout import Layout
from kotovec.store.metric import Metric

import stores
from commands import call

RANDOM = np.random.default_rng(17)
CONE = (RANDOM.standard_normal((300, 12)) * np.linspace(0.2, 2, 12) + [3, 0, 0, -1, *[0] * 8]).astype(np.float32)


def measured(vectors, keep=None):
    vectors = np.asarray(vectors)
    return isotropy.measure(vectors, np.linalg.norm(vectors.astype(np.float64), axis=1), keep)


def test_the_mean_cosine_is_that_of_all_pairs_and_each_dimension_has_its_part_of_it():
    units = CONE.astype(np.float64) / np.linalg.norm(CONE.astype(np.float64), axis=1, keepdims=True)
    pairs = ~np.eye(len(units), dtype=bool)
    found = measured(CONE)
    assert found.mean_cosine == pytest.approx((units @ units.T)[pairs].mean(), abs=1e-12)
    parts = np.array([np.outer(column, column)[pairs].mean() for column in units.T])
    assert [each.number for each in found.dimensions] == np.argsort(-np.abs(parts))[:3].tolist()
    for each in found.dimensions:
        assert each.contribution == pytest.approx(parts[each.number], abs=1e-12)
        assert each.share == pytest.approx(parts[each.number] / parts.sum(), abs=1e-10)


def test_rows_of_zeros_and_rows_that_are_left_out_do_not_count():
    padded = np.vstack([CONE, np.zeros((7, 12), dtype=np.float32), CONE[:50] * 3 + 1])
    keep = np.arange(len(padded)) < 307
    assert measured(padded, keep) == measured(CONE)
    assert measured(np.zeros((9, 4))) == isotropy.Isotropy(0)
    assert measured(np.eye(4)[:1]) == isotropy.Isotropy(1)


def rudman(points):
    """IsoScore as Rudman et al. (2022) define it, step by step, of (n, D) points."""
    moved = PCA(n_components=points.shape[1]).fit_transform(points)
    variances, wide = np.cov(moved.T).diagonal(), points.shape[1]
    scaled = variances * np.sqrt(wide) / np.linalg.norm(variances)
    defect = np.linalg.norm(scaled - 1) / np.sqrt(2 * (wide - np.sqrt(wide)))
    return ((wide - defect**2 * (wide - np.sqrt(wide))) ** 2 - wide) / (wide * (wide - 1))


def test_isoscore_is_that_of_its_definition_and_of_its_authors_test_cases():
    assert measured(CONE).isoscore == pytest.approx(rudman(CONE.astype(np.float64)), abs=1e-10)
    # Of k equal variances among n, they publish (k − 1) / (n − 1).
    for used in (1, 2, 5, 10):
        assert isotropy.isoscore(np.repeat([3.0, 0.0], [used, 10 - used])) == pytest.approx((used - 1) / 9, abs=1e-12)
    line = RANDOM.standard_normal((1000, 1)) * [1, 2, -3]
    assert measured(line).isoscore == pytest.approx(0, abs=1e-9)
    ball = RANDOM.standard_normal((10_000, 3))
    assert 0.99 < measured(ball).isoscore <= 1
    assert measured(ball * 1e-3 + 1000).isoscore == pytest.approx(measured(ball).isoscore, abs=1e-9)


def test_the_partition_ratio_is_that_of_the_definition_also_where_exp_overflows():
    for scale in (1.0, 300.0):
        vectors = CONE.astype(np.float64) * scale
        axes = np.linalg.eigh(vectors.T @ vectors)[1]
        totals = scipy.special.logsumexp(vectors @ np.hstack([axes, -axes]), axis=0)
        assert measured(vectors).partition == pytest.approx(np.exp(totals.min() - totals.max()), rel=1e-9)
    assert 0 < measured(CONE).partition < 1


def test_effective_rank_and_shares_are_those_of_the_singular_values():
    vectors = CONE.astype(np.float64)
    singular = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)
    found = measured(CONE)
    assert found.effective_rank == pytest.approx(np.exp(scipy.stats.entropy(singular)), rel=1e-9)
    assert found.top_share == pytest.approx(singular[0] ** 2 / (singular**2).sum(), rel=1e-9)
    mean = np.linalg.norm(vectors.mean(axis=0)) ** 2
    assert found.mean_share == pytest.approx(mean / (vectors**2).sum(axis=1).mean(), rel=1e-9)
    assert measured(np.outer(np.arange(1.0, 9), [1, 2, 2])).effective_rank == pytest.approx(1, abs=1e-6)
    assert measured(np.ones((5, 3))).effective_rank is None


def test_hubness_is_scipys_skewness_of_the_occurrences():
    neighbours = np.array([[1, 2], [0, 2], [1, 0], [2, 1], [2, -1], [-1, -1]])
    counts = hubness.count_occurrences(neighbours, 6)
    assert counts.tolist() == [2, 3, 4, 0, 0, 0]
    eligible = np.array([True] * 5 + [False])
    found = hubness.measure(counts, 2, eligible)
    assert found.skewness == pytest.approx(scipy.stats.skew(counts[:5]))
    assert (found.rows, found.largest, found.occurrences) == (5, 2, 4)
    assert (found.hubs, found.antihubs) == (pytest.approx(1 / 5), pytest.approx(2 / 5))
    assert hubness.measure(counts, 2, ~np.ones(6, dtype=bool)).skewness is None


def test_a_correlation_has_scipys_value_and_an_interval_that_holds_it():
    """The coverage of the interval: 95 % of samples of two normals whose rank correlation is known."""
    one, other = RANDOM.standard_normal((2, 40))
    assert correlate(one, one + other).value == pytest.approx(scipy.stats.spearmanr(one, one + other).statistic)
    assert correlate(one, np.zeros(40)).value is None
    true = 6 / np.pi * np.arcsin(0.6 / 2)
    inside = 0
    for _ in range(1000):
        left, noise = RANDOM.standard_normal((2, 200))
        found = correlate(left, 0.6 * left + 0.8 * noise)
        inside += found.low <= true <= found.high
    assert 0.93 <= inside / 1000 <= 0.97


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    vectors = np.array(CONE)
    vectors[7], vectors[9] = vectors[3], 0
    texts = [f"{'' if number % 3 else '##'}t{number}" for number in range(300)]
    folder = tmp_path_factory.mktemp("geometry") / "x.kotovec"
    return stores.write_store(folder, stores.make_tokens(texts), vectors), vectors


def test_a_survey_of_a_store_has_all_of_it_for_all_rows_and_for_each_kind(crowded):
    folder, vectors = crowded
    with Store.open(folder) as store:
        near = kept.find_or_make(store, "static", 5)
        every, words, subwords = survey(store, Space("static"), near.rows, "kind")
    assert [every.group, words.group, subwords.group] == [None, "word", "subword"]
    assert (every.rows, every.zeros, every.duplicates) == (300, 1, 1)
    assert (words.rows, subwords.rows) == (200, 100)
    part = np.arange(300) % 3 != 0
    assert words.isotropy == measured(vectors, part)
    units = vectors / np.where((lengths := np.linalg.norm(vectors, axis=1)) > 0, lengths, 1)[:, np.newaxis]
    cosines = units.astype(np.float64) @ units.T
    np.fill_diagonal(cosines, -2)
    cosines[9], cosines[:, 9] = -2, -2
    counts = np.bincount(np.argsort(-cosines, axis=1)[np.arange(300) != 9, :5].ravel(), minlength=300)
    assert every.hubness.skewness == pytest.approx(scipy.stats.skew(np.delete(counts, 9)))
    assert every.hubness.occurrences == counts.max()
    keep = np.arange(300) != 9
    assert every.norm_by_id.value == pytest.approx(scipy.stats.spearmanr(lengths[keep], np.arange(300)[keep]).statistic)


def test_neighbours_are_kept_and_a_smaller_number_is_read_from_them(crowded, monkeypatch):
    folder, _ = crowded
    path = kept.path_of(Layout(folder).measures, Space("static"), Metric.COSINE)
    with Store.open(folder) as store:
        made = kept.find_or_make(store, "static", 8)
        assert path.is_file()
        monkeypatch.setattr(kept, "neighbours", None)
        again = kept.find_or_make(store, "static", 3)
        np.testing.assert_array_equal(again.rows, made.rows[:, :3])
        np.testing.assert_array_equal(again.scores, made.scores[:, :3])
        assert store.verify() == []
        assert [each["k"] for each in store.info()["neighbours"]] == [8]
        monkeypatch.undo()
        content = bytearray(path.read_bytes())
        content[-50] ^= 1
        path.write_bytes(content)
        assert store.verify() == ["measures/static.cosine.h5 (make it again with kotovec neighbours)"]
        mended = kept.find_or_make(store, "static", 8)
        np.testing.assert_array_equal(mended.rows, made.rows)
        assert store.verify() == []


def test_the_command_prints_and_writes_what_was_measured(capsys, crowded):
    of = ("--store", crowded[0], "--space", "static")
    lines = call(capsys, "geometry", *of, "--by", "kind", "-k", 5, "--json", "-q").out.splitlines()
    assert [json.loads(line)["group"] for line in lines] == [None, "word", "subword"]
    first = json.loads(lines[0])
    assert first["mean_cosine"] == pytest.approx(0.44, abs=0.2)
    assert first["hubness"]["largest"].keys() == {"token", "id"}
    shown = call(capsys, "geometry", *of, "--no-hubs", "-q").out
    assert f"{first['mean_cosine']:.4f}" in shown
    assert "—" in shown
    refused = call(capsys, "geometry", *of, "--by", "length")
    assert (refused.code, refused.err) == (2, "error: unknown groups `length`\nhint: choose `kind` or `script`\n")


def test_hubs_are_listed_by_how_often_they_occur(capsys, crowded, tmp_path):
    of = ("--store", crowded[0], "-k", 5, "-q")
    with Store.open(crowded[0]) as store:
        near = kept.find_or_make(store, "static", 5).rows
        names, ids = store.tokens.surfaces, store.tokens.ids
        counts = np.bincount(near[near >= 0], minlength=300)
        order = [row for row in np.argsort(-counts, kind="stable").tolist() if row != 9]
        expected = [(int(ids[row]), names[row], int(counts[row])) for row in order]
    rows = [json.loads(line) for line in call(capsys, "hubs", *of, "--json", "-n", 7).out.splitlines()]
    assert [(row["id"], row["token"], row["occurrences"]) for row in rows] == expected[:7]
    file = tmp_path / "hubs.parquet"
    assert call(capsys, "hubs", *of, "--parquet", file).code == 0
    assert pyarrow.parquet.read_table(file)["id"].to_pylist() == [each[0] for each in expected]
    shown = call(capsys, "hubs", *of, "-n", 1).out.splitlines()
    assert [shown[0].split(), shown[2].split()[:2]] == [
        ["id", "token", "kind", "occurrences", "norm"],
        [str(expected[0][0]), expected[0][1]],
    ]
    assert call(capsys, "hubs", *of, "-n", 0).err == "error: --limit is 0\nhint: use 1 or more\n"


def test_neighbours_are_written_as_pairs(capsys, crowded, tmp_path):
    folder, vectors = crowded
    file = tmp_path / "near.parquet"
    done = call(capsys, "neighbours", "--store", folder, "-k", 4, "--metric", "l2", "--parquet", file)
    assert (done.code, done.out) == (0, "")
    assert done.err.endswith(f"1,200 pairs written to {file}\n")
    table = pyarrow.parquet.read_table(file).to_pylist()
    exact = vectors.astype(np.float64)
    for row in (0, 9, 150):
        squares = ((exact - exact[row]) ** 2).sum(axis=1)
        squares[row] = np.inf
        best = np.argsort(squares, kind="stable")[:4]
        part = [each for each in table if each["id"] == row]
        assert [each["rank"] for each in part] == [1, 2, 3, 4]
        assert [each["neighbour_id"] for each in part] == best.tolist()
        assert [each["score"] for each in part] == pytest.approx(squares[best].tolist())
    both = call(capsys, "neighbours", "--store", folder, "--space", "static,isolated", "--parquet", file)
    assert both.code == 2


def test_a_store_that_cannot_be_written_is_measured_all_the_same(crowded, monkeypatch):
    def refuse(layout):
        raise StoreError("nothing can be written there")

    monkeypatch.setattr(kept.lock, "locked", refuse)
    notes = []
    with Store.open(crowded[0]) as store:
        found = kept.find_or_make(store, "static", 3, metric="ip", note=notes.append)
    assert found.rows.shape == (300, 3)
    assert notes == ["the neighbours are not kept: nothing can be written there"]


def test_curves_over_layers_are_drawn_from_what_was_measured(capsys, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    layers = [CONE + shift for shift in (0, 1, 2)]
    folder = stores.write_store(tmp_path / "x.kotovec", stores.numbered(300), CONE, layers, layers=(0, 3, 6))
    drawn, plot = {}, Axes.plot

    def keep(self, *points, **how):
        drawn.setdefault(how["label"], []).append(points)
        return plot(self, *points, **how)

    monkeypatch.setattr(Axes, "plot", keep)
    done = call(capsys, "geometry", "--store", folder, "--png", tmp_path / "g.png", "-k", 5, "--json")
    assert (done.code, done.err.splitlines()[-1]) == (0, f"curves written to {tmp_path / 'g.png'}")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    rows = [json.loads(line) for line in done.out.splitlines()]
    states = [row for row in rows if row["space"].startswith("isolated")]
    xs, ys = drawn["isolated"][0]
    assert (xs, ys) == ((0, 3, 6), tuple(row["mean_cosine"] for row in states))
    assert drawn["isolated"][4][1] == tuple(row["hubness"]["skewness"] for row in states)
    refused = call(capsys, "geometry", "--store", folder, "--space", "static", "--png", tmp_path / "h.png")
    assert (refused.code, refused.err) == (
        2, "error: --png draws curves over layers, and no space has two\nhint: name more with --layers all\n"
    )  # fmt: skip
    assert not (tmp_path / "h.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-hubs", "-k", 5], "-k is of hubs, and --no-hubs leaves them out\nhint: leave out one of them"),
        (["-k", 300], "k is 300, and a token has 299 others\nhint: choose a number from 1 to 299"),
        (["--layers", 7], "layer 7 is not in this store: it holds 12\nhint: choose one of these"),
        (
            ["--space", "static", "--layers", 7],
            """--layers 7 is of spaces that are named without a layer, and there is none
hint: leave it out, or name a space such as `isolated`""",
        ),
    ],
)
def test_options_that_contradict_each_other_or_do_nothing_are_refused(capsys, layered, options, message):
    answer = call(capsys, "geometry", "--store", layered, *options)
    assert (answer.code, answer.out, answer.err) == (2, "", f"error: {message}\n")


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layered") / "x.kotovec"
    return stores.write_store(folder, stores.numbered(300), CONE, [CONE])


def test_layers_choose_among_all_spaces_where_none_is_named(capsys, layered):
    rows = call(capsys, "geometry", "--store", layered, "--layers", 12, "--no-hubs", "--json").out.splitlines()
    assert [json.loads(row)["space"] for row in rows] == ["static", "isolated@12"]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_small_store_is_measured_with_as_many_neighbours_as_it_has(capsys, tmp_path, count):
    folder = stores.write_store(tmp_path / "x.kotovec", stores.numbered(count), CONE[:count])
    found = json.loads(call(capsys, "geometry", "--store", folder, "--space", "static", "--json").out)
    assert found["vectors"] == count
    assert (found["hubness"] is None) == (count == 1)
    if count > 1:
        assert found["hubness"]["occurrences"] == count - 1


@pytest.mark.parametrize("command", [("geometry",), ("hubs",), ("neighbours",), ("transform", "--do", "center")])
def test_a_vector_that_is_not_finite_is_named_with_its_space(capsys, tmp_path, command):
    vectors = np.array(CONE)
    vectors[3, 4] = np.nan
    folder = stores.write_store(tmp_path / "x.kotovec", stores.numbered(300), vectors)
    answer = call(capsys, *command, "--store", folder, "--space", "static")
    assert (answer.code, answer.out) == (DamagedError.exit_code, "")
    assert answer.err == f"error: {folder}: static has a vector that is not finite\nhint: run `kotovec verify`\n"


def test_measures_that_cannot_be_kept_are_noted(crowded, monkeypatch):
    notes = []
    monkeypatch.setattr(kept, "_write", lambda *_: (_ for _ in ()).throw(DiskFullError("no space is left")))
    with Store.open(crowded[0]) as store:
        assert kept.find_or_make(store, "static", 7, metric="ip", note=notes.append).rows.shape == (300, 7)
        monkeypatch.setattr(kept.access, "obstacle", lambda _: "Read-only file system")
        kept.find_or_make(store, "static", 7, metric="ip", note=notes.append)
    assert notes[0] == "the neighbours are not kept: no space is left"
    assert notes[1].endswith("(Read-only file system)")
