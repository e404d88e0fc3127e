"""A fast tokenizer made faster: where no token crosses a blank, what stands between two blanks is split only once.

Of English, nine of ten such chunks were there before, and looking one up takes a twentieth of the time of splitting it.
"""

import json
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, product
from typing import Any

MOST_CHUNKS = 1 << 18  # that are kept: some 60 MB
MOST_CHARS = 32  # of a chunk that is kept; text without blanks would only fill memory
# What a normalizer may do, for what is on one side of a blank to have no influence on what is on its other side.
_APART = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_MAPS = {"Precompiled", "Nmt"}  # from characters to others, or to blanks: looked at for ASCII
_SPLITTERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}  # which drop blanks
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class Chunks:
    """A tokenizer of Rust that splits each chunk of a text on its own.

    Args:
        tokenizer: without truncation and padding.
        with_blank: whether a chunk is split with the blank before it.
        ascii_only: whether only texts of ASCII are cut.
        uncut: finds what must not be in a text that is cut.
    """

    def __init__(
        self, tokenizer: Any, *, with_blank: bool, ascii_only: bool = False, uncut: re.Pattern[str] | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._ascii_only, self._uncut = ascii_only, uncut
        self._cut: Callable[[str], list[str]] = re.compile(" ?[^ ]+").findall if with_blank else str.split
        self._ids: dict[str, bytes] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ids": {}}

    def __call__(self, texts: Sequence[str]) -> list[bytes]:
        """Return the ids of each text, int32 as bytes."""
        chunks = [self._cut(text) if self._may_cut(text) else [text] for text in texts]
        known = self._ids
        wanted = set(chain.from_iterable(chunks))
        missing = [chunk for chunk in wanted if chunk not in known]
        if len(known) + len(missing) > MOST_CHUNKS:
            # Rare chunks go for good, and frequent ones come back at once.
            known = self._ids = {chunk: known[chunk] for chunk in wanted if chunk in known}
        encoded = self._tokenizer.encode_batch_fast(missing, add_special_tokens=False)
        known.update((chunk, array("i", each.ids).tobytes()) for chunk, each in zip(missing, encoded, strict=True))
        found = [b"".join(map(known.__getitem__, each)) for each in chunks]
        for chunk in missing:
            if len(chunk) > MOST_CHARS:
                del known[chunk]
        return found

    def _may_cut(self, text: str) -> bool:
        # Characters that are not printable are, beside others, all that count as a blank.
        if not text.isprintable() or "  " in text or text[:1] == " " or text[-1:] == " ":
            return False
        return not ((self._ascii_only and not text.isascii()) or (self._uncut and self._uncut.search(text)))


def make_chunks(tokenizer: Any) -> Chunks | None:
    """Return a tokenizer that splits by chunks, or None where a token may depend on more than its chunk.

    Args:
        tokenizer: a `tokenizers.Tokenizer` without truncation and padding.
    """
    normalizers = list(_flat(_state(tokenizer.normalizer)))
    added = list(tokenizer.get_added_tokens_decoder().values())
    if getattr(tokenizer.model, "dropout", None) or any(token.rstrip or " " in token.content for token in added):
        return None
    kinds = {each["type"] for each in normalizers if each.get("pattern") != {"Regex": " {2,}"}}
    ascii_only = bool(kinds - _APART)
    if ascii_only and not (kinds - _APART <= _MAPS and _keeps_blanks(tokenizer.normalizer)):
        return None
    first, *others = list(_flat(_state(tokenizer.pre_tokenizer))) or [{"type": None}]
    if first["type"] in _SPLITTERS and not any(each.get("prepend_scheme") == "first" for each in others):
        return Chunks(tokenizer, with_blank=False, ascii_only=ascii_only)
    if others or not first.get({"ByteLevel": "use_regex", "Metaspace": "split"}.get(first["type"], "")):
        return None
    # Beside an added token, a blank is a token of its own for SentencePiece.
    uncut = [token.content for token in added if first["type"] == "Metaspace"]
    if uncut and any(token.normalized for token in added):
        return None
    pattern = re.compile("|".join(map(re.escape, uncut))) if uncut else None
    return Chunks(tokenizer, with_blank=True, ascii_only=ascii_only, uncut=pattern)


def _state(stage: Any) -> dict[str, Any]:
    return {} if stage is None else json.loads(stage.__getstate__())


def _flat(stage: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a stage, or the stages that it is a sequence of."""
    if stage.get("type") == "Sequence":
        for each in stage.get("normalizers", stage.get("pretokenizers", ())):
            yield from _flat(each)
    elif stage:
        yield stage


def _keeps_blanks(normalizer: Any) -> bool:
    """Return whether the rules of SentencePiece leave the blanks between printable characters of ASCII as they are."""
    normal = {char: normalizer.normalize_str(char) for char in _PRINTABLE}
    if normalizer.normalize_str(" a") != f" {normal['a']}" or any(" " in text for text in normal.values()):
        return False
    return all(
        normalizer.normalize_str(f"{before} {after}") == f"{normal[before]} {normal[after]}"
        for before, after in product(_PRINTABLE, repeat=2)
    )
