"""Tokens that a model hardly saw in training: the indicators of Land and Bartolo, and the rows that they refer to.

Sander Land and Max Bartolo, Fishing for Magikarp: Automatically Detecting Under-trained Tokens in Large Language
Models, EMNLP 2024, https://arxiv.org/abs/2405.05417, section 2.2. A row of the output matrix that no text asks for is
pushed away from all hidden states, and so in one direction, which known unused rows show: the cosine distance from
their mean is small, with and without the first principal component of the matrix, which all rows share. Where the input
matrix is one of its own, a row that no text has only decays: its norm is small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kotovec.errors import InputError, NotStoredError
from kotovec.space import OUTPUT, STATIC, Space
from kotovec.store.database import Store
from kotovec.store.moments import Doubles, Floats, cosine_distances, first_component, mean
from kotovec.store.nearest import Rows
from kotovec.store.tokens import Kind, Marking, Tokens, bytes_of

# No text in UTF-8 has these bytes: RFC 3629, section 1.
IMPOSSIBLE = frozenset((0xC0, 0xC1, *range(0xF5, 0x100)))
NAMED = 5  # ids in a message
SHARE = 2.0  # per cent of the tokens that are candidates: as many as the paper verifies


class Indicator(StrEnum):
    """What is small for a token that was hardly trained."""

    NORM = "norm"
    COSINE = "cosine"
    COMPONENT = "component"

    @property
    def label(self) -> str:
        """What it is, for a person."""
        return {
            "norm": "norm of the row",
            "cosine": "cosine distance from the mean of the reference rows",
            "component": "cosine distance from the mean of the reference rows, without the first component",
        }[self.value]


@dataclass(frozen=True)
class References:
    """Rows of tokens that no text trains, by how they were found.

    Attributes:
        unused: placeholders, by their texts, such as `[unused7]`; int64.
        impossible: bytes that UTF-8 never has, such as `<0xC0>`; int64.
        named: those that the user named; int64.
    """

    unused: Rows
    impossible: Rows
    named: Rows

    @property
    def rows(self) -> Rows:
        """All of them, ascending."""
        return np.unique(np.concatenate([self.unused, self.impossible, self.named]))


@dataclass(frozen=True)
class Indicators:
    """The indicators of V tokens; smaller is less trained.

    Attributes:
        norm_space, cosine_space: the spaces of which they are.
        norm: (V,) L2 norms.
        cosine: (V,) cosine distances from the mean of the reference rows, 1 for zero vectors; None without references.
        component: the same without the first principal component of the space.
        target: (D,) the mean of the reference rows; None without references.
        first: (D,) the first principal component; None without references.
    """

    norm_space: Space
    cosine_space: Space
    norm: Doubles
    cosine: Doubles | None
    component: Doubles | None
    target: Doubles | None = None
    first: Doubles | None = None

    def of(self, indicator: Indicator) -> Doubles:
        """Return an indicator, (V,).

        Raises:
            InputError: it needs reference rows, and there are none.
        """
        values = {Indicator.NORM: self.norm, Indicator.COSINE: self.cosine, Indicator.COMPONENT: self.component}
        found = values[indicator]
        if found is None:
            raise InputError(
                f"no reference rows for the indicator {indicator}: the vocabulary has no token that is known as unused",
                hint="name some with --reference, or use `norm`",
            )
        return found


def find_references(tokens: Tokens, named: Sequence[int] | None = None) -> References:
    """Return the rows of tokens that no text trains.

    Args:
        tokens: the V tokens.
        named: ids of tokens that are known to be untrained; no others are looked for.

    Raises:
        NotStoredError: no token has one of the ids.
    """
    none = np.empty(0, dtype=np.int64)
    if named is not None:
        rows = [tokens.row_of_id(each) for each in named]
        if None in rows:
            missing, last = named[rows.index(None)], int(tokens.ids[-1])
            problem = f"this store holds no token #{missing}: its ids go up to {last}"
            raise NotStoredError(problem, hint="list the ids with `kotovec tokens`")
        return References(none, none, np.array(sorted({row for row in rows if row is not None}), dtype=np.int64))
    unused = np.flatnonzero(tokens.kinds == Kind.UNUSED)
    of_bytes = np.flatnonzero(tokens.kinds == Kind.BYTE)
    impossible = [row for row in of_bytes.tolist() if _octet(tokens.texts[row], tokens.marking) in IMPOSSIBLE]
    return References(unused, np.array(impossible, dtype=np.int64), none)


def unnamed_rows(store: Store, space: Space | str) -> tuple[Rows, Floats]:
    """Return the rows of a matrix without a token: ids, (R,), and (R, D) float32.

    Raises:
        NotStoredError: the store does not hold the space.
    """
    space = store.space(space)
    ids, found = store.vectors.part(space, "unnamed_id"), store.vectors.part(space, "unnamed")
    if ids is None or found is None:
        return np.empty(0, dtype=np.int64), np.empty((0, store.array(space).shape[1]), dtype=np.float32)
    return np.asarray(ids), np.asarray(found)


def aim(store: Store, space: Space | str) -> Space:
    """Return the space that cosines are taken from: `output` for `static`, where the store has it as one of its own.

    Raises:
        NotStoredError: the store does not hold the space.
    """
    space = store.space(space)
    return OUTPUT if space == STATIC and OUTPUT in store.spaces else space


def find_indicators(store: Store, space: Space | str, references: Rows, unnamed: Floats | None = None) -> Indicators:
    """Return the indicators of all tokens; norms are of the space, and cosines of that of `aim`.

    Args:
        store: an open store.
        space: the space, such as `static`.
        references: rows of tokens that no text trains.
        unnamed: (R, D) further rows of the matrix of the cosines, which have no token: references, too.

    Raises:
        NotStoredError: the store does not hold the space.
        InputError: a vector is not finite, of which no mean can be taken.
    """
    space, aimed = store.space(space), aim(store, space)
    for each in dict.fromkeys((space, aimed)):
        _check_finite(store, each)
    norm = np.asarray(store.norms(space), dtype=np.float64)
    vectors = store.array(aimed)
    more = np.empty((0, vectors.shape[1])) if unnamed is None else unnamed
    if not len(references) + len(more):
        return Indicators(space, aimed, norm, None, None)
    target = mean(vectors[references], more)
    component = first_component(mean(vectors, more), vectors, more)
    return Indicators(
        norm_space=space,
        cosine_space=aimed,
        norm=norm,
        cosine=cosine_distances(vectors, target),
        component=cosine_distances(vectors, target, component),
        target=target,
        first=component,
    )


def _check_finite(store: Store, space: Space) -> None:
    rows = np.flatnonzero(~np.isfinite(store.norms(space)))
    if len(rows):
        named = name_ids(store.tokens.ids[rows])
        raise InputError(f"{len(rows):,} of the {len(store):,} vectors of {space.title} are not finite: {named}")


def name_ids(ids: Rows) -> str:
    """Return the first few ids for a message: `#3, #7`."""
    return ", ".join(f"#{number}" for number in ids[:NAMED].tolist()) + (", …" if len(ids) > NAMED else "")


def choose(indicators: Indicators) -> Indicator:
    """Return the indicator that the paper takes: norms where the matrices differ, else cosines without the component.

    Without reference rows only norms are left, which say less where input and output are one matrix.
    """
    if indicators.component is None or indicators.cosine_space != indicators.norm_space:
        return Indicator.NORM
    return Indicator.COMPONENT


def find_candidates(values: Doubles, eligible: Rows, share: float = SHARE) -> tuple[Rows, float]:
    """Return the rows whose indicator is among the smallest, smallest first, and the largest value among them.

    Args:
        values: (V,) an indicator.
        eligible: the rows to take them from.
        share: how many of these, in per cent.
    """
    if not len(eligible):
        return eligible, float("nan")
    threshold = float(np.percentile(values[eligible], share))
    chosen = eligible[values[eligible] <= threshold]
    return chosen[np.argsort(values[chosen], kind="stable")], threshold


def _octet(text: str, marking: Marking) -> int:
    """Return the byte that a token stands for; −1 if it stands for several, or for a part of a character."""
    if text.startswith("<0x"):
        return int(text[3:-1], 16)
    octets = bytes_of(text) if marking is Marking.BYTELEVEL else None
    return octets[0] if octets is not None and len(octets) == 1 else -1
