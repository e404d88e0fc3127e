"""The k nearest rows of every row of a space, in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.store.gaps import Gaps
from kotovec.store.nearest import Rows, Scores

TOGETHER = 1000  # rows whose neighbours are looked for at once: their vectors take 6 MB at 768 dimensions


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each of n rows, without the row itself.

    Attributes:
        rows: (n, k) int64, nearest first, ties in row order; −1 where there is none: by cosine, nothing is near to a
            zero vector, and nothing ever to a row that the space has no vector of.
        scores: (n, k) float64; 0 where there is none.
    """

    rows: Rows
    scores: Scores


def neighbours(
    store: Store,
    space: Space | str,
    k: int,
    *,
    rows: Sequence[int] | Rows | None = None,
    metric: str = "cosine",
    keep: npt.NDArray[np.bool_] | None = None,
    report: Callable[[int, int], None] = lambda *_: None,
) -> Neighbours:
    """Return the exact k nearest rows of every row: those that a scan of all rows in float64 would find.

    Args:
        store: an open store.
        space: the space to search, such as `static` or `isolated@6`.
        k: how many neighbours, at most V; if fewer rows can be neighbours, there are only as many columns.
        rows: (n,) rows whose neighbours are wanted; None for all V.
        metric: `l2`, `cosine`, `ip` or `csls`.
        keep: (V,) bool, the rows that may be neighbours; None for all.
        report: called with how many of how many rows are done.

    Raises:
        NotStoredError: no such space or row.
        InputError: k, metric or keep do not fit.
    """
    space = store.space(space)
    wanted = np.arange(len(store)) if rows is None else np.asarray(rows, dtype=np.int64)
    present = store.vectors.present(space)
    allowed = Gaps(store.vectors, space).within(keep)
    columns = min(k, (len(store) if allowed is None else int(allowed.sum())) - (keep is None))
    found = Neighbours(np.full((len(wanted), columns), -1, dtype=np.int64), np.zeros((len(wanted), columns)))
    near = (
        np.arange(len(wanted)) if metric not in ("cosine", "csls") else np.flatnonzero(store.norms(space)[wanted] > 0)
    )
    if present is not None:
        near = near[present[wanted[near]]]
    for start in range(0, len(near), TOGETHER):
        part = near[start : start + TOGETHER]
        asked = wanted[part]
        answers = store.nearest(
            rows=asked,
            space=space,
            metric=metric,
            k=k,
            skip=asked[:, np.newaxis],
            keep=keep,
            device="cpu",
            exact=True,
        )
        for index, answer in zip(part.tolist(), answers, strict=True):
            found.rows[index, : len(answer.rows)] = answer.rows
            found.scores[index, : len(answer.rows)] = answer.scores
        report(start + len(part), len(near))
    return found
