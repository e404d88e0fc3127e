"""A map as a page: one HTML file with everything in it, the drawing by Bokeh's WebGL, the rest by page.js."""

import hashlib
import html
import json
import unicodedata
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cli.picture import COLOURS, model_of
from kotovec.errors import MissingDependencyError
from kotovec.store.database import Store
from kotovec.store.fidelity import NEAREST
from kotovec.store.files import write_output
from kotovec.store.landmarks import Neighbours, Stop, Way, neighbours, trace
from kotovec.store.maps import Map
from kotovec.store.nearest import Rows
from kotovec.store.tokens import Tokens

# A letter's script by the first word of its name in Unicode.
SCRIPTS = {"CJK": "kanji", "HIRAGANA": "kana", "KATAKANA": "kana", "KATAKANA-HIRAGANA": "kana", "LATIN": "Latin"}
# Okabe and Ito's colours, as in pictures.
SCRIPT_COLOURS = {"kanji": "#D55E00", "kana": "#CC79A7", "Latin": "#0072B2", "digits": "#009E73", "other": "#999999"}
NORM_COLOURS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#d5c21a")  # viridis


@dataclass(frozen=True)
class _Side:
    """A space on the page: its map, what is near to each token in it, norms (n,), and an expression's way."""

    made: Map
    near: Neighbours
    norms: npt.NDArray[np.float64]
    way: Way | None


def write_page(store: Store, made: Sequence[Map], expression: str | None, path: Path) -> None:
    """Write the page.

    Args:
        store: of the maps.
        made: one a space, of the same tokens; the first one is shown first.
        expression: whose way is drawn.
        path: of the file.

    Raises:
        MissingDependencyError: Bokeh is not installed.
        InputError: the expression has no way on the maps.
        DiskFullError: no space is left.
    """
    scripts = _scripts()
    ways = [None if expression is None else trace(store, each, expression) for each in made]
    sides = [
        _Side(each, neighbours(store, each, NEAREST), store.norms(each.record.space, each.record.layer)[each.rows], way)
        for each, way in zip(made, ways, strict=True)
    ]
    tokens, rows = store.tokens, made[0].rows
    data = {
        "tokens": list(tokens.surfaces),
        "ids": _packed(tokens.ids, np.float64),  # JavaScript's only numbers of more than 32 bits
        "rows": _packed(rows, np.int32),
        "near": sides[0].near.rows.shape[1],
        "spaces": [_space(side) for side in sides],
        "colourings": _colourings(tokens, rows, [side.norms for side in sides]),
        "plot": _plot(),
    }
    # In a script, `<` could end it.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    nonce = hashlib.sha256(text.encode()).hexdigest()[:32]
    page = Template(_part("page.html")).substitute(
        title=html.escape(f"{model_of(store)}: {len(rows):,} tokens"),
        style=_part("page.css"),
        nonce=nonce,
        data=text,
        scripts="\n".join(f'<script nonce="{nonce}">\n{script}\n</script>' for script in scripts),
        code=_part("labels.js") + _part("page.js"),
    )
    write_output(path, page.encode())


def script_of(text: str) -> str:
    """Return the script of most of a text's letters and digits: `kanji`, `kana`, `Latin`, `digits` or `other`."""
    found = Counter(_script_of_letter(letter) for letter in text if letter.isalnum())
    return found.most_common(1)[0][0] if found else "other"


@cache
def _script_of_letter(letter: str) -> str:
    if letter.isdigit():
        return "digits"
    return SCRIPTS.get(unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "").split(" ")[0], "other")


def _packed(array: npt.NDArray[Any], dtype: type) -> str:
    return b64encode(np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<")).tobytes()).decode()


def _space(side: _Side) -> dict[str, Any]:
    record = side.made.record
    recall, trust = f"{record.recall:.3f}", f"{record.trustworthiness:.3f}"
    return {
        "name": "static" if record.space == "static" else f"isolated, layer {record.layer}",
        "quality": f"{record.method}: {recall} of the ten true neighbours are drawn as such, trustworthiness {trust}",
        "x": _packed(side.made.coordinates[:, 0], np.float32),
        "y": _packed(side.made.coordinates[:, 1], np.float32),
        "norms": _packed(side.norms, np.float32),
        "near": _packed(side.near.rows, np.int32),
        "cosines": _packed(side.near.cosines, np.float32),
        "way": None if side.way is None else {name: _stops(getattr(side.way, name)) for name in ("stops", "terms")},
    }


def _stops(stops: Sequence[Stop]) -> list[dict[str, Any]]:
    return [{"label": stop.label, "x": float(stop.place[0]), "y": float(stop.place[1])} for stop in stops]


def _colourings(tokens: Tokens, rows: Rows, norms: Sequence[npt.NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Return what dots may be coloured by: each with its classes and every point's; of norms, one each space."""
    kinds = [{"name": kind.label, "colour": colour} for kind, colour in COLOURS.items()]
    place = {int(kind): place for place, kind in enumerate(COLOURS)}
    scripts = [{"name": name, "colour": colour} for name, colour in SCRIPT_COLOURS.items()]
    names = list(SCRIPT_COLOURS)
    of_kind = np.array([place[kind] for kind in tokens.kinds[rows].tolist()])
    of_script = np.array([names.index(script_of(tokens.surfaces[row])) for row in rows.tolist()])
    by_norm = [_by_norm(each) for each in norms]
    return [
        {"name": "kind", "classes": [kinds], "codes": [_packed(of_kind, np.uint8)]},
        {"name": "script", "classes": [scripts], "codes": [_packed(of_script, np.uint8)]},
        {
            "name": "norm",
            "classes": [classes for classes, _ in by_norm],
            "codes": [_packed(codes, np.uint8) for _, codes in by_norm],
        },
    ]


def _by_norm(norms: npt.NDArray[np.float64]) -> tuple[list[dict[str, str]], npt.NDArray[np.intp]]:
    """Return classes of about as many tokens each, and every token's."""
    bounds = np.quantile(norms, np.linspace(0, 1, len(NORM_COLOURS) + 1))
    classes = [
        {"name": f"{low:.4g} to {high:.4g}", "colour": colour}
        for low, high, colour in zip(bounds, bounds[1:], NORM_COLOURS, strict=False)
    ]
    return classes, np.searchsorted(bounds[1:-1], norms, side="right")


def _plot() -> Any:
    """Return Bokeh's part of the page, without data: page.js fills it."""
    from bokeh.core.properties import value
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, PanTool, Range1d, WheelZoomTool
    from bokeh.plotting import figure

    columns = {
        "points": ("x", "y", "colour"),
        "labels": ("x", "y", "text", "weight", "align", "beside"),
        "lit": ("x", "y", "size"),
        "way": ("x", "y"),
        "way dots": ("x", "y"),
    }
    sources = {name: ColumnDataSource({key: [] for key in keys}, name=name) for name, keys in columns.items()}
    zoom = WheelZoomTool()
    plot: Any = figure(  # its types do not know all that glyphs take
        name="map",
        sizing_mode="stretch_both",
        output_backend="webgl",
        x_range=Range1d(start=0, end=1),
        y_range=Range1d(start=0, end=1),
        tools=[PanTool(), zoom],
        active_scroll=zoom,
        toolbar_location=None,
        outline_line_color=None,
        min_border=0,
    )
    plot.axis.visible = False
    plot.grid.visible = False
    plot.scatter("x", "y", source=sources["points"], name="dots", color="colour", line_color=None, alpha=0.75)
    plot.line("x", "y", source=sources["way"], color="#1a1a1a", line_width=2)
    plot.scatter("x", "y", source=sources["way dots"], size=9, fill_color="white", line_color="#1a1a1a", line_width=2)
    plot.scatter("x", "y", source=sources["lit"], size="size", fill_color=None, line_color="#d40000", line_width=2)
    plot.text(
        "x",
        "y",
        "text",
        source=sources["labels"],
        x_offset="beside",
        text_align="align",
        text_baseline="middle",
        text_font=value("sans-serif"),
        text_font_size=value("13px"),
        text_font_style="weight",
        text_color="#1a1a1a",
        background_fill_color="#ffffff",
        background_fill_alpha=0.65,
    )
    return json_item(plot)


def import_bokeh() -> Any:
    """Return the package that draws.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import bokeh
    except ImportError as error:
        raise MissingDependencyError("--html needs bokeh: pip install 'kotovec[map]'") from error
    return bokeh


def _scripts() -> list[str]:
    """Return BokehJS and its WebGL part, from Bokeh's own wheel."""
    folder = Path(import_bokeh().__file__).parent / "server" / "static" / "js"
    return [(folder / name).read_text(encoding="utf-8") for name in ("bokeh.min.js", "bokeh-gl.min.js")]


def _part(name: str) -> str:
    return files("kotovec.cli").joinpath(name).read_text(encoding="utf-8")
