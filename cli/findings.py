"""What an audit found, as texts: pairs, tables of numbers and lists, for a terminal and for a page."""

from typing import TYPE_CHECKING, Any

from kotovec.text import counted

if TYPE_CHECKING:
    from kotovec.store.audit import Audit


def pairs(found: "Audit") -> list[tuple[str, str]]:
    """Return what the report is of, and its numbers."""
    from kotovec.store.reach import count_reach

    references = found.references
    parts = [
        f"{counted(len(rows), 'token')} {how}"
        for rows, how in (
            (references.unused, "named as unused"),
            (references.impossible, "of bytes that UTF-8 never has"),
            (references.named, "named with --reference"),
        )
        if len(rows)
    ]
    if found.unnamed:
        parts.append(f"{counted(found.unnamed, 'row')} without a token")
    reach = {} if found.reached is None else count_reach(found.reached)
    spaces = f"{found.space.title}; cosines of {found.indicators.cosine_space.title}"
    return [
        ("model", found.model),
        ("space", found.space.title if found.indicators.cosine_space == found.space else spaces),
        ("tokens", f"{len(found.table):,}"),
        *((reach_title(name), f"{count:,}") for name, count in reach.items() if count),
        ("reference rows", "; ".join(parts) or "none found"),
        ("indicator", found.indicator.label),
        *([("separation", _separation(found))] if found.separation else []),
        ("candidates", f"{len(found.candidates):,}, up to {found.threshold:.4f}" if len(found.candidates) else "none"),
        ("duplicates", f"{sum(map(len, found.duplicates)):,} in {counted(len(found.duplicates), 'group')}"),
        ("families", f"{counted(len(found.families), 'pair')} of tokens of one word"),
    ]


def _separation(found: "Audit") -> str:
    """Return how well each indicator separates the reference rows from words and subwords, the best one first."""
    areas = sorted(found.separation.items(), key=lambda item: -item[1])
    return "; ".join(f"{area:.4f} by {indicator}" for indicator, area in areas)


def reach_title(reach: str) -> str:
    """Return what a category of reach means, for a person."""
    from kotovec.store.reach import Reach

    return Reach(reach).label


def shown_columns(counts: list[dict[str, Any]]) -> list[str]:
    """Return the columns of a table of numbers that are not all zero."""
    return [name for name in counts[0] if not all(row[name] in {0, None} for row in counts)]


def number(value: Any) -> str:
    """Return a number of a table for a person."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)


def lists(found: "Audit") -> list[tuple[str, list[str], list[list[str]], tuple[str, ...]]]:
    """Return the lists of the report: title, columns, rows of cells in the notation, and which columns are numbers."""
    table, values = found.table.values, found.indicators.of(found.indicator)
    ids, texts, scripts = table["id"].tolist(), table["notation"], table["script"]
    candidates = [
        [str(ids[row]), texts[row], scripts[row], f"{values[row]:.4f}", f"{table['norm'][row]:.4f}"]
        for row in found.candidates.tolist()
    ]
    noted = dict(zip(table["text"], texts, strict=True))
    becomes = {row: " | ".join(noted.get(piece, piece) for piece in found.pieces(row)) for row in found.unreachable()}
    unreachable = [[str(ids[row]), texts[row], pieces] for row, pieces in becomes.items()]
    groups = sorted(found.duplicates, key=len, reverse=True)
    equal = [[", ".join(str(ids[row]) for row in rows), " | ".join(texts[row] for row in rows)] for rows in groups]
    quartiles = ("pairs", "q1", "median", "q3")
    families = [[row["relation"], *(number(row[name]) for name in quartiles)] for row in found.families.summary()]
    measured = str(found.indicator) if found.indicator != "norm" else "indicator"
    heads = ["id", "token", "script", measured, "norm"]
    return [
        ("Candidates, least trained first", heads, candidates, ("id", measured, "norm")),
        ("Unreachable", ["id", "token", "becomes"], unreachable, ("id",)),
        ("Vectors that are equal", ["ids", "tokens"], equal, ()),
        ("Families: cosine distances", ["differ in", *quartiles], families, quartiles),
    ]
