"""A step from a space to one derived from it: how it is written, what it learns from the vectors, what it does.

Everything is learnt and applied in float64. A vector of zeros stays one: it says nothing, and a mean is no better.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted
from kotovec.space import Space
from kotovec.store.moments import Doubles, Floats, mean_of, scatter_of, without_rounding

FORMS = ("center", "abtt:D", "whiten", "standardize", "drop:138,378", "unit")
FITS = ("all", "words")
_PLAIN = ("center", "whiten", "standardize", "unit")
_LEARNS = ("center", "abtt", "whiten", "standardize")
_ABTT, _DROP = re.compile(r"abtt:([1-9]\d*)"), re.compile(r"drop:(\d+(?:,\d+)*)")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        name: `center` (subtract the mean), `abtt` (All-but-the-Top, Mu and Viswanath 2018: center, and remove the first
            principal components), `whiten` (center, and scale the principal components to variance 1), `standardize`
            (center, and scale each dimension to variance 1), `drop` (set dimensions to zero) or `unit` (length 1).
        numbers: of `abtt`, how many components; of `drop`, the dimensions from 0, ascending.
        fit: the rows that it learns from, `all` or `words`.
    """

    name: str
    numbers: tuple[int, ...] = ()
    fit: str = FITS[0]

    @classmethod
    def parse(cls, text: str, fit: str = FITS[0]) -> "Step":
        """Read a step as a user writes it: `abtt:3`.

        Raises:
            InputError: there is no such step, or it does not learn from vectors and others than all are named.
        """
        if fit not in FITS:
            raise InputError(f"unknown value of --fit {quoted(fit)}", hint=f"choose {choices(FITS)}")
        step = cls._read(text.strip(), fit)
        if fit != FITS[0] and step.name not in _LEARNS:
            raise InputError(f"{step.name} learns nothing from vectors", hint="leave out --fit")
        return step

    @classmethod
    def _read(cls, text: str, fit: str) -> "Step":
        if text in _PLAIN:
            return cls(text, fit=fit)
        if found := _ABTT.fullmatch(text):
            return cls("abtt", (int(found[1]),), fit)
        if found := _DROP.fullmatch(text):
            return cls("drop", tuple(sorted(set(map(int, found[1].split(","))))), fit)
        raise InputError(f"unknown step {quoted(text)}", hint=f"choose {choices(FORMS)}")

    @classmethod
    def named(cls, name: str) -> "Step":
        """Return the step that a part of a space's name stands for: `abtt3:words`.

        Raises:
            InputError: there is no such step.
        """
        plain, _, fit = name.partition(":")
        word = plain.rstrip("0123456789.")
        numbers = plain[len(word) :].replace(".", ",")
        return cls.parse(f"{word}:{numbers}" if numbers else word, fit or FITS[0])

    @property
    def options(self) -> str:
        """The step as the options of `kotovec transform`."""
        numbers = f":{','.join(map(str, self.numbers))}" if self.numbers else ""
        return f"--do {self.name}{numbers}" + ("" if self.fit == FITS[0] else f" --fit {self.fit}")

    def __str__(self) -> str:
        """Return the step as a space's name has it: `abtt3`, `drop138.378`, `center:words`."""
        fit = "" if self.fit == FITS[0] else f":{self.fit}"
        return f"{self.name}{'.'.join(map(str, self.numbers))}{fit}"

    def learn(self, vectors: Floats, rows: Mask) -> "Learnt":
        """Learn from some rows (V,) bool of (V, D) vectors.

        Raises:
            InputError: the vectors have too few dimensions, or there are none.
        """
        wide = vectors.shape[1]
        if self.name == "drop" and self.numbers[-1] >= wide:
            raise InputError(f"there is no dimension {self.numbers[-1]}", hint=f"choose numbers from 0 to {wide - 1}")
        if self.name == "abtt" and self.numbers[0] >= wide:
            raise InputError(f"abtt:{self.numbers[0]} would leave nothing of {wide} dimensions", hint="remove fewer")
        if self.name not in _LEARNS:
            return Learnt(self)
        if not rows.any():
            hint = "choose another space" if self.fit == FITS[0] else "leave out --fit"
            raise InputError("there is no vector to learn from", hint=hint)
        centre = mean_of(vectors, rows)
        if self.name == "center":
            return Learnt(self, centre)
        covariance = scatter_of(vectors, rows, centre) / int(rows.sum())
        if self.name == "standardize":
            return Learnt(self, centre, scale=_inverted(np.sqrt(np.maximum(covariance.diagonal(), 0.0))))
        values, axes = np.linalg.eigh(covariance)
        if self.name == "abtt":
            return Learnt(self, centre, axes=np.ascontiguousarray(axes[:, ::-1].T[: self.numbers[0]]))
        order = slice(None, None, -1)
        return Learnt(
            self,
            centre,
            axes=np.ascontiguousarray(axes[:, order].T),
            scale=_inverted(np.sqrt(without_rounding(values)))[order],
        )


def mending(space: Space) -> str:
    """Return the hint that names the command which derives a space again."""
    of = replace(space, steps=space.steps[:-1])
    try:
        options = Step.named(space.steps[-1]).options
    except InputError:  # of a later kotovec
        return "delete the file"
    return f"run `kotovec transform --space {of} {options} --overwrite`"


@dataclass(frozen=True)
class Learnt:
    """A step with what it learnt of D dimensions.

    Attributes:
        step: the step.
        mean: (D,) what is subtracted.
        axes: (k, D) principal components, the first one first.
        scale: (D,) what each dimension, or component, is multiplied by; 0 where it has no variance.
    """

    step: Step
    mean: Doubles | None = None
    axes: Doubles | None = None
    scale: Doubles | None = None

    @property
    def parts(self) -> dict[str, Any]:
        """The arrays by name, for the file of the space."""
        named = {"mean": self.mean, "axes": self.axes, "scale": self.scale}
        return {name: array for name, array in named.items() if array is not None}

    def apply(self, vectors: Doubles) -> Doubles:
        """Return the derived vectors (n, D) of some vectors (n, D); those of zeros stay zeros."""
        found = vectors if self.mean is None else vectors - self.mean
        if self.axes is not None:
            along = found @ self.axes.T
            found = found - along @ self.axes if self.step.name == "abtt" else along
        if self.scale is not None:
            found = found * self.scale
        if self.step.name == "unit":
            found = found * _inverted(np.linalg.norm(found, axis=1, keepdims=True))
        if self.step.name == "drop":
            found = found.copy()
            found[:, list(self.step.numbers)] = 0.0
        found[~vectors.any(axis=1)] = 0.0
        return found


def _inverted(values: Doubles) -> Doubles:
    """Return 1 / values, 0 where they are 0."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
