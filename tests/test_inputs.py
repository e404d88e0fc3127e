"""What replicas are given: sequences, wanted positions, and batches of one length without padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.cluster.plan import cut
from kotovec.errors import InputError
from kotovec.workers.inputs import Inputs
from kotovec.workers.tokenizer import Template

TEMPLATE = Template((3,), (4,))


def inputs_of(sequences, wanted):
    """Return inputs of lists of ids, and (sequence, position) pairs."""
    offsets = np.cumsum([0, *map(len, sequences)])
    flat = np.array([offsets[sequence] + position for sequence, position in wanted], dtype=np.int64)
    return Inputs(np.concatenate([np.array(ids) for ids in sequences]), offsets, flat)


@st.composite
def cases(draw):
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=40))
    sequences = [[100 * number + place for place in range(length)] for number, length in enumerate(lengths)]
    places = [(number, place) for number, length in enumerate(lengths) for place in range(length)]
    return sequences, draw(st.lists(st.sampled_from(places), min_size=1, max_size=60)), draw(st.integers(1, 40))


@given(cases())
def test_every_wanted_position_comes_once_in_batches_of_one_length(case):
    sequences, wanted, positions = case
    batches = list(inputs_of(sequences, wanted).batches(positions))
    assert sorted(np.concatenate([batch.index for batch in batches]).tolist()) == list(range(len(wanted)))
    for batch in batches:
        count, length = batch.ids.shape
        assert count <= max(1, positions // length)
        assert batch.position is None
        for row, position, index in zip(batch.rows, batch.positions, batch.index, strict=True):
            sequence, place = wanted[index]
            assert batch.ids[row].tolist() == sequences[sequence]
            assert position == place
    computed = [tuple(row) for batch in batches for row in batch.ids.tolist()]
    assert sorted(computed) == sorted({tuple(sequences[sequence]) for sequence, _ in wanted})  # each once, no other
    lengths = [batch.ids.shape[1] for batch in batches]
    assert lengths == sorted(lengths)


def test_rows_times_length_stays_as_it_is():
    sequences = [[7] * length for length in (3, 12, 48, 600) for _ in range(300)]
    batches = list(inputs_of(sequences, [(number, 1) for number in range(len(sequences))]).batches(576))
    assert {batch.ids.shape for batch in batches} >= {(192, 3), (48, 12), (12, 48), (1, 600)}
    assert sum(len(batch.ids) for batch in batches) == 1200


def test_a_token_alone_is_a_sequence_of_its_template():
    inputs = Inputs.isolated(np.array([9, 3, 7]), Template((1, 2), (5,)))
    assert inputs.ids.tolist() == [1, 2, 9, 5, 1, 2, 3, 5, 1, 2, 7, 5]
    assert inputs.offsets.tolist() == [0, 4, 8, 12]
    assert inputs.tokens.tolist() == [9, 3, 7]
    (batch,) = inputs.batches(12)
    assert batch.position == 2
    assert batch.ids.tolist() == [[1, 2, 9, 5], [1, 2, 3, 5], [1, 2, 7, 5]]
    assert (batch.rows.tolist(), batch.positions.tolist(), batch.index.tolist()) == ([0, 1, 2], [2, 2, 2], [0, 1, 2])


@pytest.mark.parametrize("total", [1, 2, 191, 192, 193, 383, 384, 385, 577, 1000])
def test_a_vocabulary_is_cut_into_the_batches_of_the_plan(total):
    shards = cut(total, 1024, 192)
    planned = [stop - start for shard in shards for start, stop in shard.batches]
    given = [
        len(batch.ids)
        for shard in shards
        for batch in Inputs.isolated(np.arange(shard.start, shard.stop), TEMPLATE).batches(3 * 192)
    ]
    assert given == planned


@pytest.mark.parametrize(
    ("ids", "offsets", "wanted", "message"),
    [
        ([1, 2, 3], [0, 2], [0], "offsets do not cut 3 ids"),
        ([1, 2, 3], [1, 3], [1], "offsets do not cut 3 ids"),
        ([1, 2, 3], [0, 3, 3], [1], "offsets do not cut 3 ids"),
        ([1, 2, 3], [0, 2, 1, 3], [1], "offsets do not cut 3 ids"),
        ([], [0], [], "offsets do not cut 0 ids"),
        (
            [1, 2, 3],
            [0, 3],
            [],
            r"^no position is wanted, or one that no id has\nhint: give one or more, each from 0 to 2$",
        ),
        (
            [1, 2, 3],
            [0, 3],
            [3],
            r"^no position is wanted, or one that no id has\nhint: give one or more, each from 0 to 2$",
        ),
        (
            [1, 2, 3],
            [0, 3],
            [-1],
            r"^no position is wanted, or one that no id has\nhint: give one or more, each from 0 to 2$",
        ),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(ids, offsets, wanted, message):
    with pytest.raises(InputError, match=message):
        Inputs(np.array(ids, dtype=np.int64), np.array(offsets), np.array(wanted, dtype=np.int64))


@pytest.mark.parametrize(
    ("ids", "offsets", "wanted"),
    [
        ([3, 9, 4, 3, 8, 5], [0, 3, 6], [1, 4]),
        ([3, 9, 4, 2, 8, 4], [0, 3, 6], [1, 4]),
        ([3, 9, 4, 3, 8, 4], [0, 3, 6], [1, 5]),
        ([3, 9, 4, 3, 8, 4], [0, 3, 6], [1]),
        ([3, 9, 4, 3, 8, 4], [0, 2, 6], [1, 4]),
        ([3, 9, 4, 3], [0, 4], [1]),
    ],
)
def test_sentences_are_not_taken_for_tokens_alone(ids, offsets, wanted):
    """What all sequences have in common is computed once: where they have not, vectors would be wrong in silence."""
    with pytest.raises(InputError, match="not every sequence is one wanted token in the template"):
        Inputs(np.array(ids), np.array(offsets), np.array(wanted), TEMPLATE)
