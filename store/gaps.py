"""Rows that a space has no vector of: in `context`, items that no sentence of the corpus has.

They are zeros in its file, and never an answer; asked for, they are refused, and the spaces that have them are named.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kotovec.errors import NotStoredError, choices, quoted
from kotovec.space import Space
from kotovec.store.vectors import Vectors
from kotovec.text import counted

Mask = npt.NDArray[np.bool_]


class Gaps:
    """The rows of an open store that a space has no vector of.

    Attributes:
        present: (V,) bool, the rows that have one; None where all have.
    """

    # Not a dataclass: defining one takes 0.4 ms of a query's 250 ms.
    def __init__(self, vectors: Vectors, space: Space) -> None:
        self._vectors, self._space = vectors, space.among(vectors.spaces)
        self.present = vectors.present(space)

    def within(self, keep: Mask | None) -> Mask | None:
        """Return which rows may be answers, (V,) bool, of those that someone would keep; None for all."""
        if self.present is None or keep is None:
            return self.present if keep is None else keep
        return keep & self.present

    def check(self, rows: Sequence[int] | npt.NDArray[np.int64], text: str = "") -> None:
        """Refuse rows that have no vector.

        Args:
            rows: the rows.
            text: what was typed for them.

        Raises:
            NotStoredError: one of them has none; the hint names the spaces in which all have one.
        """
        if self.present is None:
            return
        asked = np.asarray(rows, dtype=np.int64)
        absent = asked[~self.present[asked]].tolist()
        if not absent:
            return
        surface = self._vectors.tokens.surfaces[absent[0]]
        of_text = f" of {quoted(text)}" if text not in ("", surface) else ""
        others = [str(each) for each in self._vectors.spaces if self._has(each, asked)]
        raise NotStoredError(
            f"{quoted(surface)}{of_text} has no vector in {self._space}: no sentence of the corpus has it",
            hint=f"choose {choices(others)}" if others else "build the space again with a larger corpus",
        )

    def note(self, count: int) -> str | None:
        """Return the note on answers of which more were asked for than there are rows with a vector; otherwise None."""
        if self.present is None or count <= (rows := int(self.present.sum())):
            return None
        return f"{self._space} has vectors of {rows:,} of {counted(len(self.present), 'token')}"

    def _has(self, space: Space, rows: npt.NDArray[np.int64]) -> bool:
        present = self._vectors.present(space)
        return present is None or bool(present[rows].all())
