"""How much longer the rules of a tokenizer.json may make a text, as `tokenizers` aborts the process without memory.

Twelve rules that each replace `a` by ten of them make a terabyte of one letter. Every rule multiplies the bytes of a
text by some factor at most, and the product of all factors bounds what comes out.
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

MOST_BYTES = 64 << 20  # of a text as the rules may make it; tokenizers takes 17 times as much
MOST_TIMES = MOST_BYTES >> 6  # a word of 64 bytes must fit. ALBERT's rules make at most 20,000 of a byte, BERT's 50
MOST_TEMPLATE = 4096  # ids that a template may put around a text; BERT puts two
MOST_PIECES = 16 << 20  # bytes of all pieces of a Unigram model; tokenizers takes 300 times as much, XLM-V has 10 MB
LONGEST_PIECE = 4096  # bytes that a SentencePiece model may write for a character; those that are published write 33
_KEYS = (b'"added_tokens"', b'"normalizer"', b'"pre_tokenizer"', b'"post_processor"', b"\\u00")  # or one in escapes
# A pattern that begins with a character that must be there, and has no alternatives, matches no empty text. Only one
# `+` or `{2,}` may follow that character: Oniguruma stacks quantifiers (`a+*`), swaps their bounds, skips comments.
_CONSUMES = re.compile(
    r"(?s)(?!.*(\\K|\||\(\?))(\\[sSdDwWhn.]|\\p\{\^?\w+\}|\[[^\[\]&\\]+\]|[^\\^$.|?*+()\[\]{}])"
    r"(\+|\{[1-9]\d*,?\})?(?![*?+{])"
)
# Bytes that come of a byte at most; all characters were tried.
_UNICODE = {
    "BertNormalizer": 3.0,
    "ByteLevel": 2.0,
    "Lowercase": 1.5,
    "NFC": 3.0,
    "NFD": 3.0,
    "NFKC": 11.0,
    "NFKD": 11.0,
    "Nmt": 1.0,
    "Strip": 1.0,
    "StripAccents": 1.0,
}
_SPLITS = (
    "BertPreTokenizer",
    "CharDelimiterSplit",
    "Digits",
    "FixedLength",
    "Punctuation",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
)
_LISTS = ("normalizers", "pretokenizers", "processors")


class Growth(NamedTuple):
    """How many bytes may come of a byte: by the normalizer, and by all that is before the vocabulary."""

    normalized: float
    split: float

    def check(self, size: int) -> None:
        """Check that a text of some bytes becomes no longer than memory is taken for.

        Raises:
            ValueError: it could.
        """
        if max(1, size) * self.split > MOST_BYTES:
            raise ValueError(f"its rules may make more than {MOST_BYTES >> 20} MB of a text of {size:,} bytes")

    def check_added(self, texts: Iterable[str]) -> None:
        """Check the same of all added tokens, to which the rules are applied once, and which stay in memory.

        Raises:
            ValueError: they could become too long.
        """
        if sum(max(1, len(text.encode("utf-8", "replace"))) for text in texts) * self.normalized > MOST_BYTES:
            raise ValueError(f"its rules may make more than {MOST_BYTES >> 20} MB of its added tokens")


def growth_of(content: bytes, read: Callable[[str], Any]) -> Growth:
    """Return the growth of a text by the rules of a tokenizer.json, before `tokenizers` reads the file.

    It applies the rules to added tokens as it reads them.

    Args:
        content: the file.
        read: `tokenizers.Tokenizer.from_str`, for the rules alone.

    Raises:
        ValueError: the file is damaged, or its rules make more of a text than any text needs.
        RecursionError: it is nested too deeply.
        Exception: `tokenizers` does not read the rules; it has no error class.
    """
    _check_pieces(content)
    written = _head(content)
    rules = {name: written.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor")}
    # Rules have forms without a type, too: tokenizers says what it reads them as.
    empty = {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    tokenizer = read(json.dumps({"version": "1.0", "added_tokens": [], "model": empty, **rules}))
    normalized = times_normalized(tokenizer.normalizer)
    split = normalized * _product(tokenizer.pre_tokenizer, _pre_tokenizer)
    if split > MOST_TIMES:
        raise ValueError(f"its rules may make a text {split:.0e} times as long")
    if _template(tokenizer.post_processor) > MOST_TEMPLATE:
        raise ValueError(f"it may put more than {MOST_TEMPLATE:,} ids around a text")
    tokens = written.get("added_tokens") or ()
    growth = Growth(normalized, split)
    growth.check_added(token["content"] for token in tokens if token.get("normalized") is not False)
    return growth


def check_model(model: Any) -> None:
    """Check what the vocabulary of a read tokenizer adds to every piece of a text.

    Raises:
        ValueError: it is too long.
    """
    for name in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if len(text := getattr(model, name, None) or "") > LONGEST_PIECE:
            raise ValueError(f"its {name} has {len(text):,} characters")


def times_normalized(normalizer: Any) -> float:
    """Return how many bytes a normalizer makes of one at most."""
    return _product(normalizer, _normalizer)


def longest_piece(charsmap: bytes) -> int:
    """Return the most bytes that a map of SentencePiece's writes for a character: the size of a trie, it, and texts."""
    if len(charsmap) < 4:  # noqa: PLR2004 — the size
        return 0
    (size,) = struct.unpack("<I", charsmap[:4])
    return max(map(len, charsmap[4 + size :].split(b"\0")))


def _check_pieces(content: bytes) -> None:
    """Check the pieces of a Unigram model, of which `tokenizers` makes a tree with a hash table per byte."""
    if len(content) <= MOST_PIECES or not (b"Unigram" in content or b"\\u00" in content):
        return
    model = json.loads(content).get("model") or {}
    if isinstance(pieces := model.get("vocab"), list):
        size = sum(len(str(piece).encode("utf-8", "replace")) for piece, *_ in pieces)
        if size > MOST_PIECES:
            raise ValueError(f"its pieces have {size >> 20} MB, and {MOST_PIECES >> 20} MB are read")


def _head(content: bytes) -> dict[str, Any]:
    """Return the object in a tokenizer.json, without the model where that is its end: half of the time goes there."""
    start = content.find(b'"model"')
    if start > 0 and all(content.find(key, start) < 0 for key in _KEYS):
        try:
            head = json.loads(content[:start].rstrip().removesuffix(b",") + b"}")
        except ValueError:  # the word is within a text, or in another object
            pass
        else:
            return _object(head)
    return _object(json.loads(content))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is no object")  # noqa: TRY004 — as all that is wrong with a file
    return value


def _product(stage: Any, factor: Callable[[Mapping[str, Any]], float]) -> float:
    product = 1.0
    for rule in _rules(stage):
        product *= factor(rule)
    return product


def _rules(stage: Any) -> Iterator[dict[str, Any]]:
    """Yield the rules of a stage in their order, those of sequences in sequences, too."""
    waiting = [] if stage is None else [json.loads(stage.__getstate__())]
    while waiting:
        rule = waiting.pop()
        if rule.get("type") == "Sequence":
            waiting += reversed([each for name in _LISTS for each in rule.get(name) or ()])
        else:
            yield rule


def _normalizer(rule: Mapping[str, Any]) -> float:
    """Return how many bytes a rule makes of one at most; a text is split at added tokens, and each part has one."""
    match rule:
        case {"type": "Replace", "pattern": {"String": str(text)}, "content": str(content)} if text:
            return max(1.0, _size(content) / _size(text))
        case {"type": "Replace", "pattern": {"Regex": str(text)}, "content": str(content)} if _CONSUMES.match(text):
            return max(1.0, _size(content))
        case {"type": "Replace", "content": str(content)}:  # at every place between two characters
            return 1.0 + 2 * _size(content)
        case {"type": "Prepend", "prepend": str(text)}:
            return 1.0 + _size(text)
        case {"type": "Precompiled", "precompiled_charsmap": str(text)}:
            return max(1.0, longest_piece(base64.b64decode(text)))
    return _other(rule)


def _pre_tokenizer(rule: Mapping[str, Any]) -> float:
    match rule:
        case {"type": "Metaspace", "replacement": str(text)}:  # for each space, and before each part
            return 2.0 * _size(text)
        case {"type": "ByteLevel"}:  # a space before each part
            return 4.0
        case {"type": str(name)} if name in _SPLITS:
            return 1.0
    return _other(rule)


def _other(rule: Mapping[str, Any]) -> float:
    """Return a factor of Unicode's; of a rule that is not known here, more than what it could write everywhere."""
    return _UNICODE.get(str(rule.get("type")), 16.0 + 2 * len(json.dumps(rule)))


def _template(stage: Any) -> int:
    """Return the most ids that post-processors put around one; each may repeat what the last one made."""
    ids = 1
    for rule in _rules(stage):
        if rule.get("type") != "TemplateProcessing":
            ids += 4  # a token on either side, of a second text, too
            continue
        texts, added = 0, 0
        specials = {name: len(token.get("ids") or ()) for name, token in (rule.get("special_tokens") or {}).items()}
        for piece in rule.get("single") or ():
            texts += "Sequence" in piece
            added += specials.get(piece.get("SpecialToken", {}).get("id"), 0)
        ids = ids * texts + added
    return ids


def _size(text: str) -> int:
    return len(text.encode())
