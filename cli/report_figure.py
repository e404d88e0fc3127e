"""A figure of a report as SVG: the marks of a space under its name, one kind per series, a line for the interval."""

from collections.abc import Callable

from kotovec.cli.report_content import Figure, Point

WIDE, LEFT, RIGHT = 520, 14, 60  # the figure and its margins, of which the right one has the numbers, in units of SVG
ROW, LABEL, GAP = 17, 22, 6  # the heights of a mark, of the name of a space above its marks, and between two spaces
TICKS = 5


def draw(figure: Figure, name: str, safe: Callable[[str], str]) -> str:
    """Return the SVG of a figure; `safe` escapes its texts, and `name` makes its ids."""
    labels = [point.label for point in next(iter(figure.series.values()))]
    low, high = _bounds(figure)
    top = 24 * len(figure.series) + 8
    band = LABEL + ROW * len(figure.series) + GAP
    bottom = top + band * len(labels)

    def across(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDE - LEFT - RIGHT)

    parts = [f'<title id="{name}-t">{safe(figure.title)}</title><desc id="{name}-d">{safe(figure.description)}</desc>']
    for number, series in enumerate(figure.series):
        parts.append(f"{_mark(number, 8, 16 + 24 * number)}<text x='22' y='{20 + 24 * number}'>{safe(series)}</text>")
    for tick in range(TICKS + 1):
        value = low + (high - low) * tick / TICKS
        x = across(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{value:.1f}</text>')
    for row, label in enumerate(labels):
        y = top + band * row
        parts.append(f'<text x="0" y="{y + LABEL - 5}">{safe(label)}</text>')
        for number, points in enumerate(figure.series.values()):
            parts.append(_point(points[row], number, y + LABEL + ROW * (number + 0.5), across))
    size = f'viewBox="0 0 {WIDE} {bottom + 24}"'
    return f'<svg {size} role="img" aria-labelledby="{name}-t {name}-d">{"".join(parts)}</svg>'


def _bounds(figure: Figure) -> tuple[float, float]:
    values = [each for points in figure.series.values() for point in points for each in (point.value, point.low)]
    return (-1.0 if min((each for each in values if each is not None), default=0.0) < 0 else 0.0), 1.0


def _point(point: Point, number: int, y: float, across: Callable[[float], float]) -> str:
    if point.value is None:
        return ""
    line = ""
    if point.low is not None and point.high is not None:
        ends = f'x1="{across(point.low):.1f}" x2="{across(point.high):.1f}"'
        line = f'<line class="mark" {ends} y1="{y:.1f}" y2="{y:.1f}"/>'
    text = f'<text x="{WIDE - RIGHT + 14}" y="{y + 4:.1f}">{point.value:.3f}</text>'
    return f"{line}{_mark(number, across(point.value), y)}{text}"


def _mark(number: int, x: float, y: float) -> str:
    """Return the mark of a series: a disc, a ring, a square, a diamond."""
    if number < 2:  # noqa: PLR2004 — the round ones
        fill = "currentColor" if number == 0 else "Canvas"
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}"/>'
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if number == 3 else ""  # noqa: PLR2004 — the diamond
    fill = "currentColor" if number == 2 else "Canvas"  # noqa: PLR2004 — the square
    return f'<rect class="mark" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{fill}"{turned}/>'
