"""`kotovec tokens`: a list of the store's tokens, filtered and in order."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.cli.chosen import choose_spaces, find_store, open_store
from kotovec.cli.encodings import echo
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.list_options import (
    ColumnsOption,
    DescendingOption,
    KindOption,
    LengthOption,
    LimitOption,
    OneSpaceOption,
    ParquetOption,
    PatternArgument,
    RegexOption,
    SortOption,
    TokenScriptOption,
)
from kotovec.cli.options import JsonOption, LayerOption, QuietOption, StoreOption, TsvOption
from kotovec.cli.outputs import check_output
from kotovec.errors import InputError, KotovecError, choices
from kotovec.text import counted, doubled, json_line, parts

if TYPE_CHECKING:
    from kotovec.store import Store
    from kotovec.store.listing import Listing

IN_TABLE = 50  # tokens that a table shows unless asked for more: a screen or two
SHOWN = ("id", "notation", "kind", "script", "norm", "centroid", "reach")
WRITTEN = ("id", "token", "text", "kind", "script", "norm", "centroid", "reach")
TEXTS = ("token", "text", "notation")
NUMBERS = ("id", "length", "norm", "centroid", "neighbours")


def command(
    pattern: PatternArgument = "",
    store: StoreOption = None,
    space: OneSpaceOption = "static",
    layer: LayerOption = None,
    regex: RegexOption = False,
    kind: KindOption = None,
    script: TokenScriptOption = None,
    length: LengthOption = None,
    sort: SortOption = "id",
    descending: DescendingOption = False,
    limit: LimitOption = None,
    columns: ColumnsOption = None,
    parquet: ParquetOption = None,
    tsv: TsvOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List tokens with their norms, distances from the centroid, and whether a text can have them.

    Example: `kotovec tokens --script Han --sort centroid -n 20`
    """
    if sum((as_json, tsv, parquet is not None)) > 1:
        raise InputError("more than one of --json, --tsv and --parquet is given", hint="choose one")
    from kotovec.cli.tables import notice
    from kotovec.store.columns import import_parquet
    from kotovec.store.listing import Selection

    if parquet is not None:
        import_parquet()
        check_output(parquet, ".parquet", inputs=[find_store(store)])

    written = as_json or tsv or parquet is not None
    opened = open_store(store)
    options: dict[str, Any] = {
        "space": one_space(opened, space, layer),
        "sort": sort,
        "descending": descending,
        "limit": limit if limit is not None or written else IN_TABLE,
    }
    names = parts(columns) if columns else None
    selection = Selection(pattern, regex=regex, kind=kind, script=script, length=length)
    with ending_at_once():
        listing, note = _list(opened, selection, options, names, WRITTEN if written else SHOWN)
    if parquet is not None:
        listing.table.write_parquet(parquet)
    elif as_json:
        for row in listing.table.rows():
            echo(json_line(row))
    elif tsv:
        for line in _tsv_lines(listing):
            echo(line)
    elif listing.total:
        _print(opened, listing)
    empty = [] if listing.total else _nothing(opened, selection)
    for each in (*(f"note: {note}" for note in listing.notes), *_left_out(listing, parquet), *empty, *note):
        notice(each, quiet=quiet)


def one_space(store: "Store", text: str, layer: int | None) -> Any:
    """Return the stored space that `--space` and `--layer` name.

    Raises:
        InputError: they name several, or none.
        NotStoredError: the store does not hold it.
    """
    wanted = choose_spaces(text, layer, store.spaces)
    if len(wanted) > 1:
        raise InputError(f"--space names {len(wanted)} spaces", hint="name one")
    return wanted[0]


def _list(
    store: "Store", selection: Any, options: dict[str, Any], names: list[str] | None, usual: tuple[str, ...]
) -> "tuple[Listing, list[str]]":
    """Return the list, and notes: unless it is asked for, reach is left out where no tokenizer can show it."""
    from kotovec.store.listing import list_tokens

    if names is not None:
        return list_tokens(store, selection, **options, columns=names), []
    try:
        return list_tokens(store, selection, **options, columns=usual), []
    except KotovecError as error:
        without = list_tokens(store, selection, **options, columns=[name for name in usual if name != "reach"])
        return without, [f"note: reach is left out: {error}"]


def _left_out(listing: "Listing", parquet: Path | None) -> list[str]:
    shown = len(listing.table)
    if parquet is not None:
        return [f"{counted(shown, 'token')} written to {parquet}"]
    return [f"{shown:,} of {counted(listing.total, 'token')}; -n shows more"] if shown < listing.total else []


def _nothing(store: "Store", selection: Any) -> list[str]:
    """Return what is said in place of an empty list, and what to try."""
    options = [f"--{name}" for name in ("kind", "script", "length") if getattr(selection, name) is not None]
    hint = f"leave out {choices(options)}" if options else None
    if selection.pattern and not (options and _has(store, selection)):
        hint = None if selection.regex else store.lookup.suggestion(selection.pattern)
    return [f"0 of {counted(len(store), 'token')}", *([f"hint: {hint}"] if hint else [])]


def _has(store: "Store", selection: Any) -> bool:
    """Return whether a pattern alone selects a token."""
    from kotovec.store.listing import Selection, list_tokens

    return list_tokens(store, Selection(selection.pattern, regex=selection.regex), columns=["id"]).total > 0


def _print(store: "Store", listing: "Listing") -> None:
    from kotovec.cli.tables import print_table, shown

    def cell(name: str, value: Any) -> str:
        if isinstance(value, list):
            return " | ".join(_noted(store, piece) for piece in value)
        if name in TEXTS and value:
            return shown(value if name == "notation" else doubled(value, _spelled(store, name, value)))
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    columns = listing.table.values
    names = ["token" if name == "notation" and "token" not in columns else name for name in columns]
    cells = [[cell(name, value) for name, value in row.items()] for row in listing.table.rows()]
    print_table(names, cells, numbers=[name for name in names if name in NUMBERS])


def _spelled(store: "Store", name: str, token: str) -> str:
    """Return a text that has a backslash if a token's are its own, and not those of bytes that are no character."""
    from kotovec.store.tokens import Marking

    is_whole = (
        name == "text" or store.tokens.marking is not Marking.BYTELEVEL or store.tokens.texts.find(token) is not None
    )
    return token if is_whole else ""


def _noted(store: "Store", text: str) -> str:
    """Return a token in the notation, by its text."""
    from kotovec.store.notation import noted

    row = store.tokens.texts.find(text)
    return noted(text, text if row is None else store.tokens.surfaces[row], store.tokens.marking)


def _tsv_lines(listing: "Listing") -> Any:
    from kotovec.cli.tables import tsv_field, tsv_list

    def field(value: Any) -> str:
        if isinstance(value, str):
            return tsv_field(value)
        return tsv_list(value) if isinstance(value, list) else repr(value)

    lines = ("\t".join(map(field, row.values())) for row in listing.table.rows())
    return itertools.chain(["\t".join(listing.table.values)], lines)
