"""Cosines of word pairs against people's scores: Spearman's and Pearson's correlation in each space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.store.evaluation.correlations import Ranked, pearson, spearman
from kotovec.store.evaluation.intervals import Estimate, draw_items
from kotovec.store.evaluation.similarity import Pair
from kotovec.store.evaluation.words import Mask, Policy, Words, find_words, rows_with_vectors, unit
from kotovec.store.finite import check_finite, source
from kotovec.store.nearest import Rows
from kotovec.text import counted

FEWEST = 3  # pairs of which there is a correlation: of two, it is 1 or −1 whatever they are
BLOCK = 4096  # pairs whose vectors are in memory at a time: 50 MB at 768 dimensions
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """What was asked of all.

    Attributes:
        items: pairs or questions of the data set.
        asked: those whose words all have a vector in every space that is compared.
        words: distinct words of the data set.
        unknown: words that a store has neither as a row nor as several tokens.
        several: words that are several tokens, and were left out.
        absent: other words that have no vector in a space.
    """

    items: int
    asked: int
    words: int
    unknown: int
    several: int
    absent: int

    @property
    def missing(self) -> int:
        """Words that are missing for any reason."""
        return self.unknown + self.several + self.absent


@dataclass(frozen=True, eq=False)
class Correlation:
    """How well a space agrees with people.

    Attributes:
        store: what the store is called.
        space: the space.
        counts: what was asked.
        spearman: Spearman's correlation of cosines and scores; without a value where all cosines are equal.
        pearson: Pearson's.
        difference: Spearman's minus that of the first space that was asked the same pairs; None for the first.
        cosines: (pairs of the data set,) float64, NaN where not asked.
    """

    store: str
    space: Space
    counts: Counts
    spearman: Estimate
    pearson: Estimate
    difference: Estimate | None
    cosines: Floats

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        counts = {name: getattr(self.counts, name) for name in ("asked", "words", "unknown", "several", "absent")}
        return {
            "store": self.store,
            "space": str(self.space),
            "pairs": self.counts.items,
            **counts,
            "spearman": self.spearman.as_dict(),
            "pearson": self.pearson.as_dict(),
            "difference": None if self.difference is None else self.difference.as_dict(),
        }


@dataclass(frozen=True)
class Asked:
    """A store that is asked, what it is called, and its spaces."""

    name: str
    store: Store
    spaces: Sequence[Space]


def evaluate_pairs(
    stores: Sequence[Asked], pairs: Sequence[Pair], policy: Policy, *, common: bool = False, seed: int = 0
) -> list[Correlation]:
    """Return the correlations of every space, in the order of stores and spaces.

    All spaces of a store are asked the same pairs: those whose words have a vector in all of them.

    Args:
        stores: the stores and their spaces.
        pairs: the pairs.
        policy: how words are looked up.
        common: ask the same pairs of all stores, too.
        seed: of the bootstrap over pairs, 1,000 draws.

    Raises:
        InputError: fewer than three pairs can be asked, or their scores are all equal.
        DamagedError: the vector of a word is not finite.
    """
    texts = [word for pair in pairs for word in (pair.word1, pair.word2)]
    words = {asked.name: find_words(asked.store.lookup, texts, policy) for asked in stores}
    return [
        result
        for group in ([list(stores)] if common else [[asked] for asked in stores])
        for result in _correlate(group, words, pairs, seed)
    ]


def _correlate(
    group: Sequence[Asked], words: Mapping[str, Words], pairs: Sequence[Pair], seed: int
) -> list[Correlation]:
    first = words[group[0].name]
    left, right = first.at(pair.word1 for pair in pairs), first.at(pair.word2 for pair in pairs)
    present = present_words(group, words)
    kept = present[left] & present[right]
    counts = count_words(len(pairs), int(kept.sum()), [words[asked.name] for asked in group], present)
    names = ", ".join(asked.name for asked in group)
    if counts.asked < FEWEST:
        raise InputError(
            f"{names}: {_few(counts)}, and a correlation needs {FEWEST}",
            hint=f"use --lower{' or --multi mean' if counts.several else ''}, or ask fewer spaces",
        )
    scores = np.array([pair.score for pair in pairs])[kept]
    if (scores == scores[0]).all():
        raise InputError(
            f"{names}: the scores of all {counts.asked:,} pairs are {scores[0]:g}: they correlate with nothing",
            hint="choose another column with --columns",
        )
    found: list[Correlation] = []
    base: tuple[float, Floats] | None = None
    units = counts.asked
    for asked in group:
        for space in asked.spaces:
            cosines = _cosines(asked.store, space, words[asked.name], left[kept], right[kept])
            rho, rho_drawn, r, r_drawn = _measure(cosines, scores, seed)
            difference = None if base is None else Estimate.of(rho - base[0], rho_drawn - base[1], units)
            base = base or (rho, rho_drawn)
            everywhere = np.full(len(pairs), np.nan)
            everywhere[kept] = cosines
            estimates = Estimate.of(rho, rho_drawn, units), Estimate.of(r, r_drawn, units)
            found.append(Correlation(asked.name, space, counts, *estimates, difference, everywhere))
    return found


def _few(counts: Counts) -> str:
    """Return how few pairs were asked."""
    if not counts.asked:
        return f"no pair of {counts.items:,} has both words in all spaces"
    verb = "has" if counts.asked == 1 else "have"
    return f"{counts.asked} of {counted(counts.items, 'pair')} {verb} both words in all spaces"


def present_words(group: Sequence[Asked], words: Mapping[str, Words]) -> Mask:
    """Return which words have a vector in every space of every store of a group, (n,).

    Raises:
        InputError: a store is asked in no space.
        DamagedError: the vector of a word is not finite.
    """
    for asked in group:
        if not asked.spaces:
            raise InputError(f"{asked.name}: no space is asked", hint="name some, such as `store.spaces`")
        for space in asked.spaces:
            norms = np.asarray(asked.store.norms(space))
            check_finite(norms[words[asked.name].rows], source(asked.store.path, space))
    masks = [
        words[asked.name].all_of(rows_with_vectors(asked.store.vectors, space))
        for asked in group
        for space in asked.spaces
    ]
    return np.asarray(np.logical_and.reduce(masks))


def count_words(items: int, asked: int, words: Sequence[Words], present: Mask) -> Counts:
    """Return what was asked of all stores, and why words are missing: the first reason that holds in any store."""
    several = np.logical_or.reduce([each.several & ~each.known for each in words])
    unknown = np.logical_or.reduce([~each.several & ~each.known for each in words]) & ~several
    absent = ~present & ~several & ~unknown
    return Counts(items, asked, len(present), int(unknown.sum()), int(several.sum()), int(absent.sum()))


def _cosines(store: Store, space: Space, words: Words, left: Rows, right: Rows) -> Floats:
    array, found = store.array(space), np.empty(len(left))
    for start in range(0, len(left), BLOCK):
        part = slice(start, start + BLOCK)
        sides = [words.vectors(array, numbers[part]) for numbers in (left, right)]
        check_finite(np.stack(sides), source(store.path, space))
        found[part] = np.einsum("ij,ij->i", *map(unit, sides))
    return found


def _measure(cosines: Floats, scores: Floats, seed: int) -> tuple[float, Floats, float, Floats]:
    """Return Spearman's correlation, that of each draw, Pearson's, and that of each draw."""
    ranked = Ranked(cosines), Ranked(scores)
    drawn = [
        (pearson(ranked[0].ranks(weights), ranked[1].ranks(weights), weights), pearson(cosines, scores, weights))
        for weights in draw_items(len(scores), seed)
    ]
    rho, r = (np.concatenate(each) for each in zip(*drawn, strict=True))
    return spearman(cosines, scores), rho, float(pearson(cosines, scores)), r
