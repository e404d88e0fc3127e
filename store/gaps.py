"""Rows that a space has no vector of: in `context`, items without any sentence, and why they have none.

They are zeros in its file, and never an answer; asked for, they are refused, and the spaces that have them are named.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kotovec.errors import NotStoredError, choices, quoted
from kotovec.space import Space
from kotovec.store.tokens import NEVER, Kind
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
        reason, cure = self._why(absent[0])
        raise NotStoredError(
            f"{quoted(surface)}{of_text} has no vector in {self._space}: {reason}",
            hint=f"choose {choices(others)}" if others else cure,
        )

    def reason(self, row: int) -> str:
        """Return why a row has no vector."""
        return self._why(row)[0]

    def reasons(self) -> dict[str, Mask]:
        """Return the rows that have no vector, (V,) bool, by the reason why."""
        if self.present is None:
            return {}
        found: dict[str, Mask] = {}
        kinds = self._vectors.tokens.kinds
        for kind in np.unique(kinds[~self.present]):
            rows = ~self.present & (kinds == kind)
            reason = self.reason(int(np.argmax(rows)))
            found[reason] = found[reason] | rows if reason in found else rows
        return found

    def _why(self, row: int) -> tuple[str, str]:
        """Return why a row has no vector, and what gives it one."""
        kind = Kind(self._vectors.tokens.kinds[row])
        if kind in NEVER:
            return f"{kind.label} tokens have no contexts", "name another token"
        settings = self._vectors.settings(self._space)
        if "contexts-from" in settings:
            return "the store whose sentences were taken has none for it", "build the space again with --corpus"
        fraction = settings.get("fraction", 1)
        if fraction < 1:
            reason = f"none of the sentences that --fraction {fraction:g} draws has it"
            return reason, "build the space again with a larger --fraction"
        return "no sentence of the corpus has it", "build the space again with a larger corpus"

    def note(self, count: int) -> str | None:
        """Return the note on answers of which more were asked for than there are rows with a vector; otherwise None."""
        if self.present is None or count <= (rows := int(self.present.sum())):
            return None
        return f"{self._space} has vectors of {rows:,} of {counted(len(self.present), self._vectors.tokens.noun)}"

    def _has(self, space: Space, rows: npt.NDArray[np.int64]) -> bool:
        present = self._vectors.present(space)
        return present is None or bool(present[rows].all())
