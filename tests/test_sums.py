"""Means over shards: the same bytes for any split and any order, and the mean that numpy computes in float64."""

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kotovec import sums
from kotovec.errors import DamagedError, InputError, NonFiniteError
from kotovec.space import Space
from kotovec.store import merge
from kotovec.store.layout import Layout
from kotovec.store.shard import Shard, path_of, write_shard

from stores import FINGERPRINT

SPACE, SECOND = Space("context", 12), Space("context", 6)
ROWS, SIZE = 9, 3


def write(folder, parts, spaces=(SPACE,)):
    """Write a shard for each part, (rows, vectors)."""
    folder.mkdir(parents=True)
    for number, (rows, vectors) in enumerate(parts):
        found = {space: sums.add_up(rows, vectors * (place + 1)) for place, space in enumerate(spaces)}
        arrays = {space: each.sums for space, each in found.items()}
        first = found[spaces[0]]
        write_shard(folder, Shard(number, first.rows, arrays, "host", "AVX2", first.counts), FINGERPRINT)


def merged(folder, parts, spaces=(SPACE,), rows=ROWS):
    """Return the files of the spaces whose vectors are the means over the parts."""
    write(folder / "shards", parts, spaces)
    layout = Layout(folder)
    for space in spaces:
        merge.merge_means(layout, space, folder / "shards", len(parts), rows, FINGERPRINT, "1" * 64, {"by": "test"})
    return [layout.space(space).read_bytes() for space in spaces]


def read(folder, space=SPACE):
    with h5py.File(Layout(folder).space(space)) as file:
        return file["vectors"][()], file["n"][()], file["norms"][()]


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
    assert first == second
    found, counts, norms = read(folder / "0")
    assert (found.dtype, counts.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(counts, np.bincount(rows, minlength=ROWS))
    for row in range(ROWS):
        mine = vectors[rows == row].astype(np.float64)
        expected = mine.mean(axis=0) if len(mine) else np.zeros(SIZE)
        np.testing.assert_allclose(found[row], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(norms, np.linalg.norm(found.astype(np.float64), axis=1), rtol=1e-12)


def test_blocks_of_rows_and_several_spaces_change_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    rows, vectors = rng.integers(0, 40, 500), rng.standard_normal((500, 8), dtype=np.float32) * 50
    parts = [(rows[part], vectors[part]) for part in np.array_split(rng.permutation(500), 7)]
    whole = merged(tmp_path / "whole", parts, (SPACE, SECOND), 41)
    monkeypatch.setattr(merge, "BLOCK_BYTES", 8 * 8 * 6)
    assert merged(tmp_path / "blocks", parts, (SPACE, SECOND), 41) == whole
    found, counts, _ = read(tmp_path / "blocks", SECOND)
    expected = np.stack([2 * vectors[rows == row].astype(np.float64).mean(axis=0) for row in range(40)])
    np.testing.assert_allclose(found[:40], expected, rtol=1e-6, atol=1e-9)
    assert (counts[40], found[40].tolist()) == (0, [0] * 8)


def test_the_largest_numbers_as_often_as_allowed_stay_exact():
    most = np.nextafter(np.float32(sums.LARGEST), np.float32(0))
    once = sums.add_up(np.array([0]), np.array([[most, -most]]))
    total, counts = once.sums * sums.MOST, once.counts * sums.MOST
    assert total[0, 0] == int(once.sums[0, 0]) * sums.MOST > 0
    assert sums.mean(total, counts).tolist() == [[most, -most]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, sums.LARGEST])
def test_numbers_that_no_sum_can_hold_are_refused(value):
    with pytest.raises(NonFiniteError, match=r"NaN, Inf, or beyond 262,144"):
        sums.add_up(np.array([0, 1]), np.array([[1.0], [value]], dtype=np.float32))


def test_too_many_vectors_and_a_damaged_shard_leave_no_file(tmp_path, monkeypatch):
    parts = [(np.array([2, 2, 3]), np.ones((3, SIZE), dtype=np.float32))] * 2
    with monkeypatch.context() as patched:
        patched.setattr(sums, "MOST", 3)
        with pytest.raises(InputError, match="row 2 is a mean of 4 vectors, over 3"):
            merged(tmp_path / "many", parts)
    assert list((tmp_path / "many" / "spaces").iterdir()) == []
    path = path_of(tmp_path / "many" / "shards", 1)
    raw = bytearray(path.read_bytes())
    raw[raw.index((np.ones(SIZE) * 2 * sums.SCALE).astype(np.int64).tobytes())] ^= 1
    path.write_bytes(raw)
    given_ = (2, ROWS, FINGERPRINT, "1" * 64, {})
    with pytest.raises(DamagedError, match="context-12 does not match its checksum"):
        merge.merge_means(Layout(tmp_path / "many"), SPACE, tmp_path / "many" / "shards", *given_)
    assert list((tmp_path / "many" / "spaces").iterdir()) == []
