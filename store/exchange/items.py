"""The words of a file of vectors, gathered in one block of texts and checked on the way."""

import hashlib
from collections.abc import Callable

import numpy as np

from kotovec.errors import InputError, quoted
from kotovec.store.exchange.escapes import unescape
from kotovec.store.exchange.text import CORRECT
from kotovec.store.opened import MOST_TEXT, MOST_TOKENS
from kotovec.store.tokens import LONGEST, Strings


class Items:
    """The words so far: a block of UTF-8 and a hash of each, as a set of two million objects would take 200 MB.

    Args:
        where: returns what an error names for a row, such as `vectors.vec:12`.
        escaped: whether the words are in the notation of `escapes`.
    """

    def __init__(self, where: Callable[[int], str], *, escaped: bool = False) -> None:
        self._where, self._escaped = where, escaped
        self._block, self._hashes = bytearray(b"\0"), bytearray()
        self._count = 0

    def add(self, word: bytes) -> None:
        """Add the word of the next row.

        Raises:
            InputError: it is not UTF-8, or cannot be in a table; the message names its row.
        """
        try:
            text = word.decode()
            word = unescape(text).encode() if self._escaped else word
        except UnicodeDecodeError as error:
            raise self._error("the word is not UTF-8", "save the file as UTF-8, without an encoding of old") from error
        except UnicodeEncodeError as error:
            raise self._error("the word holds half a surrogate pair", "leave out --escaped") from error
        except InputError as error:
            raise self._error(str(error), error.hint) from error
        if b"\0" in word:
            raise self._error("the word holds a NUL character, which no store can")
        if len(word) > LONGEST:
            raise self._error(f"a word of {len(word):,} bytes, over {LONGEST:,}", "check the format with --format")
        self._count += 1
        self._block += word + b"\0"
        if self._count > MOST_TOKENS or len(self._block) > MOST_TEXT:
            raise self._error(f"more than {MOST_TOKENS:,} words or {MOST_TEXT >> 20:,} MB of text", "leave some out")
        self._hashes += hashlib.blake2b(word, digest_size=16).digest()

    def finish(self) -> Strings:
        """Return the words.

        Raises:
            InputError: one is there twice; the message names both rows.
        """
        hashes = np.frombuffer(self._hashes, dtype=np.uint64).reshape(-1, 2)
        order = np.lexsort(hashes.T)  # stable: of equal ones, the first comes first
        ordered = hashes[order]
        again = np.flatnonzero((ordered[1:] == ordered[:-1]).all(axis=1)) + 1
        words = Strings(np.frombuffer(self._block, dtype=np.uint8))
        if len(again):
            number = again[np.argmin(order[again])]
            row, first = int(order[number]), int(order[number - 1])
            problem = f"{self._where(row)}: {quoted(words[row])} is a duplicate of {self._where(first)}"
            raise InputError(problem, hint="delete one of the two")
        return words

    def _error(self, problem: str, hint: str | None = CORRECT) -> InputError:
        return InputError(f"{self._where(self._count)}: {problem}", hint=hint)
