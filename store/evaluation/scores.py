"""How often the right answers of analogies are found, with intervals and differences between spaces."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kotovec.store.evaluation.intervals import Estimate, Floats, draw_categories, draw_pairs, units_of
from kotovec.store.nearest import Rows

CUTS = (1, 5, 10)  # accuracy@k
_COLUMNS = len(CUTS) + 1  # and 1 / rank


@dataclass(frozen=True)
class Score:
    """How often right answers are found; the intervals are drawn over categories, of a single one over its pairs.

    Attributes:
        questions: questions that were asked.
        accuracy: the shares whose best right answer is among the first 1, 5 and 10 rows.
        reciprocal: the mean of 1 / rank; 0 where every right answer is left out.
        difference: accuracy@1 minus that of the first space by the same measure, in the same draws; None for the first.
    """

    questions: int
    accuracy: tuple[Estimate, ...]
    reciprocal: Estimate
    difference: Estimate | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        accuracy = {f"accuracy@{cut}": each.as_dict() for cut, each in zip(CUTS, self.accuracy, strict=True)}
        difference = None if self.difference is None else self.difference.as_dict()
        return {
            "questions": self.questions,
            **accuracy,
            "reciprocal": self.reciprocal.as_dict(),
            "difference": difference,
        }


def score(
    ranks: Sequence[Sequence[Rows]], words: Sequence[tuple[Rows, Rows]], first: Sequence[int], seed: int
) -> list[Score]:
    """Return the scores of several spaces or measures that were asked the same questions.

    Args:
        ranks: for each of them and for each category, the ranks of the questions from 1, (m,); 0 is none.
        words: for each category, the numbers of the words a and b of its questions, (m,) each.
        first: for each of them, the number of that which it is compared to: its own for none.
        seed: of the draws.
    """
    values = [np.concatenate([_outcomes(each) for each in category], axis=1) for category in zip(*ranks, strict=True)]
    sizes, means = [len(each) for each in values], np.concatenate(values).mean(axis=0)
    if len(values) > 1:
        drawn, units = draw_categories(values, seed), units_of(sizes)
    else:
        drawn, units = draw_pairs(values[0], *words[0], seed), len(np.unique(words[0]))
    found = []
    for index, other in enumerate(first):
        columns = range(index * _COLUMNS, (index + 1) * _COLUMNS)
        *accuracy, reciprocal = (Estimate.of(means[column], drawn[:, column], units) for column in columns)
        each = Score(sum(sizes), tuple(accuracy), reciprocal)
        if other != index:
            at_1, base = index * _COLUMNS, other * _COLUMNS
            difference = Estimate.of(means[at_1] - means[base], drawn[:, at_1] - drawn[:, base], units)
            each = replace(each, difference=difference)
        found.append(each)
    return found


def _outcomes(ranks: Rows) -> Floats:
    """Return what is averaged of each question, (m, 4): whether its rank is within each cut, and 1 / rank."""
    found = [(ranks >= 1) & (ranks <= cut) for cut in CUTS]
    reciprocal = np.divide(1.0, ranks, out=np.zeros(len(ranks)), where=ranks > 0)
    return np.stack([*found, reciprocal], axis=1).astype(np.float64)
