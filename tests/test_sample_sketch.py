"""A sketch is a set: neither order, repetition nor cutting changes it."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kotovec.cluster.contexts import sketch as module
from kotovec.cluster.contexts.sketch import ALL, Sketch, Sketches

ITEMS = 5
ENTRIES = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 40)), max_size=120)
# Hashes that begin alike, and both ends of what there are.
SPREAD = [
    *range(1, 20),
    *(1 << 63 | n for n in range(10)),
    *(n << 24 for n in range(6)),
    *(2**64 - n for n in range(2, 8)),
]


def arrays(entries):
    rows = np.asarray([row for row, _ in entries], dtype=np.int32)
    hashes = np.asarray([SPREAD[index] for _, index in entries], dtype=np.uint64)
    return rows, hashes


def smallest(entries, count):
    """The smallest distinct hashes of each row."""
    found = {row: sorted({SPREAD[index] for other, index in entries if other == row}) for row in range(ITEMS)}
    return [found[row][:count] for row in range(ITEMS)]


@given(ENTRIES, st.integers(1, 12), st.lists(st.integers(0, 120), max_size=6), st.booleans())
def test_it_holds_the_smallest_hashes_of_each_item(entries, limit, cuts, settled):
    sketch = Sketch(ITEMS, limit)
    bounds = sorted([0, len(entries), *(min(cut, len(entries)) for cut in cuts)])
    for start, stop in pairwise(bounds):
        sketch.add(*arrays(entries[start:stop]))
        if settled:
            sketch.settle()
    expected, more = smallest(entries, limit), smallest(entries, limit + 1)
    offsets, hashes = sketch.sample()
    assert [hashes[offsets[row] : offsets[row + 1]].tolist() for row in range(ITEMS)] == expected
    assert sketch.counts().tolist() == list(map(len, expected))
    assert sketch.thresholds().tolist() == [each[limit] if len(each) > limit else int(ALL) for each in more]
    assert sketch.entries()[1].tolist() == [number for each in more for number in each]
    assert sketch.estimate().tolist() == [
        limit / (each[limit] / 2.0**64) if len(each) > limit else float(len(each)) for each in more
    ]


@given(ENTRIES, st.integers(1, 5), st.permutations(range(4)), st.integers(0, 3))
def test_parts_are_merged_in_any_order_and_any_number_of_times(entries, limit, order, again):
    parts = [entries[number::4] for number in range(4)]
    whole, merged = Sketch(ITEMS, limit), Sketch(ITEMS, limit)
    whole.add(*arrays(entries))
    for number in [*order, again]:
        part = Sketch(ITEMS, limit)
        part.add(*arrays(parts[number]))
        merged.merge(part)
    for ours, theirs in zip(whole.entries(), merged.entries(), strict=True):
        assert ours.tolist() == theirs.tolist()
    assert whole.thresholds().tolist() == merged.thresholds().tolist()


@given(ENTRIES, ENTRIES, st.integers(1, 5), st.randoms(use_true_random=False))
def test_what_is_inside_words_counts_only_for_items_that_are_never_whole(whole, inside, limit, chosen):
    marked = [(*entry, False) for entry in whole] + [(*entry, True) for entry in inside]
    chosen.shuffle(marked)
    sketches = Sketches(ITEMS, limit)
    for start in range(0, len(marked), 17):
        part = marked[start : start + 17]
        fresh = Sketches(ITEMS, limit, sketches.thresholds())  # a piece that begins with what is known
        fresh.add(*arrays([entry[:2] for entry in part]), np.asarray([entry[2] for entry in part], dtype=np.bool_))
        sketches.add(*fresh.entries())
    seen = {row for row, _ in whole}
    expected = smallest(whole, limit)
    offsets, hashes = sketches.whole.sample()
    assert [hashes[offsets[row] : offsets[row + 1]].tolist() for row in range(ITEMS)] == expected
    expected = smallest([entry for entry in inside if entry[0] not in seen], limit)
    offsets, hashes = sketches.inside.sample()
    assert [hashes[offsets[row] : offsets[row + 1]].tolist() for row in range(ITEMS)] == expected
    assert all(sketches.thresholds()[1, row] == 0 for row in seen)


def test_many_entries_take_as_much_memory_as_the_sample(monkeypatch):
    """Waiting entries are sorted in while more come, and thresholds fall meanwhile."""
    monkeypatch.setattr(module, "PENDING", 1000)
    random = np.random.default_rng(0)
    sketch = Sketch(40, 9)
    hashes = random.integers(0, 2**64, 200_000, dtype=np.uint64)
    rows = random.integers(0, 40, len(hashes)).astype(np.int32)
    most = 0
    for start in range(0, len(hashes), 500):
        sketch.add(rows[start : start + 500], hashes[start : start + 500])
        most = max(most, len(sketch._rows) + sketch._waiting)
    assert most <= 40 * 10 + 1000 + 500
    expected = np.stack([np.sort(hashes[rows == row])[:9] for row in range(40)])
    assert (sketch.sample()[1].reshape(40, 9) == expected).all()


def test_the_estimate_is_unbiased():
    random = np.random.default_rng(1)
    true = 500
    sketch = Sketch(2000, 20)
    rows = np.repeat(np.arange(2000, dtype=np.int32), true)
    sketch.add(rows, random.integers(0, 2**64, len(rows), dtype=np.uint64))
    errors = sketch.estimate() / true - 1
    assert abs(errors.mean()) < 4 / np.sqrt(19 * 2000)
    assert abs(errors.std() * np.sqrt(19) - 1) < 0.1


def test_the_estimate_knows_the_part_that_was_looked_at():
    sketch = Sketch(2, 3)
    sketch.add(np.asarray([0, 0, 1, 1, 1, 1], dtype=np.int32), np.asarray([1, 2, 1, 2, 3, 1 << 60], dtype=np.uint64))
    assert sketch.estimate(fraction=0.25).tolist() == [8, 48]


def test_rows_beyond_a_key_are_sorted_all_the_same():
    """Row and hash are sorted as one key of 64 bits, where there are fewer than 2^24 rows."""
    rows = np.asarray([(1 << 24) + 1, 5, 1 << 24, 5], dtype=np.int32)
    hashes = np.asarray([3, 9, 4, 8], dtype=np.uint64)
    assert module._order(rows, hashes).tolist() == [3, 1, 2, 0]
