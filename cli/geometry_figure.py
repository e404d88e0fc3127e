"""Curves of what was measured of spaces over their layers, as a picture."""

from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from kotovec.cli.picture import import_font, model_of
from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.store.geometry.survey import Survey
from kotovec.store.outputs import write_output

FEWEST = 2  # layers of a curve
MARKS = ("o", "s", "^", "D", "v", "P")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
Measure = Callable[[Survey], float | None]


def _largest(survey: Survey) -> float | None:
    dimensions = survey.isotropy.dimensions
    return dimensions[0].share if dimensions else None


MEASURES: dict[str, Measure] = {
    "mean cosine": lambda each: each.isotropy.mean_cosine,
    "IsoScore": lambda each: each.isotropy.isoscore,
    "effective rank": lambda each: each.isotropy.effective_rank,
    "share of the largest dimension": _largest,
    "skewness of occurrences": lambda each: None if each.hubness is None else each.hubness.skewness,
    "share of antihubs": lambda each: None if each.hubness is None else each.hubness.antihubs,
}


def draw(store: Store, found: Sequence[Survey], path: Path) -> None:
    """Write a PNG with a panel per measure, a line per kind of hidden states, and a dashed line per table.

    Args:
        store: the store, whose model the title names.
        found: what was measured; groups are left out.
        path: the file.

    Raises:
        MissingDependencyError: matplotlib or its font is not installed.
        DiskFullError: no space is left.
    """
    import_font()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves, levels = _arrange(found)
    shown = {name: of for name, of in MEASURES.items() if any(of(each) is not None for each in found)}
    rows = (len(shown) + 1) // 2
    figure = Figure(figsize=(9.0, 2.7 * rows + 0.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{model_of(store)}: geometry over layers".replace("$", r"\$"), fontsize=11)
    panels: Any = figure.subplots(rows, 2, squeeze=False).ravel()
    for panel, (name, of) in zip(panels, shown.items(), strict=False):
        _fill(panel, name, of, curves, levels)
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9, frameon=False
    )
    picture = BytesIO()
    figure.savefig(picture, format="png")
    write_output(path, picture.getbuffer())


def check_curves(spaces: Sequence[Space]) -> None:
    """Refuse spaces of which none has two layers.

    Raises:
        InputError: there is no curve.
    """
    layers = Counter(_curve_of(space) for space in spaces)
    if max((count for name, count in layers.items() if name is not None), default=0) < FEWEST:
        raise InputError("--png draws curves over layers, and no space has two", hint="name more with --layers all")


def _curve_of(space: Space) -> str | None:
    """Return the name of the curve that a space is a point of; None for a table, or a mean over layers."""
    return None if space.layer is None or space.first is not None else "+".join((space.name, *space.steps))


def _arrange(found: Sequence[Survey]) -> tuple[dict[str, list[Survey]], dict[str, Survey]]:
    """Return the points of each curve of two layers or more, and what has no curve, by name."""
    curves: dict[str, list[Survey]] = {}
    levels: dict[str, Survey] = {}
    for each in (each for each in found if each.group is None):
        if (name := _curve_of(each.space)) is None:
            levels[str(each.space)] = each
        else:
            curves.setdefault(name, []).append(each)
    return {name: points for name, points in curves.items() if len(points) >= FEWEST}, levels


def _fill(panel: Any, name: str, of: Measure, curves: dict[str, list[Survey]], levels: dict[str, Survey]) -> None:
    """Draw one measure."""
    for number, (space, surveys) in enumerate(curves.items()):
        points = sorted((each.space.layer or 0, value) for each in surveys if (value := of(each)) is not None)
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)], "markersize": 4}
        if points:
            panel.plot(*zip(*points, strict=True), label=space, linewidth=1.4, **style)
    for number, (space, each) in enumerate(levels.items()):
        if (value := of(each)) is not None:
            panel.axhline(value, color="#444444", linestyle=("--", ":", "-.")[number % 3], linewidth=1, label=space)
    panel.set_title(name, fontsize=10)
    panel.set_xlabel("layer", fontsize=9)
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.tick_params(labelsize=8)
    panel.grid(visible=True, color="#dddddd", linewidth=0.6)
