"""The figures of a report: a line over the layers of a space, rows for the others, numbers where they belong."""

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from kotovec.cli.report_content import Figure, Point
from kotovec.cli.report_figure import draw
from kotovec.cli.report_layers import make_figures
from kotovec.cli.report_texts import ENGLISH
from kotovec.space import Space

SPACES = [
    ("a", Space("static")),
    ("a", Space("isolated", 12)),
    ("a", Space("isolated", 0)),
    ("b", Space("isolated", 3)),
    ("a", Space("context", 6, 0)),  # a mean over layers
    ("a", Space("isolated", 6)),
]
TICKS = [0.0, 0.5, 1.0]
VALUES = [0.31, 0.62, 0.4, 0.5, 0.55, 0.7]


def points(values, wide=0.05):
    return [Point(str(number), each, each - wide, each + wide) for number, each in enumerate(values)]


def drawn(figure):
    return ET.fromstring(draw(figure, "name", str))  # noqa: S314 — made by kotovec


def test_a_space_of_several_layers_is_a_line_in_their_order_and_the_others_are_rows():
    rows, line = make_figures("title", SPACES, {"one": points(VALUES), "two": points(VALUES[::-1])}, ENGLISH)
    assert [point.value for point in rows.series["one"]] == [0.31, 0.5, 0.55]
    assert (rows.layers, rows.title) == ((), "title")
    assert [point.value for point in line.series["one"]] == [0.4, 0.7, 0.62]
    assert [point.value for point in line.series["two"]] == [0.5, 0.31, 0.55]
    assert (list(line.layers), line.title, line.axis) == ([0, 6, 12], "a isolated by layer", "layer")


@pytest.mark.parametrize(
    ("values", "wide", "ticks"),
    [
        ([0.4, 0.5], 0.05, [0.3, 0.4, 0.5, 0.6]),
        ([0.4, 0.6], 0.1, [0.3, 0.4, 0.5, 0.6, 0.7]),
        ([0.1, 0.9], 0.05, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([-0.2, 0.3], 0.0, [-0.2, -0.1, 0, 0.1, 0.2, 0.3]),
        ([-0.5, 0.9], 0.1, [-1, -0.5, 0, 0.5, 1]),
        ([0.0, 0.0], 0.0, [0, 0.1]),
        ([None, None], None, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_an_axis_has_round_ends_around_all_intervals(values, wide, ticks):
    found = [Point("", None)] * 2 if wide is None else points(values, wide)
    (figure,) = make_figures("title", SPACES[:2], {"one": found}, ENGLISH)
    assert figure.ticks == pytest.approx(ticks)


def test_marks_and_intervals_lie_where_their_values_do():
    series = {"one": points([0.2, 0.4, 0.8], 0.1), "two": points([0.3, 0.3, 0.3], 0)}
    tree = drawn(Figure("title", "all", series, TICKS, (0, 2, 12), "layer"))
    marks = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in tree.iter("circle")]
    one, two = marks[2:5], marks[5:]  # behind those of the legend
    assert len(marks) == 8
    (x0, y0), (x2, y2), (x12, y12) = one
    assert (y0 - y12) / (y0 - y2) == pytest.approx(3, rel=1e-2)
    assert (x12 - x0) / (x2 - x0) == pytest.approx(6, rel=1e-2)
    assert [y for _, y in two] == [pytest.approx((y0 + y2) / 2, abs=0.1)] * 3
    assert {x for x, _ in two}.isdisjoint(x for x, _ in one)  # intervals of one layer lie beside each other
    bars = [each.attrib["d"] for each in tree.iter("path") if each.attrib["class"] == "mark"]
    low, high = map(float, re.fullmatch(rf"M{x2:.1f} (.*)V(.*)", bars[1]).groups())
    assert ((low + high) / 2, low - high) == (pytest.approx(y2, abs=0.1), pytest.approx(y0 - y2, abs=0.2))
    lines = [each.attrib for each in tree.iter("path") if each.attrib["class"] == "line"]
    assert [line.get("stroke-dasharray") for line in lines] == [None, "7 4"] * 2  # in the legend, and between marks
    assert lines[2]["d"] == f"M{x0:.1f} {y0:.1f}L{x2:.1f} {y2:.1f}L{x12:.1f} {y12:.1f}"


def test_a_missing_value_breaks_the_line_and_has_no_mark():
    values = [*points([0.2]), Point("", None), *points([0.4, 0.5])]
    tree = drawn(Figure("title", "all", {"one": values}, TICKS, (0, 1, 2, 3), "layer"))
    assert len(list(tree.iter("circle"))) == 1 + 3
    line = [each.attrib["d"] for each in tree.iter("path") if each.attrib["class"] == "line"][-1]
    assert re.fullmatch(r"M[\d.]+ [\d.]+M[\d.]+ [\d.]+L[\d.]+ [\d.]+", line)


def test_the_numbers_of_many_layers_do_not_run_into_each_other():
    layers = tuple(range(48))
    tree = drawn(Figure("title", "all", {"one": points([0.5] * 48)}, (0.4, 0.5, 0.6), layers, "layer"))
    numbers = {each.text: float(each.attrib["x"]) for each in tree.iter("text") if (each.text or "").isdigit()}
    positions = sorted(numbers.values())
    assert 5 < len(numbers) < 48
    assert min(after - before for before, after in pairwise(positions)) >= 26
    assert list(map(int, numbers)) == sorted(map(int, numbers))


def test_negative_numbers_have_a_minus_sign():
    tree = drawn(Figure("title", "all", {"one": points([-0.25])}, (-0.4, -0.2, 0.0, 0.2)))
    texts = [each.text for each in tree.iter("text")]
    assert {"\u22120.250", "\u22120.4", "0.0", "0.2"} <= set(texts)
    assert not any("-" in text for text in texts)
