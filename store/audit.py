"""The audit of a vocabulary: what a text can have, what was hardly trained, what is there twice."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kotovec.errors import InputError, KotovecError, choices, quoted
from kotovec.space import Space
from kotovec.store.columns import Columns, Lists
from kotovec.store.database import Store
from kotovec.store.families import Families, find_duplicates, find_families
from kotovec.store.listing import Known
from kotovec.store.moments import Floats
from kotovec.store.nearest import Rows
from kotovec.store.reach import Reach, Reached, check_vocabulary, count_reach, find_reach
from kotovec.store.separation import separation
from kotovec.store.tokens import Kind, Tokens
from kotovec.store.undertrained import (
    SHARE,
    Indicator,
    Indicators,
    References,
    aim,
    choose,
    find_candidates,
    find_indicators,
    find_references,
    name_ids,
    unnamed_rows,
)
from kotovec.text import counted

AUTO = "auto"
MECAB = "MeCab splits a text into words first: what is called unreachable may be a part of a word that was not tried"
_WORDS = (Kind.WORD, Kind.SUBWORD)
MOST_NAMED = 16  # rows that a note offers as references
NAMED = 5  # rows that a note names
REACHABLE = (Reach.ALONE, Reach.INSIDE, Reach.SPACE, Reach.NEWLINE)


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        model: the name of the model.
        space: the space that was audited.
        indicators: the indicators of under-trained tokens.
        indicator: the one that candidates are chosen by.
        references: the tokens that the cosines refer to.
        unnamed: how many rows without a token they refer to as well.
        separation: for each indicator, how often a reference row has a smaller value than a word or subword, as
            `separation` measures it.
        candidates: (n,) rows of the tokens that are least trained by the indicator, least first: 2 % of those that a
            text can have, without the references.
        threshold: the largest indicator among them.
        reached: (V,) how a text can have each token; None if the store has no tokenizer to show it.
        duplicates: groups of rows whose vectors are the same.
        families: tokens of one word.
        table: a row per token, with all of this.
        notes: what a person should know.
    """

    model: str
    space: Space
    indicators: Indicators
    indicator: Indicator
    references: References
    unnamed: int
    separation: dict[Indicator, float]
    candidates: Rows
    threshold: float
    reached: list[Reached] | None
    duplicates: list[list[int]]
    families: Families
    table: Columns
    notes: tuple[str, ...]

    def counts(self, column: str) -> list[dict[str, Any]]:
        """Return the numbers of tokens by a column of the table, `kind` or `script`, most tokens first.

        `families` counts the tokens that have an earlier one of the same word, and `family_cosine` is the median of
        their cosine distances from the first one, None without any.
        """
        values: list[str] = self.table.values[column]
        totals = Counter(values)
        norms, cosines = self.table.values["norm"], self.table.values["family_cosine"]
        by_value: dict[str, list[int]] = {value: [] for value in totals}
        for row, value in enumerate(values):
            by_value[value].append(row)
        marked = {name: self.table.values[name] for name in ("reference", "candidate", "duplicate")}
        found = []
        for value, total in totals.most_common():
            rows = by_value[value]
            data: dict[str, Any] = {column: value, "tokens": total}
            if self.reached is not None:
                data |= count_reach(self.reached[row] for row in rows)
            data |= {"references": int(marked["reference"][rows].sum())}
            data |= {"candidates": int(marked["candidate"][rows].sum())}
            data |= {"duplicates": int((marked["duplicate"][rows] >= 0).sum())}
            of_pairs = cosines[rows][~np.isnan(cosines[rows])]
            data |= {"families": len(of_pairs), "family_cosine": float(np.median(of_pairs)) if len(of_pairs) else None}
            found.append(data | {"median_norm": float(np.median(norms[rows]))})
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data, without a row per token; the keys are stable."""
        ids = self.table.values["id"]
        tokens = self.table.values["token"]

        def named(row: int) -> dict[str, Any]:
            return {"id": int(ids[row]), "token": tokens[row]}

        values = self.indicators.of(self.indicator)
        unreachable = self._rows_of(Reach.UNREACHABLE)
        return {
            "model": self.model,
            "space": str(self.space),
            "cosine_space": str(self.indicators.cosine_space),
            "tokens": len(self.table),
            "reach": None if self.reached is None else count_reach(self.reached),
            "indicator": str(self.indicator),
            "threshold": self.threshold,
            "references": {
                name: [int(ids[row]) for row in getattr(self.references, name)]
                for name in ("unused", "impossible", "named")
            }
            | {"rows_without_token": self.unnamed},
            "separation": {str(indicator): value for indicator, value in self.separation.items()},
            "candidates": [named(row) | {"value": float(values[row])} for row in self.candidates.tolist()],
            "unreachable": [named(row) | {"pieces": list(self.pieces(row))} for row in unreachable],
            "duplicates": [[named(row) for row in group] for group in self.duplicates],
            "families": self.families.summary(),
            "kinds": self.counts("kind"),
            "scripts": self.counts("script"),
            "notes": list(self.notes),
        }

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame, a row per token, whose `attrs` record the audit.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        frame = self.table.to_pandas()
        frame.attrs |= {"model": self.model, "space": str(self.space), "indicator": str(self.indicator)}
        return frame

    def pieces(self, row: int) -> tuple[str, ...]:
        """Return what an unreachable token becomes instead."""
        return () if self.reached is None else self.reached[row].pieces

    def unreachable(self) -> list[int]:
        """Return the rows of the tokens that no probe found."""
        return self._rows_of(Reach.UNREACHABLE)

    def _rows_of(self, reach: Reach) -> list[int]:
        return [row for row, each in enumerate(self.reached or ()) if each.reach is reach]


def _silent(_phase: str) -> None:
    """Report a phase of the audit to nobody."""


def audit(
    store: Store,
    *,
    space: Space | str | None = None,
    indicator: str = AUTO,
    reference: Sequence[int] | None = None,
    report: Callable[[str], None] = _silent,
) -> Audit:
    """Audit the vocabulary of a store. 250,000 tokens of 384 dimensions take half a minute.

    Args:
        store: an open store.
        space: the space of norms and distances; None for `static` or, without it, the first one. Where it is `static`,
            cosines are taken from `output` if the store has it.
        indicator: `norm`, `cosine` or `component`; `auto` takes that of the paper, as `undertrained.choose` does.
        reference: ids of tokens, or of rows without one, that are known to be untrained, in place of those that are
            found; None to find them by their texts.
        report: called with the name of each phase.

    Raises:
        NotStoredError: the store does not hold the space or a token.
        InputError: the indicator is unknown, or needs reference rows where there are none; a vector is not finite; the
            store's rows are words of a list.
    """
    if indicator not in (AUTO, *Indicator):
        raise InputError(f"unknown indicator {quoted(indicator)}", hint=f"choose {choices((AUTO, *Indicator))}")
    space, tokens = store.space(space), store.tokens
    check_vocabulary(tokens)
    if store.vectors.present(space) is not None:
        raise InputError(f"{space} lacks some of the tokens, and an audit is of all", hint="choose `static`")
    report("under-trained tokens")
    unnamed_ids, unnamed, named, left_out = _unnamed(store, space, reference)
    references = find_references(tokens, named)
    indicators = find_indicators(store, space, references.rows, unnamed)
    others = np.setdiff1d(np.flatnonzero(np.isin(tokens.kinds, _WORDS)), references.rows)
    chosen = choose(indicators) if indicator == AUTO else Indicator(indicator)
    values = indicators.of(chosen)
    report("reachable tokens")
    reached, notes = _reach(store)
    eligible = np.setdiff1d(_eligible(store, reached), references.rows)
    candidates, threshold = find_candidates(values, eligible)
    report("duplicates and families")
    vectors = store.array(space)
    duplicates, families = find_duplicates(vectors), find_families(tokens, vectors)
    report("table")
    known = Known(store, space, np.arange(len(tokens)))
    table = {name: known.column(name) for name in ("id", "token", "text", "notation", "kind", "script", "centroid")}
    table |= {"norm": indicators.norm, "cosine": indicators.cosine, "component": indicators.component}
    if reached is not None:
        table |= {"reach": [str(each.reach) for each in reached]}
        table |= {"pieces": Lists(list(each.pieces) for each in reached)}
    table |= {"reference": _marked(references.rows, len(tokens)), "candidate": _marked(candidates, len(tokens))}
    table |= {"duplicate": _firsts(duplicates, tokens.ids)} | families.columns(tokens.ids)
    return Audit(
        model=str(store.vectors.attributes.get("model", store.path.stem)),
        space=space,
        indicators=indicators,
        indicator=chosen,
        references=references,
        unnamed=len(unnamed),
        separation=separation(store, indicators, references.rows, unnamed_ids, others),
        candidates=candidates,
        threshold=threshold,
        reached=reached,
        duplicates=duplicates,
        families=families,
        table=Columns({name: values_ for name, values_ in table.items() if values_ is not None}),
        notes=(*left_out, *notes, *_notes(indicators, chosen, duplicates, tokens)),
    )


def _unnamed(
    store: Store, space: Space, reference: Sequence[int] | None
) -> tuple[Rows, Floats, list[int] | None, list[str]]:
    """Return the rows without a token that are references, the ids of tokens among those that are named, and notes.

    A row with a number that is not finite is left out: no text reaches it, and it would spoil every cosine.
    """
    ids, vectors = unnamed_rows(store, aim(store, space))
    wanted = np.ones(len(ids), dtype=np.bool_) if reference is None else np.isin(ids, reference)
    named = None if reference is None else [each for each in reference if each not in ids]
    finite = np.isfinite(vectors).all(axis=1)
    left_out = ids[wanted & ~finite]
    if not len(left_out):
        return ids[wanted], vectors[wanted], named, []
    note = f"{counted(len(left_out), 'row')} without a token left out, as a number is not finite: {name_ids(left_out)}"
    return ids[wanted & finite], vectors[wanted & finite], named, [note]


def _reach(store: Store) -> tuple[list[Reached] | None, list[str]]:
    try:
        found = find_reach(store.lookup, np.arange(len(store)))
    except KotovecError as error:
        return None, [f"what a text can have is left out: {error}"]
    mecab = not (store.lookup.folder / "tokenizer.json").is_file()
    return found, [MECAB] if mecab and any(each.reach is Reach.UNREACHABLE for each in found) else []


def _eligible(store: Store, reached: list[Reached] | None) -> Rows:
    """Return the rows that can be candidates: what a text can have or, if that is not known, words and subwords."""
    if reached is None:
        kinds = store.tokens.kinds
        return np.flatnonzero(np.isin(kinds, _WORDS))
    return np.array([row for row, each in enumerate(reached) if each.reach in REACHABLE], dtype=np.int64)


def _notes(indicators: Indicators, chosen: Indicator, duplicates: list[list[int]], tokens: Tokens) -> list[str]:
    """Return what to know where no reference rows were found, and which rows may serve as some.

    Rows differ where texts differ: of SmolLM2's 49,152 rows, the 15 that equal another one are eleven special tokens
    and four names from machine-written code.
    """
    if chosen is not Indicator.NORM or indicators.cosine is not None:
        return []
    note = "no reference rows were found, so candidates are chosen by norm, which says less of a tied matrix"
    if not duplicates or tokens.listed:
        return [note]
    ids = sorted(tokens.ids[[row for group in duplicates for row in group]].tolist())
    named = ",".join(map(str, ids[:MOST_NAMED]))
    return [f"{note}; rows that are equal are often untrained: see what --reference {named} finds"]


def _marked(rows: Rows, count: int) -> Any:
    marked = np.zeros(count, dtype=np.bool_)
    marked[rows] = True
    return marked


def _firsts(groups: list[list[int]], ids: Rows) -> Rows:
    """Return for each of V rows the id of the first row that it equals; −1 if it equals none."""
    found = np.full(len(ids), -1, dtype=np.int64)
    for group in groups:
        found[group] = ids[group[0]]
    return found


__all__ = ["SHARE", "Audit", "audit"]
