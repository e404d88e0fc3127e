"""A figure of a report as SVG: the marks of a space under its name, or lines over its layers; lines are intervals."""

from collections.abc import Callable, Sequence

from kotovec.cli.report_content import Figure, Point

WIDE, LEFT, RIGHT = 420, 14, 60  # the figure and its margins, of which the right one has the numbers, in units of SVG
ROW, LABEL, GAP = 17, 22, 6  # the heights of a mark, of the name of a space above its marks, and between two spaces
LEGEND = 24  # the height of the name of a series
HIGH, AXIS, EDGE = 180, 40, 20  # of lines over layers: the height, the margin of the axis, and the right one
BESIDE, APART = 7, 26  # between marks of several series in a layer, and between numbers of layers, at least
DASHES = ("", "7 4", "2 3", "8 3 2 3")  # of the lines of a series

Scale = Callable[[float], float]


def draw(figure: Figure, name: str, safe: Callable[[str], str]) -> str:
    """Return the SVG of a figure; `safe` escapes its texts, and `name` makes its ids."""
    parts = [f'<title id="{name}-t">{safe(figure.title)}</title><desc id="{name}-d">{safe(figure.description)}</desc>']
    for number, series in enumerate(figure.series):
        y = 16 + LEGEND * number
        line = _dashed(f"M0 {y}H36", number) if figure.layers else ""
        x = 18 if figure.layers else 8
        parts.append(f'{line}{_mark(number, x, y)}<text x="{2 * x + 6}" y="{y + 4}">{safe(series)}</text>')
    top = LEGEND * len(figure.series) + 14
    bottom = _lines(figure, top, parts, safe) if figure.layers else _rows(figure, top, parts, safe)
    size = f'viewBox="0 0 {WIDE} {bottom}"'
    return f'<svg {size} role="img" aria-labelledby="{name}-t {name}-d">{"".join(parts)}</svg>'


def _rows(figure: Figure, top: int, parts: list[str], safe: Callable[[str], str]) -> int:
    """Add the marks of each space under its name; return the height of all."""
    labels = [point.label for point in next(iter(figure.series.values()))]
    band = LABEL + ROW * len(figure.series) + GAP
    bottom = top + band * len(labels)
    across = _scale(figure.ticks, LEFT, WIDE - RIGHT)
    for value in figure.ticks:
        x = across(value)
        lines = "".join(f"M{x:.1f} {top + band * row + LABEL}v{band - LABEL}" for row in range(len(labels)))
        parts.append(f'<path class="grid" d="{lines}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(value)}</text>')
    for row, label in enumerate(labels):
        y = top + band * row
        parts.append(f'<text x="0" y="{y + LABEL - 5}">{safe(label)}</text>')
        for number, points in enumerate(figure.series.values()):
            parts.append(_row(points[row], number, y + LABEL + ROW * (number + 0.5), across))
    return bottom + 24


def _row(point: Point, number: int, y: float, across: Scale) -> str:
    if point.value is None:
        return ""
    line = ""
    if point.low is not None and point.high is not None:
        line = f'<path class="mark" d="M{across(point.low):.1f} {y:.1f}H{across(point.high):.1f}"/>'
    text = f'<text x="{WIDE - RIGHT + 14}" y="{y + 4:.1f}">{_number(point.value, 3)}</text>'
    return f"{line}{_mark(number, across(point.value), y)}{text}"


def _lines(figure: Figure, top: int, parts: list[str], safe: Callable[[str], str]) -> int:
    """Add a line over the layers for each series, with an interval at each layer; return the height of all."""
    bottom = top + HIGH
    down = _scale(figure.ticks, bottom, top)
    aside = BESIDE * (len(figure.series) - 1) / 2 + 8
    across = _scale(figure.layers, AXIS + aside, WIDE - EDGE - aside)
    for value in figure.ticks:
        y = down(value)
        parts.append(f'<path class="grid" d="M{AXIS} {y:.1f}H{WIDE - EDGE}"/>')
        parts.append(f'<text x="{AXIS - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    end = -float(APART)
    for layer in figure.layers:
        if across(layer) - end >= APART:
            end = across(layer)
            parts.append(f'<text x="{end:.1f}" y="{bottom + 18}" text-anchor="middle">{layer}</text>')
    for number, points in enumerate(figure.series.values()):
        shift = BESIDE * (number - (len(figure.series) - 1) / 2)
        parts.append(_line(points, [across(layer) + shift for layer in figure.layers], number, down))
    middle = (AXIS + WIDE - EDGE) / 2
    parts.append(f'<text x="{middle:.0f}" y="{bottom + 38}" text-anchor="middle">{safe(figure.axis)}</text>')
    return bottom + 46


def _line(points: Sequence[Point], across: Sequence[float], number: int, down: Scale) -> str:
    """Return the line of a series, broken where a value is missing, with its intervals and marks."""
    path, marks, begins = "", "", True
    for x, point in zip(across, points, strict=True):
        if point.value is None:
            begins = True
            continue
        path += f"{'M' if begins else 'L'}{x:.1f} {down(point.value):.1f}"
        begins = False
        if point.low is not None and point.high is not None:
            marks += f'<path class="mark" d="M{x:.1f} {down(point.low):.1f}V{down(point.high):.1f}"/>'
        marks += _mark(number, x, down(point.value))
    return f"{_dashed(path, number)}{marks}"


def _dashed(path: str, number: int) -> str:
    dashes = DASHES[number % len(DASHES)]
    return f'<path class="line" d="{path}"{f" stroke-dasharray={chr(34)}{dashes}{chr(34)}" if dashes else ""}/>'


def _scale(values: Sequence[float], start: float, stop: float) -> Scale:
    """Return where a value lies between two positions, which are those of the first and the last of some values."""
    low, high = values[0], values[-1]
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}".replace("-", "\u2212")


def _mark(number: int, x: float, y: float) -> str:
    """Return the mark of a series: a disc, a ring, a square, a diamond."""
    if number < 2:  # noqa: PLR2004 — the round ones
        fill = "currentColor" if number == 0 else "Canvas"
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}"/>'
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if number == 3 else ""  # noqa: PLR2004 — the diamond
    fill = "currentColor" if number == 2 else "Canvas"  # noqa: PLR2004 — the square
    return f'<rect class="mark" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{fill}"{turned}/>'
