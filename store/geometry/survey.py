"""All that is measured of a space, for all of its rows and for those of each kind or script."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted
from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.store.evaluation.correlations import spearman
from kotovec.store.evaluation.intervals import Estimate
from kotovec.store.families import find_duplicates
from kotovec.store.finite import check_space
from kotovec.store.geometry import hubness, isotropy
from kotovec.store.geometry.hubness import Hubness
from kotovec.store.geometry.isotropy import Isotropy
from kotovec.store.nearest import Rows
from kotovec.store.prototypes import check_single
from kotovec.store.scripts import scripts_by_token
from kotovec.store.tokens import KINDS, Kind

GROUPS = ("kind", "script")
FEWEST = 4  # values that an interval of a correlation needs
NORMAL = 1.959963984540054  # the 97.5th percentile of the standard normal distribution
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Survey:
    """What is measured of a space, or of the rows of a group.

    Attributes:
        space: the space.
        group: a kind or script; None for all rows.
        rows: how many rows have a vector.
        zeros: how many of these vectors are zeros.
        duplicates: how many others are, to the last bit, that of an earlier row.
        isotropy: how the vectors fill their space.
        hubness: how unevenly the rows occur among each other's nearest; None if it was not asked for.
        norm_by_id: Spearman's correlation of norm and id among words and subwords: where ids are in the order of
            frequency, a negative one says that frequent tokens have long vectors.
    """

    space: Space
    group: str | None
    rows: int
    zeros: int
    duplicates: int
    isotropy: Isotropy
    hubness: Hubness | None
    norm_by_id: Estimate

    def as_dict(self, store: Store) -> dict[str, Any]:
        """Return it as JSON-ready data, with the token and id of the largest hub."""
        found = asdict(self.isotropy) | {"dimensions": [asdict(each) for each in self.isotropy.dimensions]}
        data: dict[str, Any] = {"space": str(self.space), "group": self.group, "rows": self.rows, "zeros": self.zeros}
        data |= {"duplicates": self.duplicates, **found, "hubness": None}
        if self.hubness is not None:
            row = self.hubness.largest
            named = {"token": None, "id": None} if row is None else _named(store, row)
            data["hubness"] = asdict(self.hubness) | {"largest": named}
        return data | {"norm_by_id": self.norm_by_id.as_dict()}


def survey(store: Store, space: Space, neighbours: Rows | None = None, by: str | None = None) -> Iterator[Survey]:
    """Yield what is measured of all rows of a space, then, if asked for, of each group, the largest first.

    Args:
        store: an open store.
        space: a space with one vector per row.
        neighbours: (V, k) the nearest rows of each, −1 where there is none, from which hubs are counted.
        by: `kind` or `script`.

    Raises:
        NotStoredError: no such space.
        DamagedError: a vector is not finite.
        InputError: the space has several vectors per token, or there are no such groups.
    """
    space = store.space(space)
    check_single(space, "the geometry")
    if by is not None and by not in GROUPS:
        raise InputError(f"unknown groups {quoted(by)}", hint=f"choose {choices(GROUPS)}")
    check_space(store.vectors, space)
    vectors, norms = store.array(space), store.norms(space)
    present = store.vectors.present(space)
    everywhere = np.ones(len(store), dtype=np.bool_) if present is None else present
    repeated = np.zeros(len(store), dtype=np.bool_)
    for rows in find_duplicates(vectors):
        repeated[rows[1:]] = True
    repeated &= norms > 0
    occurrences = None if neighbours is None else hubness.count_occurrences(neighbours, len(store))
    language = np.isin(store.tokens.kinds, (Kind.WORD, Kind.SUBWORD))
    for group, chosen in ((None, everywhere), *_groups(store, by)):
        keep = chosen & everywhere
        ranked = keep & language & (norms > 0)
        hubs = None
        if occurrences is not None and neighbours is not None:
            hubs = hubness.measure(occurrences, neighbours.shape[1], keep & (norms > 0))
        yield Survey(
            space=space,
            group=group,
            rows=int(keep.sum()),
            zeros=int((keep & (norms == 0)).sum()),
            duplicates=int((keep & repeated).sum()),
            isotropy=isotropy.measure(vectors, norms, keep),
            hubness=hubs,
            norm_by_id=correlate(norms[ranked], store.tokens.ids[ranked].astype(np.float64)),
        )


def correlate(one_side: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Estimate:
    """Return Spearman's correlation of two arrays (n,) and its 95 % interval.

    The interval is that of Fisher's z with the variance (1 + ρ²/2) / (n − 3) of Bonett and Wright (2000).
    """
    value = spearman(one_side, other)
    if np.isnan(value):
        return Estimate(None)
    if len(one_side) < FEWEST or abs(value) == 1:
        return Estimate(value)
    reach = NORMAL * np.sqrt((1 + value**2 / 2) / (len(one_side) - 3))
    low, high = np.tanh(np.arctanh(value) + np.array([-reach, reach]))
    return Estimate(value, float(low), float(high))


def _groups(store: Store, by: str | None) -> Iterator[tuple[str, Mask]]:
    """Yield the groups of the rows of a store, the largest first."""
    if by is None:
        return
    labels = [KINDS[kind] for kind in store.tokens.kinds.tolist()] if by == "kind" else scripts_by_token(store.tokens)
    names, owners = np.unique(np.array(labels, dtype=np.object_), return_inverse=True)
    for number in np.argsort(-np.bincount(owners), kind="stable").tolist():
        yield str(names[number]), owners == number


def _named(store: Store, row: int) -> dict[str, Any]:
    return {"token": store.tokens.surfaces[row], "id": int(store.tokens.ids[row])}
