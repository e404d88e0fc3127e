"""A finder of the nearest rows in one space by one metric: with the store's index for them, or without one."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, NotStoredError
from kotovec.store.gaps import Gaps
from kotovec.store.metric import Metric
from kotovec.store.nearest import Candidates, Choice, Matrix, Neighbourhood, Rows, nearest
from kotovec.store.search import search_vectors
from kotovec.text import counted

NO_ROWS: Rows = np.empty(0, dtype=np.int64)
Answered = tuple[Neighbourhood, str | None]


class Finder:
    """Finds the nearest rows; several threads may use it at once.

    Attributes:
        metric: how nearness is measured.
        matrix: the rows that are searched.
        candidates: the function that finds candidates among the rows.
        approximate: the factory of the index if the candidates are approximate; otherwise None.
        gaps: the rows that have no vector, which are never found; None where all have one.
    """

    # Not a dataclass: defining one takes 0.4 ms of a query's 250 ms.
    def __init__(
        self, metric: Metric, matrix: Matrix, candidates: Candidates, approximate: str | None, gaps: Gaps | None = None
    ) -> None:
        self.metric, self.matrix, self.candidates, self.approximate = metric, matrix, candidates, approximate
        self.gaps = gaps

    @property
    def note(self) -> str | None:
        """The note about answers that an approximate index gives; None if they are exact."""
        name = self.approximate
        return None if name is None else f"found with the approximate index {name}: --exact searches every vector"

    def nearest(
        self,
        queries: npt.NDArray[np.float64],
        k: int,
        skip: Sequence[Rows] | npt.NDArray[np.int64] | None = None,
        keep: npt.NDArray[np.bool_] | None = None,
    ) -> list[Neighbourhood]:
        """Return the k nearest rows of each of the (n, D) queries; fewer if `skip` and `keep` leave fewer.

        Raises:
            InputError: as in `answer`.
        """
        return [near for near, _ in self.answer(queries, k, skip, keep)]

    def answer(
        self,
        queries: npt.NDArray[np.float64],
        k: int,
        skip: Sequence[Rows] | npt.NDArray[np.int64] | None = None,
        keep: npt.NDArray[np.bool_] | None = None,
    ) -> list[Answered]:
        """Return what `nearest` returns, each with a note for a person if an approximate index was asked.

        An index that finds fewer rows than there are is not believed: such a query is answered by a search of all rows.

        Raises:
            InputError: the shapes do not fit, or a query is not finite.
        """
        keep = None if keep is None else np.asarray(keep)
        self._check(queries, skip, keep)
        if len(queries) == 0:
            return []
        keep = keep if self.gaps is None else self.gaps.within(keep)
        chosen = Choice([NO_ROWS] * len(queries) if skip is None else list(skip), keep)
        exact = self.approximate is None
        found = self._find(queries, k, chosen, exact=exact)
        if exact:
            return [(near, None) for near in found]
        answers: list[Answered] = [(near, self.note) for near in found]
        for query, answer in self._complete(queries, k, chosen, found).items():
            answers[query] = answer
        return answers

    def _find(self, queries: npt.NDArray[np.float64], k: int, chosen: Choice, *, exact: bool) -> list[Neighbourhood]:
        return nearest(self.matrix, queries, k, self.metric, chosen, self.candidates, exact=exact)

    def _check(
        self,
        queries: npt.NDArray[np.float64],
        skip: Sequence[Rows] | npt.NDArray[np.int64] | None,
        keep: npt.NDArray[np.bool_] | None,
    ) -> None:
        count, size = self.matrix.vectors.shape
        if queries.ndim != 2 or queries.shape[1] != size:  # noqa: PLR2004  # a matrix has two axes
            raise InputError(f"the queries are of shape {queries.shape}", hint=f"give one row per query, (n, {size})")
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(queries, axis=1)
        if not np.isfinite(lengths).all():
            raise InputError("a query is not finite, or too long to be squared in float64")
        if skip is not None and len(skip) != len(queries):
            raise InputError(
                f"skip has {counted(len(skip), 'entry', 'entries')} for {counted(len(queries), 'query', 'queries')}",
                hint="give rows for each query",
            )
        if keep is not None and (keep.shape != (count,) or keep.dtype != np.bool_):
            raise InputError(f"keep is {keep.dtype} of shape {keep.shape}", hint=f"give bool of shape ({count},)")

    def _complete(
        self, queries: npt.NDArray[np.float64], k: int, chosen: Choice, found: Sequence[Neighbourhood]
    ) -> dict[int, Answered]:
        """Return the answers, by query, to those of which the index found fewer rows than there are."""
        count = len(self.matrix.vectors)
        few = [query for query, near in enumerate(found) if len(near.rows) < k]
        possible = {query: min(k, chosen.allowed(query, count)) for query in few}
        short = [query for query in few if len(found[query].rows) < possible[query]]
        if not short:
            return {}
        rest = Choice([chosen.skip[query] for query in short], chosen.keep)
        every = search_vectors(self.matrix, self.metric)
        exact = nearest(self.matrix, queries[short], k, self.metric, rest, every)
        shares = (f"only {len(found[query].rows)} of {possible[query]}" for query in short)
        notes = (
            f"the approximate index {self.approximate} found {share}: these are from a search of every vector"
            for share in shares
        )
        return dict(zip(short, zip(exact, notes, strict=True), strict=True))

    def vectors_of(self, rows: Sequence[int] | Rows) -> npt.NDArray[np.float64]:
        """Return the vectors of some rows, (n, D) float64.

        Raises:
            NotStoredError: a row does not exist, or has no vector.
        """
        chosen, count = np.asarray(rows, dtype=np.int64).reshape(-1), len(self.matrix.vectors)
        if outside := chosen[(chosen < 0) | (chosen >= count)].tolist():
            raise NotStoredError(f"this store has no row {outside[0]}: its rows go from 0 to {count - 1}")
        if self.gaps is not None:
            self.gaps.check(chosen)
        return self.matrix.vectors[chosen].astype(np.float64)
