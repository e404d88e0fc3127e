"""The report of an audit as a page: one file with its style inside, without any script; texts are escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.cli.findings import lists, number, pairs, shown_columns
from kotovec.store.outputs import write_output
from kotovec.text import escaped
from kotovec.version import __version__

if TYPE_CHECKING:
    from kotovec.store.audit import Audit

MOST = 2000  # rows of a list on the page: 200 KB; the Parquet file has all
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }
th, td { padding: 0.15rem 0.8rem 0.15rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { border-bottom: 1px solid #999; font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:not(.number) { unicode-bidi: isolate; }
summary { font-size: 1.15rem; font-weight: 600; cursor: pointer; }
footer { color: #666; margin-top: 2rem; }
"""
# No script can run, and nothing is fetched, whatever a vocabulary holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
PAPER = "https://arxiv.org/abs/2405.05417"


def write_report(found: "Audit", path: Path) -> None:
    """Write the page of an audit.

    Raises:
        InputError: the file cannot be written.
    """
    write_output(path, make_report(found).encode("utf-8"))


def make_report(found: "Audit") -> str:
    """Return the page of an audit."""
    title = f"Audit of {_safe(found.model)}"
    parts = [f"<h1>{title}</h1>", _table([], [list(pair) for pair in pairs(found)], ())]
    for column in ("kind", "script"):
        parts += [f"<h2>By {column}</h2>", _counts(found.counts(column))]
    for heading, names, rows, numbers in lists(found):
        shown = f"{heading} ({len(rows):,}{f', the first {MOST:,} shown' if len(rows) > MOST else ''})"
        parts.append(f"<details open><summary>{_safe(shown)}</summary>{_table(names, rows[:MOST], numbers)}</details>")
    parts += [f"<p>{_safe(note)}</p>" for note in found.notes]
    source = f'Indicators: Land and Bartolo, 2024, <a href="{PAPER}">{PAPER}</a>.'
    parts.append(f"<footer>{source} Written by kotovec {_safe(__version__)}.</footer>")
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{title}</title>'
    body = "\n".join(parts)
    return f"<!doctype html>\n<html>\n<head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"


def _counts(counts: list[dict[str, Any]]) -> str:
    names = shown_columns(counts)
    rows = [[number(row[name]) for name in names] for row in counts]
    return _table([name.replace("_", " ") for name in names], rows, {name.replace("_", " ") for name in names[1:]})


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[str]) -> str:
    wanted = set(numbers)
    kinds = [' class="number"' if name in wanted else "" for name in names]
    head = "".join(f"<th{kind}>{_safe(name)}</th>" for kind, name in zip(kinds, names, strict=True))
    top = f"<thead><tr>{head}</tr></thead>" if names else ""
    return f"<table>{top}<tbody>\n{''.join(_row(kinds or [''] * len(row), row) for row in rows)}</tbody></table>"


def _row(kinds: Sequence[str], cells: Sequence[str]) -> str:
    made = "".join(f"<td{kind}>{_safe(cell)}</td>" for kind, cell in zip(kinds, cells, strict=True))
    return f"<tr>{made}</tr>\n"


def _safe(text: str) -> str:
    return escape(escaped(text, keep=""))
