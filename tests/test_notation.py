"""The notation of tokens in lists: no two look alike, and what a person would type for one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.store import Store
from kotovec.store.notation import noted, typed
from kotovec.store.tokens import Marking, describe, surface_of

WORDPIECE, METASPACE, BYTELEVEL, SUFFIX, NONE = Marking


def spelled(word):
    """A word as a byte-level vocabulary spells it, by GPT-2's alphabet."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [octet for octet in range(256) if octet not in plain]
    octets = word if isinstance(word, bytes) else word.encode()
    return "".join(chr(octet) if octet in plain else chr(256 + others.index(octet)) for octet in octets)


def notation(text, marking=WORDPIECE):
    return noted(text, surface_of(text, marking), marking)


def notations(tokens):
    """The notation of every token of a table."""
    spelled = zip(tokens.texts, tokens.surfaces, strict=True)
    return [noted(text, surface, tokens.marking) for text, surface in spelled]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("king", "king"),
        ("王", "王"),
        ("##ing", "##ing"),
        ("", "\\e"),
        ("a b", "a␣b"),
        ("␣", "\\u2423"),
        ("\\n", "\\\\n"),
        ("\n", "\\n"),
        ("\x85", "\\u0085"),
        ("a\u200bb", "a\\u200bb"),
        ("\u202eking", "\\u202eking"),
        ("\u3000", "\\u3000"),
        ("\ufe0f", "\\ufe0f"),
        ("\u3164", "\\u3164"),
        ("\U000e0100", "\\U000e0100"),
        ("é", "é"),
        ("e\u0301", "e\\u0301"),
        ("\u0301", "\\u0301"),
        ("\uf900", "\\uf900"),
        ("が", "が"),
        ("か\u3099", "か\\u3099"),
        ("하", "하"),
        ("\u1112\u1161", "\u1112\\u1161"),
        ("\uf900王", "\\uf900王"),
        ("क\u093f", "क\u093f"),
    ],
)
def test_what_cannot_be_seen_or_looks_like_something_else_is_an_escape(text, shown):
    assert notation(text) == shown


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (" king", "▁king"),
        ("▁king", "\\u2581king"),
        ("  ", "▁␣"),
        ("café", "café"),
        ("\0", "\\u0000"),
        ("\\xe7", "\\\\xe7"),
        (b"\\\xe7", "\\\\\\xe7"),
        (b"\xe7", "\\xe7"),
        (b" \xe7\x8e", "▁\\xe7\\x8e"),
        (b"\x8b\xe7\x8e\x8ba", "\\x8b王a"),
        ("\x85", "\\u0085"),
        (b"\x85", "\\x85"),
    ],
)
def test_bytes_are_told_from_the_characters_that_they_resemble(word, shown):
    assert notation(spelled(word), BYTELEVEL) == shown


# Characters that mean something in the notation or among bytes, and those that compose.
CHARS = "\\xeu+e7 ▁␣\n\t\0é\u0301\u00e9ÃĠĊçİĭ王\u3099か\u1112\u1161\uf900\ufffd\u200b\U000e0100#<>"
WORDS = st.text(st.sampled_from(CHARS) | st.characters(exclude_categories=["Cs"]), max_size=5)
BYTES = st.binary(max_size=5) | WORDS.map(str.encode)


@given(st.lists(WORDS, max_size=8), st.lists(BYTES, max_size=8), st.sampled_from(Marking), st.data())
def test_two_tokens_of_any_vocabulary_have_two_notations(words, octets, marking, data):
    """Also where some are added as they stand beside others that are spelled in bytes, or are special."""
    in_bytes = {spelled(each) for each in octets}
    texts = list({*words, *in_bytes})
    added = {row for row, text in enumerate(texts) if text not in in_bytes and data.draw(st.booleans())}
    special = {row for row in range(len(texts)) if data.draw(st.integers(0, 5)) == 0}
    tokens = describe(range(len(texts)), texts, frozenset(special), marking, added=frozenset(added))
    shown = notations(tokens)
    assert len(set(shown)) == len(set(tokens.texts))
    assert all(each.isprintable() and " " not in each for each in shown)


def test_added_beside_bytes_is_told_from_the_same_in_bytes():
    texts = [
        "王",
        spelled("王"),
        "a b",
        spelled("a b"),
        "é",
        spelled("é"),
        " a",
        spelled(" a"),
        "<s>",
        "\n\n",
        spelled("\n\n"),
    ]
    added = frozenset(row for row in range(len(texts)) if row % 2 == 0 or row == 9)
    shown = notations(describe(range(len(texts)), texts, frozenset([8]), BYTELEVEL, added=added - {10}))
    assert shown[:6] == ["\\+王", "王", "\\+a␣b", "a␣b", "\\+é", "é"]
    assert shown[6:] == ["\\+␣a", "▁a", "<s>", "\\+\\n\\n", "\\n\\n"]


@pytest.mark.parametrize("name", ["bert-base-japanese-v3", "bert-base-japanese-whole-word-masking"])
def test_no_two_tokens_of_a_japanese_vocabulary_look_alike(name):
    path = Path(__file__).parent / "data" / name / "vocab.txt"
    texts = path.read_text(encoding="utf-8").split("\n")[:-1]
    shown = notations(describe(range(len(texts)), texts, frozenset(), WORDPIECE))
    assert [read(each) for each in shown] == texts


@pytest.mark.parametrize("name", ["demo_static", "bytelevel", "metaspace", "japanese"])
def test_no_two_tokens_of_a_vocabulary_look_alike(name, request):
    with Store.open(request.getfixturevalue(name)) as store:
        tokens = store.tokens
        shown = notations(tokens)
        assert len(set(shown)) == len(set(tokens.texts))
        assert all(each.isprintable() and " " not in each for each in shown)
        # And read back, they are the texts again.
        if tokens.marking is not BYTELEVEL:
            assert [read(each) for each in shown] == list(tokens.texts)


def read(shown):
    """A text from its notation, where the vocabulary is not spelled in bytes."""
    escapes = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\\\": "\\", "\\e": "", "␣": " "}
    expression = r"\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|\\[ntre\\]|␣"
    return re.sub(expression, lambda match: escapes.get(match[0]) or _code(match[0], escapes), shown)


def _code(escape, escapes):
    return escapes[escape] if escape in escapes else chr(int(f"0x{escape[2:]}", 0))


@pytest.mark.parametrize(
    ("text", "marking", "expected"),
    [
        ("##ing", WORDPIECE, ("ing", True)),
        ("##", WORDPIECE, ("##", False)),
        ("king", WORDPIECE, ("king", False)),
        ("▁king", METASPACE, ("king", True)),
        ("▁of▁the", METASPACE, ("of the", True)),
        ("▁", METASPACE, ("", True)),
        ("king</w>", SUFFIX, ("king", True)),
        ("king", SUFFIX, ("king", False)),
        ("▁king", NONE, ("▁king", False)),
        (spelled(" café"), BYTELEVEL, ("café", True)),
        (spelled("\n\n"), BYTELEVEL, ("\n\n", False)),
        (spelled("\0"), BYTELEVEL, ("\0", False)),
        ("<|endoftext|>", BYTELEVEL, ("<|endoftext|>", False)),
    ],
)
def test_what_a_person_types_for_a_token(text, marking, expected):
    assert typed(text, surface_of(text, marking), marking) == expected


def test_a_token_that_was_added_beside_a_byte_level_vocabulary_is_typed_as_it_stands():
    assert typed("café", "café", BYTELEVEL) == ("café", False)
    assert noted("café", "café", BYTELEVEL) == "\\+café"
