"""Means over shards: the same bytes for any split and any order, and the mean that numpy computes in float64."""

import h5py
import numpy as np
import pytest
import summed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kotovec import sums
from kotovec.errors import DamagedError, InputError, NonFiniteError
from kotovec.space import Space
from kotovec.store import means
from kotovec.store.layout import FOLD, Layout
from kotovec.store.shard import Shard, path_of, write_shard
from kotovec.workers.inputs import Inputs
from kotovec.workers.totals import Totals

from stores import FINGERPRINT

SPACE, SECOND = Space("context", 12), Space("context", 6)
ROWS, SIZE = 9, 3


def write(folder, parts, spaces=(SPACE,)):
    """Write a shard for each part, (rows, vectors)."""
    folder.mkdir(parents=True)
    for number, (rows, vectors) in enumerate(parts):
        found = {space: summed.add_up(rows, vectors * (place + 1)) for place, space in enumerate(spaces)}
        arrays = {space: each.sums for space, each in found.items()}
        energies = {space: each.energies for space, each in found.items()}
        first = found[spaces[0]]
        shard = Shard(number, first.rows, arrays, "host", "AVX2", first.counts, "", energies)
        write_shard(folder, shard, FINGERPRINT)


def merged(folder, parts, spaces=(SPACE,), rows=ROWS, folds=()):
    """Return the files of the spaces whose vectors are the means over the parts, folded after so many of them."""
    write(folder / "shards", parts, spaces)
    layout, sources = Layout(folder), means.Folder(folder / "shards", FINGERPRINT, spaces, rows, ())
    for number in range(len(parts)):
        sources = sources.with_loose(number)
        if number + 1 in folds:
            sources = means.fold(sources)
    for space in spaces:
        means.merge_means(layout, space, sources, "1" * 64, {"by": "test"})
    return [layout.space(space).read_bytes() for space in spaces]


def read(folder, space=SPACE):
    with h5py.File(Layout(folder).space(space)) as file:
        assert file["n"][()].tolist() == file["uses"][()].tolist()
        return file["vectors"][()], file["n"][()], file["norms"][()], file["energy"][()]


numbers = st.floats(-1e4, 1e4, width=32)


@st.composite
def cases(draw):
    """Vectors of rows; two ways to cut them in parts, each in an order of its own."""
    count = draw(st.integers(1, 30))
    rows = np.array(draw(st.lists(st.integers(0, ROWS - 1), min_size=count, max_size=count)))
    values = draw(st.lists(numbers, min_size=count * SIZE, max_size=count * SIZE))
    vectors = np.array(values, dtype=np.float32).reshape(count, SIZE)
    ways = []
    for _ in range(2):
        order = draw(st.permutations(range(count)))
        cuts = sorted(draw(st.sets(st.integers(1, count - 1), max_size=5))) if count > 1 else []
        ways.append([(rows[part], vectors[part]) for part in np.split(np.array(order), cuts)])
    return rows, vectors, ways


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases())
def test_any_split_and_any_order_give_the_same_file_and_numpys_mean(tmp_path_factory, case):
    rows, vectors, ways = case
    folder = tmp_path_factory.mktemp("means")
    first, second = (merged(folder / str(number), way) for number, way in enumerate(ways))
    assert first == second == merged(folder / "folded", ways[0], folds=(1, 3, len(ways[0])))
    found, counts, norms, energy = read(folder / "0")
    assert (found.dtype, counts.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(counts, np.bincount(rows, minlength=ROWS))
    for row in range(ROWS):
        mine = vectors[rows == row].astype(np.float64)
        expected = mine.mean(axis=0) if len(mine) else np.zeros(SIZE)
        np.testing.assert_allclose(found[row], expected, rtol=1e-6, atol=1e-9)
        squares = (mine**2).sum(axis=1).mean() if len(mine) else 0.0
        np.testing.assert_allclose(energy[row], squares, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(norms, np.linalg.norm(found.astype(np.float64), axis=1), rtol=1e-12)


def test_blocks_of_rows_and_several_spaces_change_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    rows, vectors = rng.integers(0, 40, 500), rng.standard_normal((500, 8), dtype=np.float32) * 50
    parts = [(rows[part], vectors[part]) for part in np.array_split(rng.permutation(500), 7)]
    whole = merged(tmp_path / "whole", parts, (SPACE, SECOND), 41)
    monkeypatch.setattr(means, "BLOCK_BYTES", 8 * 8 * 6)
    assert merged(tmp_path / "blocks", parts, (SPACE, SECOND), 41) == whole
    assert merged(tmp_path / "folds", parts, (SPACE, SECOND), 41, folds=(3, 4)) == whole
    found, counts, *_ = read(tmp_path / "blocks", SECOND)
    expected = np.stack([2 * vectors[rows == row].astype(np.float64).mean(axis=0) for row in range(40)])
    np.testing.assert_allclose(found[:40], expected, rtol=1e-6, atol=1e-9)
    assert (counts[40], found[40].tolist()) == (0, [0] * 8)


def test_the_largest_numbers_as_often_as_allowed_stay_exact():
    most = np.nextafter(np.float32(sums.LARGEST), np.float32(0))
    once = summed.add_up(np.array([0]), np.array([[most, -most]]))
    total, counts = once.sums * sums.MOST, once.counts * sums.MOST
    assert total[0, 0] == int(once.sums[0, 0]) * sums.MOST > 0
    assert sums.mean(total, counts).tolist() == [[most, -most]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, sums.LARGEST])
def test_numbers_that_no_sum_can_hold_are_refused(value):
    with pytest.raises(NonFiniteError, match=r"NaN, Inf, or beyond 262,144"):
        summed.add_up(np.array([0, 1]), np.array([[1.0], [value]], dtype=np.float32))


def test_a_mean_that_float16_cannot_hold_is_refused(tmp_path):
    write(tmp_path / "shards", [(np.array([0]), np.full((1, SIZE), 7e4, dtype=np.float32))])
    sources = means.Folder(tmp_path / "shards", FINGERPRINT, (SPACE,), ROWS, (0,))
    with pytest.raises(NonFiniteError, match="beyond 65,504"):
        means.merge_means(Layout(tmp_path), SPACE, sources, "1" * 64, {}, dtype="float16")


def test_torch_adds_up_to_the_bits_of_numpy():
    """Whatever the batches: also energies, whose sum over the dimensions must not depend on the number of vectors."""
    import torch

    rng = np.random.default_rng(5)
    rows, vectors = rng.integers(0, 20, 300), rng.standard_normal((300, 33), dtype=np.float32) * 30
    ids = np.arange(300)
    inputs = Inputs(ids, np.arange(0, 301, 10), ids, rows=rows)
    totals = Totals(inputs, "cpu")
    for batch in inputs.batches(70):
        totals.add([torch.from_numpy(vectors[batch.index])], batch)
    expected, tally = summed.add_up(rows, vectors), totals.tally(["a"])
    np.testing.assert_array_equal(totals.sums(["a"])["a"], expected.sums)
    np.testing.assert_array_equal(tally.energies["a"], expected.energies)
    np.testing.assert_array_equal(tally.rows, expected.rows)
    np.testing.assert_array_equal(tally.counts, expected.counts)
    assert tally.finite.all()


@pytest.mark.parametrize("value", [np.nan, np.inf, sums.LARGEST])
def test_rows_with_numbers_that_no_sum_can_hold_are_named(value):
    import torch

    ids = np.arange(4)
    for means_ in (None, np.array([0, 2, 4])):
        inputs = Inputs(
            ids, np.array([0, 2, 4]), ids, means=means_, rows=np.array([3, 7] if means_ is not None else [3, 3, 7, 7])
        )
        totals = Totals(inputs, "cpu")
        vectors = torch.ones(4, 3)
        vectors[2, 1] = value
        (batch,) = inputs.batches(10)
        totals.add([vectors], batch)
        assert totals.tally(["a"]).finite.tolist() == [True, False]


def test_too_many_vectors_and_a_damaged_shard_leave_no_file(tmp_path, monkeypatch):
    parts = [(np.array([2, 2, 3]), np.ones((3, SIZE), dtype=np.float32))] * 2
    with monkeypatch.context() as patched:
        patched.setattr(sums, "MOST", 3)
        with pytest.raises(InputError, match="row 2 is a mean of 4 vectors, over 3"):
            merged(tmp_path / "many", parts)
    assert list((tmp_path / "many").glob("spaces/*")) == []
    path = path_of(tmp_path / "many" / "shards", 1)
    raw = bytearray(path.read_bytes())
    raw[raw.index((np.ones(SIZE) * 2 * sums.SCALE).astype(np.int64).tobytes())] ^= 1
    path.write_bytes(raw)
    sources = means.Folder(tmp_path / "many" / "shards", FINGERPRINT, (SPACE,), ROWS, (0, 1))
    with pytest.raises(DamagedError, match="context-12 does not match its checksum"):
        means.merge_means(Layout(tmp_path / "many"), SPACE, sources, "1" * 64, {})
    with pytest.raises(DamagedError, match="context-12 does not match its checksum"):
        means.fold(sources)
    assert not (tmp_path / "many" / "shards" / FOLD).exists()
    assert list((tmp_path / "many").glob("spaces/*")) == []
