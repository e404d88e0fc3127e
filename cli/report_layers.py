"""Which figures show the values of some spaces: lines over the layers of a space, and rows for what has one layer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kotovec.cli.report_content import Figure, Point
from kotovec.cli.report_spaces import Texts
from kotovec.space import Space

STEPS, MOST_STEPS = (0.1, 0.2, 0.5), 7  # between two values of an axis, and how many of them there are, at most
NEAR = 1e-9  # of a step, which a number may miss


def make_figures(
    title: str, spaces: Sequence[tuple[str, Space]], series: Mapping[str, Sequence[Point]], words: Texts
) -> list[Figure]:
    """Return a figure of the spaces that have one layer, and one for each that has several.

    Args:
        title: what is shown.
        spaces: the store and the space of each point of a series.
        series: the points of each series, by its name.
        words: the sentences of the report.
    """
    layered: dict[str, list[int]] = {}
    for index, (store, space) in enumerate(spaces):
        if space.layer is not None and space.first is None:
            layered.setdefault(f"{store} {'+'.join((space.name, *space.steps))}", []).append(index)
    layered = {name: sorted(found, key=lambda each: _layer(spaces[each][1])) for name, found in layered.items()}
    layered = {name: found for name, found in layered.items() if len(found) > 1}
    alone = [index for index in range(len(spaces)) if not any(index in found for found in layered.values())]
    note = f"{words['axis']} {', '.join(series)}."
    ticks = _ticks([point for points in series.values() for point in points])
    figures = [Figure(title, note, _taken(series, alone), ticks)] if alone else []
    for name, found in layered.items():
        layers = [_layer(spaces[index][1]) for index in found]
        shown = Figure(words["by_layer"].format(space=name), note, _taken(series, found), ticks)
        figures.append(replace(shown, layers=layers, axis=words["layer"]))
    return figures


def _layer(space: Space) -> int:
    return space.layer or 0


def _taken(series: Mapping[str, Sequence[Point]], indexes: Sequence[int]) -> dict[str, list[Point]]:
    return {name: [points[index] for index in indexes] for name, points in series.items()}


def _ticks(points: Sequence[Point]) -> list[float]:
    """Return round numbers around all values and their intervals, so that the figures of a section are comparable."""
    values = [each for point in points for each in (point.value, point.low, point.high) if each is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = next(each for each in STEPS if high - low < each * MOST_STEPS)
    below, above = math.floor(low / step + NEAR), math.ceil(high / step - NEAR)
    return [number * step for number in range(below, max(above, below + 1) + 1)]
