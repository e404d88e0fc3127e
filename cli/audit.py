"""`kotovec audit`: the report on a vocabulary: what a text can have, what was hardly trained, what is there twice."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.cli.chosen import find_store, open_store
from kotovec.cli.encodings import echo
from kotovec.cli.findings import lists, number, pairs, shown_columns
from kotovec.cli.list_options import IndicatorOption, OneSpaceOption, ParquetOption, ReferenceOption, ReportOption
from kotovec.cli.list_options import ShownOption as LimitOption
from kotovec.cli.options import JsonOption, LayerOption, QuietOption, StoreOption
from kotovec.cli.outputs import check_output
from kotovec.errors import InputError, quoted
from kotovec.text import counted, json_line, parts

if TYPE_CHECKING:
    from kotovec.store.audit import Audit

SCRIPTS = 15  # rows of the table of scripts; the others are one row


def command(
    store: StoreOption = None,
    space: OneSpaceOption = "static",
    layer: LayerOption = None,
    indicator: IndicatorOption = "auto",
    reference: ReferenceOption = None,
    limit: LimitOption = 20,
    parquet: ParquetOption = None,
    html: ReportOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Report the tokens that no text has, that were hardly trained, or that are there twice.

    Example: `kotovec audit --html audit.html`
    """
    from kotovec.cli.progress import Display
    from kotovec.cli.tokens import one_space
    from kotovec.store.audit import audit
    from kotovec.store.columns import import_parquet

    if limit < 1:
        raise InputError(f"-n is {limit}", hint="use 1 or more")
    for path, ending in ((parquet, ".parquet"), (html, ".html")):
        if path is not None:
            check_output(path, ending, others=(".parquet", ".html"), inputs=[find_store(store)])
    if parquet is not None:
        import_parquet()
    opened = open_store(store)
    wanted = one_space(opened, space, layer)
    with Display(quiet=quiet) as display:
        found = audit(opened, space=wanted, indicator=indicator, reference=_ids(reference), report=display.say)
        if parquet is not None:
            display.say("writing the table")
            found.table.write_parquet(parquet)
        if html is not None:
            from kotovec.cli.audit_page import write_report

            display.say("writing the page")
            write_report(found, html)
    if as_json:
        echo(json_line(found.as_dict()))
    elif not quiet or (parquet is None and html is None):
        _print(found, limit, {"table": parquet, "page": html}, quiet=quiet)


def _ids(text: str | None) -> list[int] | None:
    if text is None:
        return None
    ids = [part.removeprefix("#") for part in parts(text)]
    for part in ids:
        if not part.isascii() or not part.isdigit():
            raise InputError(f"{quoted(part)} is no token id", hint="give numbers, such as `--reference 1,2,3`")
    return list(map(int, ids))


def _print(found: "Audit", limit: int, written: dict[str, Path | None], *, quiet: bool) -> None:
    from kotovec.cli.tables import notice, print_pairs

    print_pairs(pairs(found) + [(name, str(path)) for name, path in written.items() if path is not None])
    _print_counts(found.counts("kind"))
    _print_counts(_few(found.counts("script")))
    for title, names, rows, numbers in lists(found):
        _print_list(f"{title}{f', the first {limit:,}' if len(rows) > limit else ''}", names, rows[:limit], numbers)
    for note in found.notes:
        notice(f"note: {note}", quiet=quiet)


def _few(counts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the scripts with most tokens, and all others as one row, without the median of their norms."""
    first, rest = counts[:SCRIPTS], counts[SCRIPTS:]
    if not rest:
        return first
    sums: dict[str, Any] = {name: sum(row[name] for row in rest) for name in rest[0] if isinstance(rest[0][name], int)}
    return [*first, {"script": counted(len(rest), "other")} | sums | {"family_cosine": None, "median_norm": None}]


def _print_counts(counts: list[dict[str, Any]]) -> None:
    from kotovec.cli.tables import console, print_grid

    names = [name for name in shown_columns(counts) if name != "family_cosine"]  # 120 columns have no room for it
    rows = [[number(row[name]) for name in names] for row in counts]
    console().print()  # also between pairs, where no table fits
    print_grid([name.replace("_", " ") for name in names], rows)


def _print_list(heading: str, names: list[str], rows: list[list[str]], numbers: tuple[str, ...]) -> None:
    from rich.text import Text

    from kotovec.cli.tables import console, print_table, shown

    if rows:
        console().print(Text(f"\n{heading}", style="bold"))
        print_table(names, [list(map(shown, row)) for row in rows], numbers=numbers)
