"""Sentences as the model's tokenizer splits them: ids without special tokens, in batches, in one thread."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError, first_line
from kotovec.growth import Growth, growth_of
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
        self._split: _Fast | _Worded | _Slow = _Slow(tokenizer)
        quick = self._quick(tokenizer)
        if quick is not None:
            with single_thread():
                if _lists(guarded(quick, PROBES)) == _lists(guarded(self._split, PROBES)):
                    self._split = quick

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
        ids, lengths = [np.empty(0, dtype=np.int32)], [np.zeros(1, dtype=np.int64)]
        with single_thread():
            for start in range(0, len(texts), BATCH):
                found = guarded(self._split, texts[start : start + BATCH])
                counts = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
                ids.append(np.fromiter(chain.from_iterable(found), dtype=np.int32, count=counts.sum()))
                lengths.append(counts)
        return np.concatenate(ids), np.cumsum(np.concatenate(lengths))

    def _quick(self, tokenizer: Any) -> "_Fast | _Worded | None":
        """Return a faster way than transformers' own, if there is one; it may give other ids."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            return _Worded(tokenizer) if type(tokenizer).__name__ == "BertJapaneseTokenizer" else None
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
        return _Fast(plain)


def _lists(found: Iterable[Sequence[int]]) -> list[list[int]]:
    return list(map(list, found))


class _Slow:
    """The tokenizer as transformers calls it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> list[Sequence[int]]:
        return slow(self._tokenizer)(texts)


class _Fast:
    """A tokenizer in Rust, without what transformers wraps around it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> list[Sequence[int]]:
        return [each.ids for each in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class _Worded:
    """BertJapaneseTokenizer with the ids of each word that it has split before: a word is split in Python, 20 us."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = tokenizer.all_special_tokens
        kept = {*self._special, *tokenizer.added_tokens_encoder}
        self._added = re.compile("|".join(map(re.escape, kept)) or r"(?!)")
        self._ids: dict[str, tuple[int, ...]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ids": {}}

    def __call__(self, texts: Sequence[str]) -> list[Sequence[int]]:
        return [self._split(text) for text in texts]

    def _split(self, text: str) -> Sequence[int]:
        if self._added.search(text):
            return slow(self._tokenizer)([text])[0]
        known, found = self._ids, list[int]()
        for word in self._tokenizer.word_tokenizer.tokenize(text, never_split=self._special):
            ids = known.get(word)
            if ids is None:
                ids = self._learn(word)
            found += ids
        return found

    def _learn(self, word: str) -> tuple[int, ...]:
        tokens = self._tokenizer.subword_tokenizer.tokenize(word)
        ids = tuple(self._tokenizer.convert_tokens_to_ids(tokens))
        if len(self._ids) < MOST_WORDS:
            self._ids[word] = ids
        return ids
