"""The nearest rows of every row, and how often each row is one of them, as tables of tokens."""

import numpy as np

from kotovec.space import Space
from kotovec.store.columns import Columns
from kotovec.store.database import Store
from kotovec.store.geometry.hubness import count_occurrences
from kotovec.store.neighbours import Neighbours
from kotovec.store.tokens import KINDS


def list_hubs(store: Store, space: Space, found: Neighbours) -> Columns:
    """Return the tokens that have a vector, the one that is most often among the nearest of others first.

    Args:
        store: an open store.
        space: the space.
        found: (V, k) the nearest rows of each row.

    Returns:
        `id`, `token`, `kind`, `occurrences` and `norm`; equal ones are in the order of their ids.
    """
    occurrences, norms = count_occurrences(found.rows, len(store)), store.norms(space)
    rows = np.flatnonzero(norms > 0)
    rows = rows[np.argsort(-occurrences[rows], kind="stable")]
    return Columns(
        {
            "id": store.tokens.ids[rows],
            "token": store.tokens.surfaces.at(rows),
            "kind": [KINDS[kind] for kind in store.tokens.kinds[rows].tolist()],
            "occurrences": occurrences[rows],
            "norm": np.asarray(norms[rows], dtype=np.float64),
        }
    )


def list_neighbours(store: Store, found: Neighbours) -> Columns:
    """Return a table of all pairs of a row and one of its nearest.

    Args:
        store: an open store.
        found: (V, k) the nearest rows of each row.

    Returns:
        `id`, `token`, `rank` from 1, `neighbour_id`, `neighbour` and `score`, by row and rank.
    """
    owners, columns = np.nonzero(found.rows >= 0)
    near = found.rows[owners, columns]
    return Columns(
        {
            "id": store.tokens.ids[owners],
            "token": store.tokens.surfaces.at(owners),
            "rank": columns + 1,
            "neighbour_id": store.tokens.ids[near],
            "neighbour": store.tokens.surfaces.at(near),
            "score": found.scores[owners, columns],
        }
    )
