"""The table of tokens: its strings in one block, whatever they hold and however long one of them is."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.store.tokens import FEW, LONGEST, Strings
from kotovec.store.vectors import Vectors

import commands
from commands import PEAK_KB

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6), max_size=12)
HUGE = 10_000_000  # bytes of one token
LIMIT = 100 << 20  # bytes that 500 tokens may take beside what the imports do, one of them as long as that

# In a process of its own: the peak of this one is that of whatever ran before.
ABSURD = f"""
import sys
from pathlib import Path
import numpy as np
from kotovec.space import Space
from kotovec.store.layout import Layout
from kotovec.store.tokens import Marking, describe
from kotovec.store.vectors import Vectors
from kotovec.store.writer import write_space, write_tokens

def peak():
    return {PEAK_KB} * 1024

before = peak()
texts = [f"t{{number}}" for number in range(500)]
texts[250] = "x" * {HUGE}
layout = Layout(Path(sys.argv[1]))
layout.folder.mkdir()
tokens = describe(range(500), texts, frozenset(), Marking(sys.argv[2]))
identity = write_tokens(layout, tokens, {{"settings": "{{}}"}})
write_space(layout, Space("static"), np.ones((500, 4), dtype=np.float32), identity, {{}})
opened = Vectors(layout.folder)
print(peak() - before, opened.tokens.texts.find("t499"), layout.tokens.stat().st_size)
"""


@given(TEXTS)
def test_strings_come_back_as_they_were_given(texts):
    strings = Strings(texts)
    again = Strings(np.frombuffer(strings.block, dtype=np.uint8))
    for each in (strings, again):
        assert list(each) == [each[row] for row in range(len(each))] == texts
        assert len(each) == len(texts)
        assert [text.decode() for text in each.encoded()] == texts
    assert again.block == strings.block == b"\0" + b"".join(text.encode() + b"\0" for text in texts)


@given(TEXTS, st.data())
def test_parts_of_strings_are_those_of_a_list(texts, data):
    strings = Strings(texts)
    part = data.draw(st.slices(len(texts)))
    assert list(strings[part]) == texts[part]
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1))) if texts else []
    assert list(strings.take(rows)) == strings.at(np.array(rows, dtype=np.int64)) == [texts[row] for row in rows]
    for row in rows:
        assert strings[row - len(texts)] == texts[row]
    for row in (len(texts), -len(texts) - 1):
        with pytest.raises(IndexError):
            strings[row]


@given(TEXTS, st.text(max_size=3))
def test_find_gives_the_last_row_of_a_string_by_search_and_by_dictionary(texts, other):
    strings = Strings(texts)
    expected = {text: row for row, text in enumerate(texts)}
    wanted = [*texts, other, "", "a\0b", "\0", "\ud800"]
    for _ in range(FEW // (len(wanted) - 1) + 2):  # the last round is beyond the first few
        assert [strings.find(text) for text in wanted] == [expected.get(text) for text in wanted]
    assert strings._looked_for > FEW


@pytest.mark.parametrize("looked_for", [0, FEW])
def test_a_string_is_not_found_within_another_one_nor_across_two(looked_for):
    strings = Strings(["ab", "b", "", "a", "b", "bb"])
    strings._looked_for = looked_for
    found = {text: strings.find(text) for text in ("ab", "b", "", "a", "bb", "a\0b", "abb", "c", "\0")}
    assert found == {"ab": 0, "b": 4, "": 2, "a": 3, "bb": 5, "a\0b": None, "abb": None, "c": None, "\0": None}


@pytest.mark.parametrize(("text", "stored"), [("a\0b", "a␀b"), ("\0", "␀"), ("a\ud800", "a?")])
def test_what_no_block_can_hold_is_replaced(text, stored):
    assert list(Strings(["x", text, "y"])) == ["x", stored, "y"]


@pytest.mark.parametrize("sign", ["x", "é", "王", "😀"])
def test_a_text_is_cut_at_a_character_where_it_has_more_than_4096_bytes_and_ends_in_its_hash(sign):
    fits, over = sign * (LONGEST // len(sign.encode())), sign * (LONGEST // len(sign.encode()) + 1)
    whole, cut = Strings([fits, over])
    mark = f"…{hashlib.sha256(over.encode()).hexdigest()[:16]}"
    assert whole == fits
    assert cut == over[: (LONGEST - len(mark.encode())) // len(sign.encode())] + mark
    assert LONGEST - len(sign.encode()) < len(cut.encode()) <= LONGEST
    other = Strings([over + "y"])[0]
    assert other.partition("…")[0] == cut.partition("…")[0]
    assert other != cut


@pytest.mark.parametrize("marking", ["wordpiece", "bytelevel", "metaspace"])
def test_a_token_of_ten_megabytes_costs_its_own_length_and_is_cut(tmp_path, marking):
    """A fixed width, as format 1 had it, would take 500 times as much: 5 GB."""
    done = subprocess.run(
        [sys.executable, "-c", ABSURD, tmp_path / "a.kotovec", marking],
        env=commands.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    peak, row, size = map(int, done.stdout.split())
    assert peak < LIMIT
    assert (row, size < 50_000) == (499, True)
    tokens = Vectors(tmp_path / "a.kotovec").tokens
    mark = f"…{hashlib.sha256(b'x' * HUGE).hexdigest()[:16]}"
    assert tokens.texts[250] == "x" * (LONGEST - len(mark.encode())) + mark
    assert [len(tokens.texts[row]) for row in (249, 251)] == [4, 4]
    assert tokens.texts.find(tokens.texts[250]) == 250
