"""The list of a store's tokens: which ones, in which order, and what is known of each."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted
from kotovec.space import Space
from kotovec.store.columns import Columns, Lists
from kotovec.store.database import Store
from kotovec.store.moments import Doubles, distances, mean
from kotovec.store.nearest import Rows
from kotovec.store.neighbours import neighbours
from kotovec.store.notation import noted, typed
from kotovec.store.patterns import read_otherwise
from kotovec.store.reach import find_reach
from kotovec.store.scripts import parse_scripts, scripts_by_token, written_in
from kotovec.store.tokens import KINDS
from kotovec.text import counted, parts

SORTS = ("id", "text", "norm", "centroid", "neighbours")
NAMES = (
    "id",
    "token",
    "text",
    "notation",
    "kind",
    "script",
    "length",
    "norm",
    "centroid",
    "neighbours",
    "reach",
    "pieces",
)
NEAREST = 10  # neighbours whose mean cosine is the column `neighbours`
_LENGTH = re.compile(r"(\d*)(-?)(\d*)")


@dataclass(frozen=True)
class Selection:
    """Which tokens a list holds; every field has the name of its option.

    Attributes:
        pattern: a text that the token, as a person reads it or in the notation, contains; empty for all. One that
            no token contains is read as a query reads a word: in NFC or NFKC, with `_` for ▁, or as the tokenizer
            spells it.
        regex: whether the pattern is a regular expression.
        kind: kinds of tokens, such as `word,subword`; None for all.
        script: scripts that all letters of the token must be of, such as `Han,Hiragana`; None for all.
        length: number of characters without the mark of a word: `3`, `2-4` or `5-`; None for all.
    """

    pattern: str = ""
    regex: bool = False
    kind: str | None = None
    script: str | None = None
    length: str | None = None

    def rows(self, store: Store) -> Rows:
        """Return the rows of the tokens, (n,) int64, ascending.

        Raises:
            InputError: a kind, script, length or expression cannot be used.
        """
        tokens = store.tokens
        keep = np.ones(len(tokens), dtype=np.bool_)
        if self.kind is not None:
            keep &= np.isin(tokens.kinds, [_kind(name) for name in parts(self.kind)])
        if self.script is not None:
            keep &= written_in(tokens, parse_scripts(self.script))
        if self.pattern:
            matches = self._matcher()
            spelled = zip(tokens.texts, tokens.surfaces, strict=True)
            found = (matches(surface) or matches(noted(text, surface, tokens.marking)) for text, surface in spelled)
            keep &= np.fromiter(found, dtype=np.bool_, count=len(tokens))
        if self.length is not None:
            least, most = self._lengths()
            for row in np.flatnonzero(keep).tolist():
                keep[row] = least <= length_of(store, row) <= most
        return np.flatnonzero(keep)

    def _matcher(self) -> Callable[[str], bool]:
        if not self.regex:
            return lambda surface: self.pattern in surface
        try:
            expression = re.compile(self.pattern)
        except re.error as error:
            hint = r"put a backslash before a sign that means itself, such as `\(`, or leave out --regex"
            raise InputError(f"{quoted(self.pattern)} is no regular expression: {error}", hint=hint) from error
        return lambda surface: expression.search(surface) is not None

    def _lengths(self) -> tuple[int, float]:
        found = _LENGTH.fullmatch((self.length or "").strip())
        if found is None or not (found[1] or found[3]):
            raise InputError(f"{quoted(str(self.length))} is no length", hint="use `3`, `2-4` or `5-`")
        least = int(found[1] or 0)
        most = int(found[3]) if found[3] else float("inf") if found[2] else least
        if most < least:
            raise InputError(f"{quoted(str(self.length))} is no length", hint=f"use `{int(most)}-{least}`")
        return least, most


@dataclass(frozen=True)
class Known:
    """What is known of some rows of a store in a space; each column is computed when it is asked for."""

    store: Store
    space: Space
    rows: Rows

    def column(self, name: str) -> Any:
        """Return a column of the table, (n,), by its name.

        Raises:
            InputError: there is no such column.
            DamagedError, StoreError, MissingDependencyError: the store's tokenizer, which reach needs, cannot be used.
        """
        if name not in NAMES:
            raise InputError(f"unknown column {quoted(name)}", hint=f"choose {choices(NAMES)}")
        return getattr(self, f"_{name}")

    def take(self, chosen: npt.NDArray[np.int64]) -> "Known":
        """Return what is known of some of these rows."""
        return Known(self.store, self.space, self.rows[chosen])

    @property
    def _id(self) -> Rows:
        return self.store.tokens.ids[self.rows]

    @property
    def _token(self) -> list[str]:
        return self.store.tokens.surfaces.at(self.rows)

    @property
    def _text(self) -> list[str]:
        return self.store.tokens.texts.at(self.rows)

    @property
    def _notation(self) -> list[str]:
        marking = self.store.tokens.marking
        return [noted(text, surface, marking) for text, surface in zip(self._text, self._token, strict=True)]

    @property
    def _kind(self) -> list[str]:
        return [KINDS[kind] for kind in self.store.tokens.kinds[self.rows].tolist()]

    @property
    def _script(self) -> list[str]:
        return scripts_by_token(self.store.tokens.take(self.rows))

    @property
    def _length(self) -> Rows:
        return np.array([length_of(self.store, row) for row in self.rows.tolist()], dtype=np.int64)

    @property
    def _norm(self) -> Doubles:
        return np.asarray(self.store.norms(self.space)[self.rows], dtype=np.float64)

    @property
    def _centroid(self) -> Doubles:
        vectors = self.store.array(self.space)
        present = self.store.vectors.present(self.space)
        share = 1.0 if present is None else present.mean()  # rows without a vector are zeros, and add nothing
        return distances(vectors, mean(vectors) / share)[self.rows]

    @property
    def _neighbours(self) -> Doubles:
        found = neighbours(self.store, self.space, min(NEAREST, len(self.store)), rows=self.rows)
        counts = np.maximum(1, (found.rows >= 0).sum(axis=1))
        return np.asarray(found.scores.sum(axis=1) / counts)

    @cached_property
    def _reached(self) -> tuple[list[str], Lists]:
        found = find_reach(self.store.lookup, self.rows)
        return [str(each.reach) for each in found], Lists(list(each.pieces) for each in found)

    @property
    def _reach(self) -> list[str]:
        return self._reached[0]

    @property
    def _pieces(self) -> Lists:
        return self._reached[1]


@dataclass(frozen=True)
class Listing:
    """A list of tokens.

    Attributes:
        space: the space of norms, distances and neighbours.
        total: how many tokens were selected; the table has the first of them.
        table: the columns that were asked for.
        notes: how a pattern was read that no token contains as it stands.
    """

    space: Space
    total: int
    table: Columns
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries of Python's own types, ready for JSON; those of `table` come one by one."""
        return list(self.table.rows())

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame, whose `attrs` record `space` and `total`.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        frame = self.table.to_pandas()
        frame.attrs |= {"space": str(self.space), "total": self.total}
        return frame


def list_tokens(
    store: Store,
    selection: Selection = Selection(),
    *,
    space: Space | str | None = None,
    sort: str = "id",
    descending: bool = False,
    limit: int | None = None,
    columns: Sequence[str] = ("id", "token", "text", "kind", "script", "norm", "centroid", "reach"),
) -> Listing:
    """Return the list of a store's tokens.

    `norm` is the L2 norm of the vector in the space, `centroid` its L2 distance from the mean of all vectors,
    `neighbours` the mean cosine with its ten nearest tokens, which takes V² products where all are asked for; `reach`
    is a category of `Reach`, and `pieces` the list of tokens that an unreachable one becomes instead, by their texts.

    Args:
        store: an open store.
        selection: which tokens.
        space: the space, such as `static` or `isolated@6`; None for `static` or, without it, the first one.
        sort: `id`, `text`, `norm`, `centroid` or `neighbours`, ascending; ties are ordered by id.
        descending: the other way round.
        limit: how many tokens at most; None for all.
        columns: names of columns, of `NAMES`.

    Raises:
        NotStoredError: the store does not hold the space.
        InputError: a name or value cannot be used, or `limit` is less than 1.
        DamagedError, StoreError, MissingDependencyError: the store's tokenizer, which reach needs, cannot be used.
    """
    if limit is not None and limit < 1:
        raise InputError(f"the limit is {limit}", hint="use 1 or more")
    if sort not in SORTS:
        raise InputError(f"unknown order {quoted(sort)}", hint=f"choose {choices(SORTS)}")
    for index, name in enumerate(columns):
        if name not in NAMES:
            raise InputError(f"unknown column {quoted(name)}", hint=f"choose {choices(NAMES)}")
        if name in columns[:index]:
            raise InputError(f"the column {quoted(name)} is named twice", hint="name it once")
    notes: tuple[str, ...] = ()
    rows = selection.rows(store)
    if not len(rows) and selection.pattern and not selection.regex:
        pattern, notes = read_otherwise(selection.pattern, store, lambda text: len(Selection(text).rows(store)) > 0)
        rows = replace(selection, pattern=pattern).rows(store)
    space = store.space(space)
    present = store.vectors.present(space)
    if present is not None:
        absent = int((~present[rows]).sum())
        rows = rows[present[rows]]
        if absent:
            notes = (*notes, f"left out as {space} has no vector of them: {counted(absent, store.tokens.noun)}")
    known = Known(store, space, rows)
    keys = known.column("token" if sort == "text" else sort)
    sortable = np.array(keys, dtype=object if sort == "text" else None)
    order = np.argsort(sortable[::-1] if descending else sortable, kind="stable")
    if descending:  # ties stay in the order of their ids
        order = len(order) - 1 - order[::-1]
    order = order[:limit]
    shown = known.take(order)
    computed = {sort: sortable[order]} if sort != "text" else {}
    values = {name: computed[name] if name in computed else shown.column(name) for name in columns}
    return Listing(known.space, len(known.rows), Columns(values), notes)


def length_of(store: Store, row: int) -> int:
    """Return the number of characters of a token without the mark of its place in a word."""
    tokens = store.tokens
    return len(typed(tokens.texts[row], tokens.surfaces[row], tokens.marking).text)


def _kind(name: str) -> int:
    if name not in KINDS:
        raise InputError(f"unknown kind {quoted(name)}", hint=f"choose {choices(KINDS)}")
    return KINDS.index(name)
