"""Words of a list as the model's tokenizer splits them: the ids of their pieces, block by block."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError, first_line, quoted
from kotovec.growth import growth_of
from kotovec.panics import panics_as

SAMPLE = 256  # words for which the faster way is compared with transformers'
_PARALLEL = "TOKENIZERS_PARALLELISM"
Split = Callable[[Sequence[str]], Sequence[Sequence[int]]]


def split(
    tokenizer: Any, words: Iterable[Sequence[str]], longest: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the pieces of V words: what transformers' tokenizer gives for each alone, without special tokens.

    Args:
        tokenizer: the tokenizer of transformers.
        words: blocks of words; the pieces of one block are lists of Python at a time.
        longest: number of bytes of the longest word.

    Returns:
        offsets: (V + 1,) int64; the pieces of word i are those from `offsets[i]` to `offsets[i + 1]`, perhaps none.
        ids: (N,) int32 token ids.

    Raises:
        ModelError: the tokenizer is damaged, or its rules could make more of a word than memory holds.
    """
    counts: list[npt.NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    ids: list[npt.NDArray[np.int32]] = []
    quick: Split | None = None
    with single_thread():
        for number, block in enumerate(words):
            if number == 0:
                quick = _quick(tokenizer, block[:SAMPLE], longest)
            found = guarded(quick or slow(tokenizer), block)
            counts.append(np.fromiter(map(len, found), dtype=np.int64, count=len(found)))
            ids.append(np.fromiter((number for each in found for number in each), dtype=np.int32))
    return np.cumsum(np.concatenate(counts)), np.concatenate(ids)


def slow(tokenizer: Any) -> Split:
    """Return transformers' own way."""
    names = ("add_special_tokens", "return_attention_mask", "return_token_type_ids", "verbose")
    options = dict.fromkeys(names, False)
    return lambda words: list(tokenizer(list(words), **options)["input_ids"])


def _quick(tokenizer: Any, sample: Sequence[str], longest: int) -> Split | None:
    """Return a way without transformers, 13 us per word in place of 55; None where it gives other pieces.

    Raises:
        ModelError: the tokenizer's rules could make more of a word than memory holds, where `tokenizers` aborts.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    from tokenizers import Tokenizer

    written = backend.to_str()
    try:
        growth_of(written.encode(), Tokenizer.from_str).check(longest)
    except Exception as error:
        raise ModelError(f"the model's tokenizer is not used on words: {first_line(error)}") from error
    plain = Tokenizer.from_str(written)  # a copy, as that of transformers is saved with the store
    plain.encode_special_tokens = backend.encode_special_tokens
    plain.no_truncation()
    plain.no_padding()

    def quick(words: Sequence[str]) -> list[Sequence[int]]:
        return [each.ids for each in plain.encode_batch_fast(list(words), add_special_tokens=False)]

    alike = guarded(quick, sample) == guarded(slow(tokenizer), sample)
    return quick if alike else None


def guarded(way: Split, words: Sequence[str]) -> list[Sequence[int]]:
    """Return the pieces of words; of a word for which the tokenizer has no token, none.

    Raises:
        ModelError: the tokenizer is damaged.
    """
    try:
        with panics_as(lambda reason: ModelError(f"the model's tokenizer is damaged ({reason})")):
            return list(way(words))
    except ModelError:
        raise
    except Exception as error:  # tokenizers has no error class of its own
        if len(words) == 1:
            if any(part in str(error).lower() for part in ("unk", "missing")):  # it names what it lacks
                return [()]
            raise ModelError(f"the model's tokenizer cannot split {quoted(words[0])} ({first_line(error)})") from error
    return [pieces for word in words for pieces in guarded(way, [word])]  # which of them is it?


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Let `tokenizers` start no threads: it warns on stderr of every later fork, and Ray forks."""
    before = os.environ.get(_PARALLEL)
    os.environ[_PARALLEL] = before or "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PARALLEL]
