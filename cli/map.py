"""`kotovec map`: the whole vocabulary in two dimensions, and how far the map can be trusted."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kotovec.cli.chosen import choose_spaces, is_typed, lowered, open_store
from kotovec.cli.encodings import echo
from kotovec.cli.options import (
    AgainOption,
    HtmlOption,
    JsonOption,
    LabelOption,
    LabelsOption,
    LayerOption,
    MethodOption,
    NeighborsOption,
    PathOption,
    PerplexityOption,
    PngOption,
    QuietOption,
    SampleOption,
    SeedOption,
    SpaceOption,
    StoreOption,
)
from kotovec.cli.outputs import check_output
from kotovec.errors import NotStoredError, StoreBusyError, StoreError, quoted
from kotovec.space import PROTOTYPES, Space
from kotovec.text import counted, json_line

if TYPE_CHECKING:
    from kotovec.cli.progress import Display
    from kotovec.store import Store
    from kotovec.store.cartography import MapRequest
    from kotovec.store.maps import Map, MapRecord


def command(
    context: typer.Context,
    store: StoreOption = None,
    space: SpaceOption = "static",
    layer: LayerOption = None,
    method: MethodOption = "umap",
    sample: SampleOption = None,
    seed: SeedOption = 0,
    neighbors: NeighborsOption = 15,
    perplexity: PerplexityOption = 30.0,
    png: PngOption = None,
    label: LabelOption = None,
    labels: LabelsOption = 3000,
    html: HtmlOption = None,
    expression: PathOption = None,
    again: AgainOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Map the vocabulary to two dimensions, keep the map in the store, and print how far it can be trusted.

    Example: `kotovec map --html map.html --expression "王 - 男 + 女"`
    """
    from kotovec.cli.page import write_page
    from kotovec.cli.picture import draw
    from kotovec.cli.progress import Display
    from kotovec.store.cartography import MapRequest
    from kotovec.store.projection import FEWEST
    from kotovec.store.prototypes import check_single

    _check(png, label, labels, html, expression)
    _check_idle(context, method, drawn=png is not None)
    opened = open_store(store)
    spaces = choose_spaces(space, layer, opened.spaces)
    for each in spaces:
        check_single(each, "a map")
    if html is not None and len(spaces) == 1:  # a page shows two spaces if the store has two
        spaces += tuple(_beside(opened, spaces[0], expression))
    presents = [opened.vectors.present(opened.space(each)) for each in spaces]
    fewest = min(len(opened) if each is None else int(each.sum()) for each in presents)
    others = max(min(fewest, sample or fewest), FEWEST) - 1
    around = lowered(neighbors, others), lowered(perplexity, others)
    requests = [MapRequest(each, method, sample, seed, *around) for each in spaces]
    asked = _labelled(opened, label or ())
    questions = [opened.question(expression, each) for each in spaces] if expression else []
    terms = {row: term.text for question in questions for term in question.terms for row in term.rows}
    _check_sample(opened, requests[0], terms | asked)
    with Display(quiet=quiet) as display:
        keep = _keeping(opened, drawn=png is not None or html is not None, note=display.note)
        maps = [_find_or_make(opened, request, display, keep, again=again) for request in requests]
        if png is not None:
            display.say("drawing")
            draw(opened, maps[0], list(asked), labels, png)
        if html is not None:
            display.say("writing the page")
            write_page(opened, maps, expression, html)
    written = {"png": png, "html": html}
    _print(opened, maps, written, as_json=as_json)


def _labelled(store: "Store", texts: Iterable[str]) -> dict[int, str]:
    """Return the row of every word in some texts, each once, with the word as it was typed.

    Raises:
        InputError: a word is not one token: its pieces, which nobody typed, would be labelled in its place.
        UnknownTokenError, NotStoredError: it is none at all.
    """
    from kotovec.errors import InputError
    from kotovec.store.expression import Term

    rows: dict[int, str] = {}
    for word in (word for text in texts for word in text.split()):
        term = store.lookup.resolve(Term(word, 1.0, 0))
        if term.unnamed is not None:
            raise InputError(f"--label: {term.note}, and not on a map")
        if len(term.rows) > 1:
            raise InputError(
                f"--label: {quoted(word)} is not one token, but {' | '.join(term.tokens)}",
                hint="give tokens: each has a dot of its own",
            )
        rows.setdefault(term.rows[0], word)
    return rows


def _check_sample(store: "Store", request: "MapRequest", named: Mapping[int, str]) -> None:
    """Refuse tokens that the map will not show, before it is computed, which takes minutes.

    Raises:
        InputError: a token is not in the sample, or the map cannot be made.
        NotStoredError: the space has no vector of a token.
    """
    from kotovec.store.cartography import mapped_rows
    from kotovec.store.gaps import Gaps
    from kotovec.store.maps import positions

    request.check(len(store))
    Gaps(store.vectors, store.space(request.space)).check(list(named))
    positions(mapped_rows(store, request), list(named), named)


def _find_or_make(
    store: "Store", request: "MapRequest", display: "Display", keep: Callable[[], bool], *, again: bool
) -> "Map":
    """Return the map that the store has, or make it and display the phases."""
    from kotovec.store.cartography import find_map, find_replaced, make_map

    found = None if again else find_map(store, request)
    if found is not None:
        return found
    kept, title = keep(), store.space(request.space).title
    if kept and (former := find_replaced(store, request)) is not None:
        display.note(f"this replaces the kept map of {title} by {former.method} ({_made(former)})")
    return make_map(store, request, lambda phase: display.say(f"{title}: {phase}"), keep=kept)


def _keeping(store: "Store", *, drawn: bool, note: Callable[[str], None]) -> Callable[[], bool]:
    """Return a function that returns, before a map is computed, whether it can be kept in the store, and notes if not.

    Args:
        store: an open store.
        drawn: whether the map is drawn; if it is not, a map that cannot be kept is an error.
        note: prints a note.
    """
    from kotovec.store.cartography import check_writable

    @cache
    def keep() -> bool:
        try:
            check_writable(store)
        except StoreBusyError:
            raise
        except StoreError as error:
            if not drawn:
                raise
            note(f"the map is not kept: {error}")
            return False
        return True

    return keep


def _beside(store: "Store", space: Space, expression: str | None) -> list[Space]:
    """Return the space that a page shows beside another one: static, or beside static the last layer stored.

    One that lacks a vector of the expression, as some tokens have no contexts, is passed over.
    """
    others = [each for each in store.spaces if each.name not in (space.name, PROTOTYPES) and not each.steps]
    for other in others if others and others[0].layer is None else reversed(others):
        with suppress(NotStoredError):
            if expression is not None:
                store.question(expression, other)
            return [other]
    return []


def _check(png: Path | None, label: list[str] | None, labels: int, html: Path | None, expression: str | None) -> None:
    """Validate the options of the picture and the page before a map is computed.

    Raises:
        InputError: an option cannot be used; the message names it and what to pass.
        MissingDependencyError: a library of the extra `map` is not installed.
    """
    from kotovec.cli.page import import_bokeh
    from kotovec.cli.picture import import_font
    from kotovec.errors import InputError

    if labels < 0:
        raise InputError(f"--labels is {labels}", hint="use 0 or more")
    if label and png is None:
        raise InputError("--label names words on a picture, and there is none", hint="add --png FILE")
    if expression is not None and html is None:
        raise InputError("--expression is drawn on a page, and there is none", hint="add --html FILE")
    for path, import_it, ending in ((png, import_font, ".png"), (html, import_bokeh, ".html")):
        if path is not None:
            import_it()
            check_output(path, ending, others=(".png", ".html"))
    if png is not None and png == html:
        raise InputError(f"{png} is named for both the picture and the page", hint="name one file for each")


def _check_idle(context: typer.Context, method: str, *, drawn: bool) -> None:
    """Refuse an option that is typed and that nothing would read.

    Raises:
        InputError: one is typed.
    """
    from kotovec.errors import InputError

    if is_typed(context, "labels") and not drawn:
        raise InputError("--labels labels a picture, and there is none", hint="add --png FILE")
    for name, reader in (("neighbors", "umap"), ("perplexity", "tsne")):
        if is_typed(context, name) and method != reader:
            raise InputError(f"--{name} is for --method {reader}", hint=f"leave it out, or use --method {reader}")


def _print(store: "Store", maps: "list[Map]", written: dict[str, Path | None], *, as_json: bool) -> None:
    from kotovec.cli.tables import megabytes, print_pairs
    from kotovec.store.cartography import path_of_kept

    if as_json:
        paths = {kind: None if path is None else str(path) for kind, path in written.items()}
        for each in maps:
            echo(json_line({**asdict(each.record), "name": each.record.name, "tokens": len(each.rows), **paths}))
        return
    files = [
        (name, f"{path}  ({megabytes(path.stat().st_size)})")
        for name, path in (("picture", written["png"]), ("page", written["html"]))
        if path is not None
    ]
    for each in maps:
        record, tokens = each.record, counted(len(each.rows), "token")
        title, near = Space.parse(record.space).title, record.nearest
        trust = f"{record.trustworthiness:.4f} trustworthiness, of {counted(record.sampled, 'token')} (0.5 is chance)"
        pairs = [
            ("map", f"{title}; {record.method}  ({tokens}; {_made(record)})"),
            (
                f"recall@{near}",
                f"{record.recall:.4f} of the {near} nearest are among the {near} nearest on the map",
            ),
            ("trust", trust),
            *([("kept", str(file))] if (file := path_of_kept(store, record)) is not None else []),
        ]
        print_pairs([*pairs, *(files if each is maps[-1] else [])])


def _made(record: "MapRecord") -> str:
    """Return the parameters of a map, and its seed."""
    return ", ".join(f"{name} {value}" for name, value in [*sorted(record.parameters.items()), ("seed", record.seed)])
