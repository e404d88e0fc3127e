"""The words of data sets as rows of a store, and their vectors in its spaces."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted
from kotovec.space import Space
from kotovec.store.nearest import Rows
from kotovec.store.terms import Lookup
from kotovec.store.vectors import Vectors

Mask = npt.NDArray[np.bool_]


class Multi(StrEnum):
    """What a word of several tokens is: left out, or the mean of their vectors."""

    SKIP = "skip"
    MEAN = "mean"

    @classmethod
    def parse(cls, text: str) -> "Multi":
        """Return the policy of a name.

        Raises:
            InputError: there is no such policy.
        """
        if text not in list(cls):
            raise InputError(
                f"unknown policy {quoted(text)} for words of several tokens", hint=f"choose {choices(cls)}"
            )
        return cls(text)


@dataclass(frozen=True)
class Policy:
    """How words are looked up.

    Attributes:
        multi: what a word of several tokens is.
        lower: whether words are looked up in lower case; otherwise as they are, as the store looks terms up.
    """

    multi: Multi = Multi.SKIP
    lower: bool = False


@dataclass(frozen=True, eq=False)
class Words:
    """Distinct words and their rows in a store.

    Attributes:
        numbers: the number of each of the n words, by the word as the data have it.
        rows: (R,) the rows of the first word, then those of the second, and so on.
        offsets: (n + 1,) where the rows of each word begin; a word without rows is not in the store.
        several: (n,) which words are several tokens, and have rows only if these are averaged.
    """

    numbers: dict[str, int]
    rows: Rows
    offsets: Rows
    several: Mask

    @property
    def known(self) -> Mask:
        """Which words have rows, (n,)."""
        return np.diff(self.offsets) > 0

    def of(self, number: int) -> Rows:
        """Return the rows of a word by its number."""
        return self.rows[self.offsets[number] : self.offsets[number + 1]]

    def at(self, words: Iterable[str]) -> Rows:
        """Return the numbers of some words, int64."""
        return np.array([self.numbers[word] for word in words], dtype=np.int64)

    def all_of(self, rows: Mask) -> Mask:
        """Return which words have rows, all of which are among some rows (V,): (n,)."""
        outside = np.concatenate([[0], np.cumsum(~rows[self.rows])])
        return np.asarray(self.known & (outside[self.offsets[1:]] == outside[self.offsets[:-1]]))

    def vectors(self, array: npt.NDArray[np.floating[Any]], numbers: Rows) -> npt.NDArray[np.float64]:
        """Return the vectors of words that have rows, means where these are several.

        Args:
            array: the vectors of a space, (V, D).
            numbers: (m,) numbers of words.

        Returns:
            (m, D) float64.
        """
        array = np.asarray(array)
        found = array[self.rows[self.offsets[numbers]]].astype(np.float64)
        for index in np.flatnonzero(np.diff(self.offsets)[numbers] > 1).tolist():
            found[index] = array[self.of(numbers[index])].astype(np.float64).mean(axis=0)
        return found


def find_words(lookup: Lookup, texts: Iterable[str], policy: Policy) -> Words:
    """Return words with their rows, as the lookup of a store finds them.

    Raises:
        MissingDependencyError, DamagedError: the store's tokenizer cannot be loaded.
    """
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    found = [lookup.rows(text.lower() if policy.lower else text) for text in numbers]
    several = np.array([len(rows) > 1 for rows in found], dtype=np.bool_)
    if policy.multi is Multi.SKIP:
        found = [rows if len(rows) == 1 else () for rows in found]
    offsets = np.cumsum([0, *map(len, found)], dtype=np.int64)
    return Words(numbers, np.array([row for rows in found for row in rows], dtype=np.int64), offsets, several)


def rows_with_vectors(vectors: Vectors, space: Space) -> Mask:
    """Return which rows have a direction in a space, (V,): not those without a sentence, nor zeros, nor NaN."""
    norms = np.asarray(vectors.norms(space))
    found = np.isfinite(norms) & (norms > 0)
    present = vectors.present(space)
    return found if present is None else found & present


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return vectors (n, D) at length 1; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0))
