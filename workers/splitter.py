"""Sentences as the model's tokenizer splits them: ids without special tokens, in batches, in one thread."""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError, first_line
from kotovec.growth import Growth, growth_of
from kotovec.workers.chunks import Chunks, make_chunks
from kotovec.workers.spelling import guarded, single_thread, slow

# Texts on which a faster way is compared with transformers'.
PROBES = (
    "The king's men weren't here (in 1984); 3.5 % of them, naïve or not, went home!",
    "  Two blanks  and a tab\tand ünïcödé — “quotes”, e-mail@example.org 😀.",
    "王と女王が、東京大学で「日本語」を学ぶ。ﾊﾝｶｸ①　㌔ カタカナー",
    "[CLS] special [MASK] tokens </s> in <unk> texts [SEP]",
    "Привет, мир! 안녕하세요 세계 สวัสดีชาวโลก",
)
BATCH = 256  # texts at a time: of 4,096, lists and objects fall out of the cache, which takes a third of the time again
MOST_WORDS = 1 << 18  # words of MeCab whose ids are kept: some 60 MB


class Splitter:
    """A tokenizer for sentences; it is pickled to where they are split.

    Args:
        tokenizer: the tokenizer of transformers.

    Raises:
        ModelError: the tokenizer cannot be used on texts.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._growth: Growth | None = None
        self._way: _Slow | _Fast | _Worded | Chunks = _Slow(tokenizer)
        ways = [*self._ways(tokenizer), self._way]  # which sets `_growth`, before anything is split
        expected = self._split_probes()
        for self._way in ways:
            if self._split_probes() == expected:
                break

    def split(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return the ids of s texts, one behind the other, and where each begins, (s + 1,); of some texts, none.

        Raises:
            ModelError: the tokenizer is damaged, or its rules could make more of a text than memory holds.
        """
        if self._growth is not None:
            try:
                self._growth.check(4 * max(map(len, texts), default=0))  # a character has up to 4 bytes
            except ValueError as error:
                raise ModelError(f"the model's tokenizer is not used on texts: {error}") from error
        found: list[Any] = []
        with single_thread():
            for start in range(0, len(texts), BATCH):
                found += guarded(self._way, texts[start : start + BATCH])
        ids = b"".join([each or b"" for each in found])
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        offsets = np.zeros(len(found) + 1, dtype=np.int64)
        np.cumsum(lengths // np.dtype(np.int32).itemsize, out=offsets[1:])
        return np.frombuffer(ids, dtype=np.int32), offsets

    def _split_probes(self) -> list[bytes]:
        return [each.tobytes() for each in self.split(PROBES)]

    def _ways(self, tokenizer: Any) -> "Iterator[_Fast | _Worded | Chunks]":
        """Yield faster ways than transformers' own, the fastest first; they may give other ids."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            if type(tokenizer).__name__ == "BertJapaneseTokenizer":
                yield _Worded(tokenizer)
            return
        from tokenizers import Tokenizer

        written = backend.to_str()
        try:
            self._growth = growth_of(written.encode(), Tokenizer.from_str)
        except Exception as error:
            raise ModelError(f"the model's tokenizer is not used on texts: {first_line(error)}") from error
        plain = Tokenizer.from_str(written)
        plain.encode_special_tokens = backend.encode_special_tokens
        plain.no_truncation()
        plain.no_padding()
        if (chunks := make_chunks(plain)) is not None:
            yield chunks
        yield _Fast(plain)


def packed(ids: Iterable[int]) -> bytes:
    """Return ids as the bytes of int32."""
    return array("i", ids).tobytes()


class _Slow:
    """The tokenizer as transformers calls it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> list[bytes]:
        return list(map(packed, slow(self._tokenizer)(texts)))


class _Fast:
    """A tokenizer in Rust, without what transformers wraps around it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> list[bytes]:
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [packed(each.ids) for each in encoded]


class _Worded:
    """BertJapaneseTokenizer with the ids of each word that it has split before: a word is split in Python, 20 us."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = tokenizer.all_special_tokens
        kept = {*self._special, *tokenizer.added_tokens_encoder}
        self._added = re.compile("|".join(map(re.escape, kept)) or r"(?!)")
        self._ids: dict[str, bytes] = {}
        self._tagger = _tagger(tokenizer)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ids": {}, "_tagger": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = {**state, "_tagger": _tagger(state["_tokenizer"])}

    def __call__(self, texts: Sequence[str]) -> list[bytes]:
        return [self._split(text) for text in texts]

    def _split(self, text: str) -> bytes:
        if self._added.search(text):
            return packed(slow(self._tokenizer)([text])[0])
        splitter = self._tokenizer.word_tokenizer
        if self._tagger is None:
            words = splitter.tokenize(text, never_split=self._special)
        else:
            words = self._tagger.parse(normalize("NFKC", text) if splitter.normalize_text else text).split(" ")
        found = list(map(self._ids.get, words))
        if None in found:
            found = [self._learn(word) if ids is None else ids for word, ids in zip(words, found, strict=True)]
        return b"".join(filter(None, found))

    def _learn(self, word: str) -> bytes:
        tokens = self._tokenizer.subword_tokenizer.tokenize(word)
        ids = packed(self._tokenizer.convert_tokens_to_ids(tokens))
        if len(self._ids) >= MOST_WORDS:
            self._ids = {}  # rare ones go, and frequent ones come back at once
        self._ids[word] = ids
        return ids


def _tagger(tokenizer: Any) -> Any:
    """Return MeCab as a tokenizer uses it, which writes words with blanks between them; None for any other splitter.

    An object for each word takes as long as ipadic's analysis.
    """
    splitter = tokenizer.word_tokenizer
    options = (tokenizer.mecab_kwargs or {}).get("mecab_option")
    if type(splitter).__name__ != "MecabTokenizer" or splitter.do_lower_case or options:
        return None
    import fugashi

    folder = Path(splitter.mecab.dictionary_info[0]["filename"]).parent
    try:
        return fugashi.GenericTagger(f'-d "{folder}" -r "{folder / "mecabrc"}" -O wakati')
    except RuntimeError:  # a dictionary of the system, which has no settings beside it
        return None
