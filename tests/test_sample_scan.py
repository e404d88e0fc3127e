"""The scan of a corpus gives the same sample whatever the order, the cutting and the repetition of its sentences."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import wordpiece

from kotovec.cluster.contexts import pool as pools
from kotovec.cluster.contexts import scan as module
from kotovec.cluster.contexts import sketch as sketches_
from kotovec.cluster.contexts.scan import scan_piece
from kotovec.cluster.contexts.sketch import Sketches
from kotovec.cluster.corpus import Counts

import sampled

WORDS = ["king", "queen", "kings", "a", "as", "queens'", "X"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), max_size=30)


@pytest.fixture(scope="module")
def tokenizer():
    """WordPiece of nine tokens, in which queens' ends in an unknown one."""
    import transformers

    return transformers.PreTrainedTokenizerFast(tokenizer_object=wordpiece(), unk_token="[UNK]")


def everything(texts, scanner, cuts=1, seed=0):
    """The sample, the estimates, and text and ids of each sentence that is in it."""
    sketches, held = sampled.scan(texts, scanner, cuts, seed)
    sample = sampled.sample_of(sketches)
    used = {number for _, numbers in sample.values() for number in numbers}
    estimates = sketches.whole.estimate().tolist(), sketches.inside.estimate().tolist()
    return sample, estimates, {number: held[number] for number in used}


@given(TEXTS, st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**32), st.data())
@settings(deadline=None)
def test_order_repetition_and_cutting_change_nothing(tokenizer, texts, limit, cuts, seed, data):
    scanner, _ = sampled.scanner_of(tokenizer, limit=limit)
    expected = everything(texts, scanner)
    again = data.draw(st.permutations([*texts, *texts[: len(texts) // 2], *texts[:1] * 3]))
    assert everything(list(again), scanner, cuts, seed) == expected


@given(TEXTS, st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**32), st.data())
@settings(deadline=None)
def test_neither_do_they_where_texts_share_a_hash(tokenizer, texts, limit, cuts, seed, data):
    """The smaller text is the sentence of all items of both."""
    scanner, _ = sampled.scanner_of(tokenizer, limit=limit)
    again = list(data.draw(st.permutations([*texts, *texts[::2]])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "hash_sentences", lambda texts, seed: np.asarray([len(t) % 7 for t in texts], np.uint64))
        patch.setattr(module, "BATCH", 5)
        sketches, held = {}, {}
        for name, sentences, parts in (("once", texts, 1), ("again", again, cuts)):
            sketches[name], found = sampled.scan(sentences, scanner, parts, seed)
            held[name] = found
        assert sampled.sample_of(sketches["once"]) == sampled.sample_of(sketches["again"])
    if cuts == 1:  # between pieces, whoever gathers them takes the smaller
        for number, (text, ids) in held["again"].items():
            assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
            candidates = [each for each in texts if len(each) % 7 == number]
            assert text in candidates


def test_the_smaller_of_two_texts_of_one_hash_is_the_sentence(tokenizer, monkeypatch):
    monkeypatch.setattr(module, "hash_sentences", lambda texts, seed: np.asarray([5] * len(texts), np.uint64))
    scanner, tokens = sampled.scanner_of(tokenizer, limit=3)
    for batch in (1, 2, 4096):
        monkeypatch.setattr(module, "BATCH", batch)
        for texts in (["queen king", "a queen"], ["a queen", "queen king"]):
            found = scan_piece(texts, scanner)
            assert list(found.sentences.texts) == ["a queen"]
            assert [tokens.texts[row] for row in found.rows] == ["king", "queen", "a"]
            assert found.sentence.tolist() == [0, 0, 0]


def test_small_batches_and_a_pool_that_is_always_full_change_nothing(tokenizer, monkeypatch):
    texts = [f"{first} {second} {third}" for first in WORDS for second in WORDS for third in WORDS]
    scanner, _ = sampled.scanner_of(tokenizer, limit=4)
    expected = everything(texts, scanner)
    assert len(expected[0]) == 4
    monkeypatch.setattr(module, "BATCH", 7)
    monkeypatch.setattr(pools, "SPARE", 5)
    monkeypatch.setattr(sketches_, "PENDING", 5)
    assert everything(texts, scanner) == expected
    assert everything(texts, scanner, 9) == expected
    monkeypatch.setattr(module, "BATCH_CHARS", 1)
    assert everything(texts, scanner, 3) == expected


def test_a_piece_gives_what_an_item_may_take_and_no_more(tokenizer):
    texts = [f"king {number} queen" for number in range(500)] + ["a king", "as"]
    scanner, tokens = sampled.scanner_of(tokenizer, limit=3)
    found = scan_piece(texts, scanner, counts=Counts(sentences=502))
    sizes = {tokens.texts[row]: int(np.sum(found.rows == row)) for row in np.unique(found.rows).tolist()}
    assert sizes == {"king": 4, "queen": 4, "a": 1, "##s": 1}  # one more than N, from which the total is estimated
    assert found.counts.sentences == 502
    assert len(found.sentences) == len(set(found.sentence.tolist())) <= 9
    assert found.sentences.hashes.tolist() == sorted(map(sampled.hash_of, found.sentences.texts))
    sketches = Sketches(scanner.matcher.items, 3)
    sketches.add(found.rows, found.sentences.hashes[found.sentence], found.inside)
    later = scan_piece(texts, scanner, sketches.thresholds())
    assert {tokens.texts[row] for row in later.rows.tolist()} <= {"king", "queen", "a", "##s"}
    assert all(later.sentences.hashes[later.sentence] < sketches.thresholds()[0][later.rows])


def test_a_fraction_is_that_of_the_smallest_hashes(tokenizer):
    texts = [f"king {number}" for number in range(1000)]
    whole, tokens = sampled.scanner_of(tokenizer, limit=10_000)
    quarter, _ = sampled.scanner_of(tokenizer, limit=10_000, fraction=0.25)
    king = tokens.row_of_id(tokenizer.convert_tokens_to_ids("king"))
    hashes = sorted(map(sampled.hash_of, texts))
    assert everything(texts, whole)[0][king] == (False, hashes)
    found = everything(texts, quarter)
    assert found[0][king] == (False, [number for number in hashes if number < 1 << 62])
    assert 200 < len(found[0][king][1]) < 300
    small, _ = sampled.scanner_of(tokenizer, limit=5, fraction=0.25)
    assert everything(texts, small)[0][king][1] == hashes[:5]


def test_seeds_take_other_sentences(tokenizer):
    texts = [f"king {number}" for number in range(1000)]
    scanners = [sampled.scanner_of(tokenizer, limit=20, seed=seed)[0] for seed in (0, 1, 2**64 - 1)]
    samples = [everything(texts, scanner)[0] for scanner in scanners]
    ((_, first),), ((_, second),), ((_, third),) = (list(each.values()) for each in samples)
    assert len({*first, *second, *third}) == 60


def test_sentences_with_tokens_that_have_no_row_are_no_contexts(tokenizer):
    """An added token beyond the matrix: the model cannot read it."""
    import transformers

    other = transformers.PreTrainedTokenizerFast(tokenizer_object=wordpiece(), unk_token="[UNK]")
    rows = len(other)
    other.add_tokens(["kotovec"])
    texts = ["a king", "kotovec king", "kings kotovec kotovec", "queen a", "kotovec"]
    scanner, tokens = sampled.scanner_of(other, limit=9, rows=rows)
    found = scan_piece(texts, scanner)
    assert sorted(found.sentences.texts) == ["a king", "queen a"]
    assert sorted(tokens.texts[row] for row in found.rows) == ["a", "a", "king", "queen"]
    everything_, _ = sampled.scanner_of(other, limit=9)
    assert len(scan_piece(texts, everything_).sentences) == 5


def test_nothing_comes_of_nothing(tokenizer):
    scanner, _ = sampled.scanner_of(tokenizer, limit=9)
    for texts in ([], ["X", "X X"], [""]):
        found = scan_piece(texts, scanner)
        assert (len(found.sentences), len(found.rows), len(found.sentences.ids)) == (0, 0, 0)
        assert found.sentences.id_offsets.tolist() == [0]
    closed = np.zeros((2, scanner.matcher.items), dtype=np.uint64)
    assert len(scan_piece(["a king"], scanner, closed).rows) == 0


def test_a_scanner_is_pickled(tokenizer):
    scanner, _ = sampled.scanner_of(tokenizer, limit=9)
    texts = ["a king", "kings", "queens' a"]
    other = pickle.loads(pickle.dumps(scanner))  # noqa: S301 — our own
    assert everything(texts, other) == everything(texts, scanner)
