"""One HTML file from the page's parts: Bokeh's scripts and figure, the page's own scripts and styles, and its data."""

import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from kotovec.errors import MissingDependencyError
from kotovec.text import escaped

# They are joined into one script: each may use what the others define, and the last one starts the page.
SCRIPTS = ("source.js", "labels.js", "map.js", "panel.js", "page.js")
# The columns of each of the figure's sources, which the page's scripts fill.
COLUMNS = {
    "points": ("x", "y", "colour"),
    "labels": ("x", "y", "text", "weight", "align", "beside"),
    "lit": ("x", "y", "size"),
    "way": ("x", "y"),
    "way dots": ("x", "y"),
}


def bundle(title: str, data: Mapping[str, Any]) -> str:
    """Return the page as HTML that needs no other file and no network.

    Args:
        title: plain text.
        data: what `source.js` reads, ready for JSON.

    Raises:
        MissingDependencyError: Bokeh is not installed.
    """
    text = _json_in_html(data)
    nonce = hashlib.sha256(text.encode()).hexdigest()[:32]
    return Template(_asset("page.html")).substitute(
        title=html.escape(escaped(title)),
        style=_asset("page.css"),
        nonce=nonce,
        data=text,
        figure=_json_in_html(_figure()),
        scripts="\n".join(f'<script nonce="{nonce}">\n{script}\n</script>' for script in _bokeh_scripts()),
        code="".join(_asset(name) for name in SCRIPTS),
    )


def import_bokeh() -> Any:
    """Return the package `bokeh`.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import bokeh
    except ImportError as error:
        raise MissingDependencyError("--html needs bokeh", hint="install it: pip install 'kotovec[map]'") from error
    return bokeh


def _json_in_html(value: Any) -> str:
    """Return JSON escaped for a script element, which `</script>` and `<!--` would end or change."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _bokeh_scripts() -> list[str]:
    """Return BokehJS and its WebGL part, from Bokeh's own wheel."""
    folder = Path(import_bokeh().__file__).parent / "server" / "static" / "js"
    return [(folder / name).read_text(encoding="utf-8") for name in ("bokeh.min.js", "bokeh-gl.min.js")]


def _asset(name: str) -> str:
    return files("kotovec.cli.page").joinpath(name).read_text(encoding="utf-8")


def _figure() -> Any:
    """Return Bokeh's part of the page, without data, ready for JSON."""
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, PanTool, Range1d, WheelZoomTool
    from bokeh.plotting import figure

    zoom = WheelZoomTool()
    plot: Any = figure(  # its annotations lack some arguments of the glyphs
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
    _add_glyphs(plot, {name: ColumnDataSource({key: [] for key in keys}, name=name) for name, keys in COLUMNS.items()})
    return json_item(plot)


def _add_glyphs(plot: Any, sources: Mapping[str, Any]) -> None:
    """Draw the sources; a glyph lies above those that were added before it."""
    from bokeh.core.properties import value

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
