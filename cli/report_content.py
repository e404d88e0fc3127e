"""What a report holds, before it is a page, Markdown or data: sections of sentences, tables, figures and commands."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table; numbers are written by `shown`, and None is a dash.

    Attributes:
        caption: what it shows.
        names: its columns.
        rows: one cell per column.
        texts: which columns are texts; the others are numbers, and their intervals.
    """

    caption: str
    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    texts: Sequence[int] = (0,)


@dataclass(frozen=True)
class Point:
    """A value from 0 to 1 or below it, with its interval, in the row of a space."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Figure:
    """Points of several series, each with a mark of its own, so that none needs a colour.

    Attributes:
        title: what it shows.
        description: the same in a sentence, for those who do not see it.
        series: the points of each series, by its name; all have the same labels.
        ticks: the round values of the axis, from its one end to the other.
        layers: the layer of each point of a series, if a line joins them; empty if each has a row of its own.
        axis: what the axis of the layers is called.
    """

    title: str
    description: str
    series: Mapping[str, Sequence[Point]]
    ticks: Sequence[float]
    layers: Sequence[int] = ()
    axis: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        name: what data call it.
        title: its heading.
        lines: sentences.
        tables: its tables.
        figures: its figures.
        commands: the commands that make its numbers.
        legend: a sentence about the figures, where they are drawn.
    """

    name: str
    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    commands: Sequence[str] = ()
    legend: str = ""


@dataclass(frozen=True)
class Report:
    """The whole report in a language."""

    language: str
    title: str
    labels: dict[str, str]
    sections: Sequence[Section]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        sections = [
            {name: value for name, value in asdict(section).items() if name not in ("figures", "legend")}
            for section in self.sections
        ]
        return {"language": self.language, "title": self.title, "sections": sections}


def shown(cell: Cell) -> str:
    """Return a cell for a person: three digits, thousands apart, a dash for none."""
    if cell is None:
        return "—"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else cell
