"""How analogies are answered: each measure as a score of every row, made of the cosines of a question's words with it.

A question is a : a* = b : ?. All scores are float64, and larger is better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted
from kotovec.store.nearest import Rows
from kotovec.text import parts

Floats = npt.NDArray[np.float64]
# ((w, n) cosines of w words with n rows, (n,) norms of the rows, (m,) numbers of questions) → (m, n) scores
Scorer = Callable[[Floats, Floats, Rows], Floats]

TIE = 1e-10  # scores that are closer are equal: float32 holds cosines to 1e-7, and sums of 768 float64 to 1e-14
EPSILON = 1e-6  # in the denominator of 3CosMul, as gensim has it; Levy and Goldberg (2014) took 0.001
BLOCK = 4096  # questions whose vectors are in memory at a time: 50 MB at 768 dimensions
_SAME = 1e-9  # squared distance of unit vectors below which x − b has no direction


class Measure(StrEnum):
    """How an analogy is answered.

    `3cosadd` (Mikolov et al. 2013), `3cosmul` and `pairdirection` (Levy and Goldberg 2014), `only-b` (Linzen 2016),
    `3cosavg` and `lrcos` (Drozd et al. 2016, which learn from the other pairs of a category) are of unit vectors; `l2`
    is the squared distance from a* − a + b of the vectors as they are.
    """

    ADD = "3cosadd"
    ONLY_B = "only-b"
    L2 = "l2"
    MUL = "3cosmul"
    DIRECTION = "pairdirection"
    AVERAGE = "3cosavg"
    REGRESSION = "lrcos"

    @classmethod
    def parse_list(cls, text: str) -> tuple["Measure", ...]:
        """Return the measures of a list with commas, or all; Only-b, the baseline of the others, is always one.

        Raises:
            InputError: a measure is unknown.
        """
        if text.strip() == "all":
            return tuple(cls)
        names = parts(text)
        unknown = [name for name in names if name not in list(cls)]
        if unknown:
            raise InputError(f"unknown measure {quoted(unknown[0])}", hint=f"choose {choices(['all', *cls])}")
        return tuple(dict.fromkeys([*map(cls, names), cls.ONLY_B]))


@dataclass(frozen=True, eq=False)
class Terms:
    """The words of m questions.

    Attributes:
        unit: (w, D) unit vectors of the words.
        norms: (w,) the norms that they had.
        a: (m,) numbers of words, of each question's a.
        a_star: (m,) likewise.
        b: (m,) likewise.
    """

    unit: Floats
    norms: Floats
    a: Rows
    a_star: Rows
    b: Rows

    def scorer(self, measure: Measure) -> Scorer:
        """Return the scores of a measure."""
        if measure is Measure.DIRECTION:
            return self._direction()
        scorers = {Measure.ADD: self._add, Measure.ONLY_B: self._only_b, Measure.L2: self._l2, Measure.MUL: self._mul}
        return scorers[measure]

    def tie(self, measure: Measure, longest: float) -> float:
        """Return how close equal scores are; `longest` is the largest norm of a row."""
        return TIE * max(longest, float(self.norms.max(initial=0.0))) ** 2 if measure is Measure.L2 else TIE

    def _add(self, cosines: Floats, _norms: Floats, asked: Rows) -> Floats:
        scores = cosines[self.a_star[asked]]
        scores -= cosines[self.a[asked]]
        scores += cosines[self.b[asked]]
        return scores

    def _only_b(self, cosines: Floats, _norms: Floats, asked: Rows) -> Floats:
        return cosines[self.b[asked]]

    def _l2(self, cosines: Floats, norms: Floats, asked: Rows) -> Floats:
        """Return x·t − ‖x‖²/2 for t = a* − a + b, which falls as ‖x − t‖² rises."""
        scores = cosines[self.a_star[asked]] * self.norms[self.a_star[asked], np.newaxis]
        scores -= cosines[self.a[asked]] * self.norms[self.a[asked], np.newaxis]
        scores += cosines[self.b[asked]] * self.norms[self.b[asked], np.newaxis]
        scores *= norms
        scores -= norms**2 / 2
        return scores

    def _mul(self, cosines: Floats, _norms: Floats, asked: Rows) -> Floats:
        """Return (1 + x·a*)(1 + x·b) / (2(1 + x·a + 2ε)), which is the quotient of the cosines moved to 0 to 1."""
        scores, other = cosines[self.a_star[asked]], cosines[self.b[asked]]
        scores += 1
        other += 1
        scores *= other
        np.take(cosines, self.a[asked], axis=0, out=other)
        other += 1 + 2 * EPSILON
        other *= 2
        scores /= other
        return scores

    def _direction(self) -> Scorer:
        along_b, lengths = np.empty(len(self.a)), np.empty(len(self.a))
        for start in range(0, len(self.a), BLOCK):
            part = slice(start, start + BLOCK)
            offsets = self.unit[self.a_star[part]] - self.unit[self.a[part]]
            along_b[part] = np.einsum("ij,ij->i", self.unit[self.b[part]], offsets)
            lengths[part] = np.linalg.norm(offsets, axis=1)
        scales = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)

        def scores(cosines: Floats, _norms: Floats, asked: Rows) -> Floats:
            """Return the cosine of x − b with a* − a; 0 where x has the direction of b, as of any zero vector."""
            found = cosines[self.a_star[asked]] - cosines[self.a[asked]] - along_b[asked, np.newaxis]
            squared = 2 - 2 * cosines[self.b[asked]]
            squared[squared < _SAME] = np.inf
            found *= scales[asked, np.newaxis]
            found /= np.sqrt(squared, out=squared)
            return np.asarray(found)

        return scores
