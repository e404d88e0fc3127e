"""`kotovec geometry`: how narrow the cone of a space is, and which dimensions and tokens dominate it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from kotovec.cli.chosen import Ambient, choose_layers, is_typed, lowered, open_store
from kotovec.cli.encodings import echo, own
from kotovec.cli.evaluate_options import StoredLayersOption
from kotovec.cli.geometry_options import AllSpacesOption, ByOption, CurvesOption, NearestOption, NoHubsOption
from kotovec.cli.options import JsonOption, QuietOption, StoreOption
from kotovec.cli.outputs import check_output
from kotovec.errors import InputError
from kotovec.space import PROTOTYPES, Space
from kotovec.text import json_line

if TYPE_CHECKING:
    from kotovec.store import Store
    from kotovec.store.geometry.survey import Survey


def command(
    context: typer.Context,
    store: StoreOption = None,
    space: AllSpacesOption = None,
    layers: StoredLayersOption = "last",
    by: ByOption = None,
    nearest: NearestOption = 10,
    no_hubs: NoHubsOption = False,
    png: CurvesOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure how the vectors of each space fill it: cosines, directions, hubs, duplicates, norms.

    Example: `kotovec geometry --space static,isolated --layers all`
    """
    from kotovec.cli.geometry_figure import check_curves, draw
    from kotovec.cli.picture import import_font
    from kotovec.cli.progress import Display
    from kotovec.cli.rows import near_rows
    from kotovec.cli.tables import notice
    from kotovec.store.geometry.survey import survey
    from kotovec.store.prototypes import check_single

    if png is not None:
        import_font()
        check_output(png, ".png")
    if no_hubs and is_typed(context, "nearest"):
        raise InputError("-k is of hubs, and --no-hubs leaves them out", hint="leave out one of them")
    opened = open_store(store)
    no_hubs, nearest = no_hubs or len(opened) == 1, lowered(nearest, max(1, len(opened) - 1))
    spaces = _spaces(opened, space, layers)
    for each in spaces:
        check_single(each, "the geometry")
    if png is not None:
        check_curves(spaces)
    found: list[Survey] = []
    with Display(quiet=quiet) as display:
        for each in spaces:
            near = None if no_hubs else near_rows(opened, each, nearest, display)
            display.say(f"{each.title}: measuring")
            found += survey(opened, each, None if near is None else near.rows, by)
    if as_json:
        for measured in found:
            echo(json_line(measured.as_dict(opened)))
    else:
        _print(opened, found, nearest)
    if png is not None:
        draw(opened, found, png)
        notice(f"curves written to {png}", quiet=quiet)


def _spaces(store: "Store", text: str | None, layers: str) -> list[Space]:
    """Return the spaces that are asked for, or all that have one vector per row."""
    every = [each for each in store.spaces if each.name != PROTOTYPES]
    if text is None and (layers in ("last", "all") or isinstance(layers, Ambient)):
        return every
    if text is None:
        text = ",".join(dict.fromkeys(each.name for each in every if each.first is None and not each.steps))
    return choose_layers(text, layers, store.spaces)


def _print(store: "Store", found: "Sequence[Survey]", nearest: int) -> None:
    """Print two tables, as one would be too wide: how the vectors lie, and how they are near to each other."""
    from kotovec.cli.tables import print_grid

    grouped = any(each.group is not None for each in found)
    first = ["space", *(["of"] if grouped else [])]

    def named(each: "Survey") -> list[str]:
        return [str(each.space), *([each.group or "all"] if grouped else [])]

    print_grid(
        [*first, "vectors", "mean cosine", "dimensions", "IsoScore", "partition", "eff. rank", "top share"],
        [[*named(each), *_shape(each)] for each in found],
        left=len(first),
    )
    print_grid(
        [
            *first,
            f"{nearest}-skew",
            "largest hub",
            "hubs",
            "antihubs",
            "duplicates",
            "zeros",
            "norm by id",
        ],
        [[*named(each), *_crowd(store, each)] for each in found],
        left=len(first),
    )


def _shape(each: "Survey") -> list[str]:
    found = each.isotropy
    dimensions = " ".join(f"{part.number}:{_number(part.share, 2)}" for part in found.dimensions)
    return [
        f"{found.vectors:,}",
        _number(found.mean_cosine, 4),
        dimensions,
        _number(found.isoscore, 4),
        _small(found.partition),
        _number(found.effective_rank, 1),
        _number(found.top_share, 3),
    ]


def _crowd(store: "Store", each: "Survey") -> list[str]:
    hubs, correlation = each.hubness, each.norm_by_id
    near = [own("—")] * 4
    if hubs is not None:
        row = hubs.largest
        token = "" if row is None else f"{store.tokens.surfaces[row]} ({hubs.occurrences:,})"
        near = [_number(hubs.skewness, 2), token or own("—"), _share(hubs.hubs), _share(hubs.antihubs)]
    interval = ""
    if correlation.low is not None and correlation.high is not None:
        interval = f" ({correlation.low:+.3f} to {correlation.high:+.3f})"
    norm = own("—") if correlation.value is None else f"{correlation.value:+.3f}{interval}"
    return [*near, f"{each.duplicates:,}", f"{each.zeros:,}", norm]


def _number(value: float | None, digits: int) -> str:
    return own("—") if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return own("—") if value is None else f"{value:.1%}"


def _small(value: float | None) -> str:
    """Return a number from 0 to 1 that may be tiny."""
    return own("—") if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"  # noqa: PLR2004
