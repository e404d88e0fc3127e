"""The notation of tokens in lists: no two look alike, and what a person would type for one."""

import re

import pytest

from kotovec.store import Store
from kotovec.store.notation import noted, typed
from kotovec.store.tokens import Kind, Marking, surface_of

WORDPIECE, METASPACE, BYTELEVEL, SUFFIX, NONE = Marking


def spelled(word):
    """A word as a byte-level vocabulary spells it, by GPT-2's alphabet."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [octet for octet in range(256) if octet not in plain]
    octets = word if isinstance(word, bytes) else word.encode()
    return "".join(chr(octet) if octet in plain else chr(256 + others.index(octet)) for octet in octets)


def notation(text, marking=WORDPIECE, kind=Kind.WORD):
    return noted(text, surface_of(text, marking), kind, marking)


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
        ("क\u093f", "क\u093f"),
    ],
)
def test_what_cannot_be_seen_or_looks_like_something_else_is_an_escape(text, shown):
    assert notation(text) == shown


@pytest.mark.parametrize(
    ("word", "kind", "shown"),
    [
        (" king", Kind.WORD, "▁king"),
        ("▁king", Kind.WORD, "\\u2581king"),
        ("  ", Kind.EMPTY, "▁␣"),
        ("café", Kind.WORD, "café"),
        ("\0", Kind.WORD, "\\u0000"),
        ("\\xe7", Kind.WORD, "\\\\xe7"),
        (b"\xe7", Kind.BYTE, "\\xe7"),
        (b" \xe7\x8e", Kind.BYTE, "▁\\xe7\\x8e"),
        (b"\x8b\xe7\x8e\x8ba", Kind.BYTE, "\\x8b王a"),
        ("\x85", Kind.WORD, "\\u0085"),
        (b"\x85", Kind.BYTE, "\\x85"),
    ],
)
def test_bytes_are_told_from_the_characters_that_they_resemble(word, kind, shown):
    assert notation(spelled(word), BYTELEVEL, kind) == shown


@pytest.mark.parametrize("name", ["demo_static", "bytelevel", "metaspace", "japanese"])
def test_no_two_tokens_of_a_vocabulary_look_alike(name, request):
    with Store.open(request.getfixturevalue(name)) as store:
        tokens = store.tokens
        kinds = tokens.kinds.tolist()
        shown = [
            noted(text, surface, kind, tokens.marking)
            for text, surface, kind in zip(tokens.texts, tokens.surfaces, kinds, strict=True)
        ]
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
    assert noted("café", "café", Kind.WORD, BYTELEVEL) == "café"
