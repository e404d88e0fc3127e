"""Where items stand in sentences: boundaries of words by ids, and words of several tokens."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.cluster.contexts.boundaries import find_boundaries
from kotovec.cluster.contexts.matching import make_matcher
from kotovec.cluster.contexts.spellings import Spellings
from kotovec.cluster.contexts.trie import grow
from kotovec.store.tokens import Kind, Marking, Pieces, Strings, bytes_of, describe_words, spelled
from kotovec.workers.tokenizer import Vocabulary

import sampled


def vocabulary(marking, texts, special=(), added=()):
    ids = range(len(texts))
    numbers = [frozenset(index for index in ids if texts[index] in chosen) for chosen in (special, added)]
    return Vocabulary(ids, texts, numbers[0], -1, marking, (), numbers[1])


def joined(sentences):
    ids = np.asarray([number for each in sentences for number in each], dtype=np.int32)
    return ids, np.cumsum([0, *map(len, sentences)])


def found(vocabulary_, sentences, tokens=None):
    """Text of the item, sentence, position and whether inside, of each occurrence."""
    table = sampled.table(vocabulary_) if tokens is None else tokens
    number = {text: index for index, text in enumerate(vocabulary_.texts)}
    matches = make_matcher(vocabulary_, table).find(*joined([[number[text] for text in each] for each in sentences]))
    return [
        (table.texts[row], sentence, position, inside)
        for row, sentence, position, inside in zip(
            matches.rows.tolist(),
            matches.sentences.tolist(),
            matches.positions.tolist(),
            matches.inside.tolist(),
            strict=True,
        )
    ]


def test_a_word_of_wordpiece_is_whole_where_nothing_continues_it():
    known = vocabulary("wordpiece", ["king", "##dom", "a", "##", "[CLS]", "[unused1]"], special=["[CLS]"])
    assert found(known, [["a", "king", "##dom"], ["king"], ["king", "a", "##", "[CLS]", "[unused1]"]]) == [
        ("a", 0, 0, False),
        ("king", 0, 1, True),
        ("##dom", 0, 2, False),
        ("king", 1, 0, False),
        ("king", 2, 0, False),
        ("a", 2, 1, False),
        ("##", 2, 2, False),
    ]


def test_sentences_do_not_touch():
    known = vocabulary("metaspace", ["▁king", "dom", "▁", "(", "男"])
    assert found(known, [["▁king"], ["dom", "▁king", "dom"], [], ["▁king"]]) == [
        ("▁king", 0, 0, False),
        ("dom", 1, 0, False),
        ("▁king", 1, 1, True),
        ("dom", 1, 2, False),
        ("▁king", 3, 0, False),
    ]


def test_signs_and_scripts_without_blanks_part_words():
    known = vocabulary("metaspace", ["▁king", "s", "(", "男", "▁남", "자", "-a"])
    assert found(known, [["▁king", "("], ["▁king", "男", "s"], ["男", "男"], ["▁남", "자"], ["▁king", "-a"]]) == [
        ("▁king", 0, 0, False),
        ("(", 0, 1, False),
        ("▁king", 1, 0, False),
        ("男", 1, 1, False),
        ("s", 1, 2, False),
        ("男", 2, 0, False),
        ("男", 2, 1, False),
        ("▁남", 3, 0, True),
        ("자", 3, 1, False),
        ("▁king", 4, 0, False),
        ("-a", 4, 1, False),
    ]


def octets(text, *cuts):
    """The bytes of a text as a byte-level vocabulary spells them, cut into tokens."""
    chars = spelled(text, Marking.BYTELEVEL)
    bounds = [0, *cuts, len(chars)]
    return [chars[start:stop] for start, stop in pairwise(bounds)]


@pytest.mark.parametrize(
    ("text", "cuts", "whole"),
    [
        (" king’s", (5, 7, 8), True),  # as GPT-2 splits ’
        (" king’s", (5, 6, 7, 8), True),
        (" king王", (5, 7), True),
        (" king😀", (5, 8), True),
        (" kingé", (5, 6), False),
        (" king남", (5, 6), False),
        (" king»", (5, 6), True),
        (" king！", (5, 6), True),
    ],
)
def test_a_character_in_several_tokens_parts_words_by_its_first_byte(text, cuts, whole):
    pieces = octets(text, *cuts)
    known = vocabulary("bytelevel", list(dict.fromkeys(pieces)))
    matches = {text: inside for text, _, _, inside in found(known, [pieces])}
    assert matches.pop("Ġking") is not whole
    assert set(matches.values()) == {False}  # parts of characters and of words count wherever they stand


@pytest.mark.parametrize(("before", "whole"), [("“", True), ("王", True), ("é", False)])
def test_the_rest_of_a_character_is_judged_by_its_first_byte(before, whole):
    """“king: the word of a list stands behind a character that two tokens spell."""
    *halves, king = octets(f"{before}king", 1, len(before.encode()))
    known = vocabulary("bytelevel", [*halves, king])
    words = describe_words(Strings(["king"]), Pieces(np.asarray([0, 1]), np.asarray([2], dtype=np.int32)))
    assert found(known, [[*halves, king]], words) == ([("king", 0, 2, False)] if whole else [])


def test_nothing_begins_within_a_character():
    first, rest = octets("“a", 1)
    assert bytes_of(rest).endswith(b"a")
    edges = find_boundaries(vocabulary("bytelevel", [first, rest])).edges(*joined([[0, 1]]))
    assert edges.tolist() == [True, False, True]


def test_bytes_of_sentencepiece_are_bytes():
    known = find_boundaries(vocabulary("metaspace", ["<0xE2>", "<0x80>", "<0x99>", "<0x41>", "<0x21>", "▁king", "s"]))
    edges = known.edges(*joined([[5, 0, 1, 2, 6], [5, 3], [5, 4, 6]]))
    assert edges.tolist() == [True, True, False, False, True, True, False, True, True, True, True]


def test_added_tokens_and_suffixes():
    known = vocabulary("suffix", ["king</w>", "a</w>", "king", "<x>", "new"], special=["<x>"], added=["<x>", "new"])
    assert found(known, [["a</w>", "king</w>"], ["king", "king</w>"], ["<x>", "king</w>", "new", "a</w>"]]) == [
        ("a</w>", 0, 0, False),
        ("king</w>", 0, 1, False),
        ("king", 1, 0, False),
        ("king</w>", 1, 1, True),
        ("king</w>", 2, 1, False),
        ("new", 2, 2, False),
        ("a</w>", 2, 3, False),
    ]


def test_a_filtered_table_keeps_its_rows():
    known = vocabulary("wordpiece", ["king", "##dom", "a", "##s"])
    parts = sampled.table(known).keep(["subword"])
    assert found(known, [["king", "##dom", "a", "##s"]], parts) == [("##dom", 0, 1, False), ("##s", 0, 3, False)]
    assert make_matcher(known, parts).items == 2


def test_kinds_that_never_count():
    known = vocabulary("metaspace", ["▁", "<unk>", "[unused7]", "▁a"], special=["<unk>"])
    assert sampled.table(known).kinds.tolist() == [Kind.EMPTY, Kind.SPECIAL, Kind.UNUSED, Kind.WORD]
    assert found(known, [["▁", "<unk>", "[unused7]", "▁a"]]) == [("▁a", 0, 3, False)]


def test_a_spelling_without_its_blank_is_not_found_behind_it():
    """▁ and king: the word's own pieces stand there, and its other spelling would count it twice."""
    known = vocabulary("metaspace", ["▁", "king", "("])
    words = describe_words(Strings(["king"]), Pieces(np.asarray([0, 2]), np.asarray([0, 1], dtype=np.int32)))
    spellings = Spellings(
        Pieces(np.asarray([0, 2, 3]), np.asarray([0, 1, 1], dtype=np.int32)),
        np.asarray([0, 0], dtype=np.int32),
        np.asarray([-1, 0], dtype=np.int32),
    )
    matches = make_matcher(known, words, spellings).find(*joined([[0, 1], [2, 1], [1]]))
    places = zip(matches.sentences.tolist(), matches.positions.tolist(), matches.lengths.tolist(), strict=True)
    assert sorted(places) == [(0, 0, 2), (1, 1, 1), (2, 0, 1)]
    assert not matches.inside.any()


SEQUENCES = st.lists(st.integers(0, 4), min_size=1, max_size=5)


@given(
    st.lists(SEQUENCES, min_size=1, max_size=12),
    st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=5),
)
def test_sequences_are_found_wherever_they_stand(sequences, sentences):
    trie = grow(*joined(sequences), 5)
    ids, offsets = joined(sentences)
    first = np.zeros(len(ids) + 1, dtype=np.bool_)
    first[offsets] = True
    ours = sorted(
        (position, row, length)
        for length, positions, rows in trie.find(ids, first[:-1])
        for position, row in zip(positions.tolist(), rows.tolist(), strict=True)
    )
    theirs = sorted(
        (int(offsets[number]) + start, row, len(wanted))
        for number, sentence in enumerate(sentences)
        for row, wanted in enumerate(sequences)
        for start in range(len(sentence))
        if sentence[start : start + len(wanted)] == wanted
    )
    assert ours == theirs


@given(
    st.lists(SEQUENCES, min_size=1, max_size=6),
    st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_words_of_a_list_stand_between_boundaries_and_nowhere_else(sequences, sentences, begins):
    texts = [f"{'' if begins[number] else '##'}{'abcde'[number]}" for number in range(5)]
    ids, offsets = joined(sequences)
    words = describe_words(Strings([f"w{row}" for row in range(len(sequences))]), Pieces(offsets, ids))
    matches = make_matcher(vocabulary("wordpiece", texts), words).find(*joined(sentences))
    ours = zip(matches.rows.tolist(), matches.sentences.tolist(), matches.positions.tolist(), strict=True)
    theirs = [
        (row, number, start)
        for number, sentence in enumerate(sentences)
        for row, wanted in enumerate(sequences)
        for start in range(len(sentence))
        if sentence[start : (after := start + len(wanted))] == wanted
        and (start == 0 or begins[sentence[start]])
        and (after == len(sentence) or begins[sentence[after]])
    ]
    assert sorted(ours) == sorted(theirs)
    assert not matches.inside.any()


def test_a_trie_of_a_hundred_thousand_words():
    """The filter tells most absent keys, and the search the rest."""
    random = np.random.default_rng(0)
    lengths = random.integers(1, 6, 100_000)
    offsets = np.cumsum(np.concatenate(([0], lengths)))
    ids = random.integers(0, 2000, offsets[-1]).astype(np.int32)
    trie = grow(ids, offsets, 2000)
    first = np.zeros(len(ids), dtype=np.bool_)
    first[offsets[:-1]] = True
    matches = np.concatenate([np.stack([positions, rows]) for _, positions, rows in trie.find(ids, first)], axis=1)
    own = matches[0] == offsets[matches[1]]
    assert np.unique(matches[1][own]).tolist() == list(range(100_000))
