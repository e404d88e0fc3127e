"""A map as a picture: one dot per token, coloured by kind, and labels where they fit."""

import unicodedata
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from kotovec.errors import InputError, MissingDependencyError
from kotovec.store.database import Store
from kotovec.store.maps import Map
from kotovec.store.outputs import write_output
from kotovec.store.tokens import Kind, Tokens

# Okabe and Ito's palette, which colour-blind people can tell apart; grey for tokens that are not language.
COLOURS = {
    Kind.WORD: "#0072B2",
    Kind.SUBWORD: "#E69F00",
    Kind.SPECIAL: "#D55E00",
    Kind.UNUSED: "#BBBBBB",
    Kind.BYTE: "#CC79A7",
    Kind.EMPTY: "#888888",
}
INCHES, DOTS = 10.0, 200  # of the longer side; dots per inch
SMALL, LARGE = 7.0, 11.0  # points: the size of a frequent token's label, and of a requested one
FARTHEST = 100  # gaps between a dot and a requested label, at most
IN_LEGEND = 20.0  # square points: the area of a dot in the legend
GAP = 4.0  # pixels between a dot and its label, and between labels


def draw(store: Store, map_: Map, asked: Sequence[int], frequent: int, path: Path) -> None:
    """Write a PNG, whose title names the model and the map, with its recall and trustworthiness.

    Raises:
        MissingDependencyError, InputError: as in `compose`.
        DiskFullError: no space is left.
    """
    record = map_.record
    quality = f"recall@{record.nearest} {record.recall:.2f}, trustworthiness {record.trustworthiness:.2f}"
    figure = compose(map_, store.tokens, asked, frequent, f"{model_of(store)}, {record.name}: {quality}")
    picture = BytesIO()
    figure.savefig(picture, format="png")
    write_output(path, picture.getbuffer())


def model_of(store: Store) -> str:
    """Return the name of a store's model; of a folder only the last part, as a path is private."""
    model = str(store.vectors.attributes.get("model") or store.path.name)
    return Path(model).name if Path(model).is_absolute() else model


def compose(map_: Map, tokens: Tokens, asked: Sequence[int], frequent: int, title: str) -> Any:
    """Return the map as a matplotlib figure.

    Args:
        map_: the map.
        tokens: all tokens of the store.
        asked: rows of the tokens that are always labelled, in large letters.
        frequent: how many more labels are tried, in the order of the vocabulary, which is that of frequency.
        title: the line above the picture.

    Raises:
        MissingDependencyError: matplotlib or the font is not installed.
        InputError: a token to be labelled is not on the map.
    """
    font = import_font()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wanted = map_.positions(asked, tokens)
    spread = np.ptp(map_.coordinates, axis=0)
    figure = Figure(figsize=INCHES * np.maximum(spread / (spread.max() or 1.0), 0.5), dpi=DOTS, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    kinds = tokens.kinds[map_.rows]
    for kind, colour in COLOURS.items():
        part = map_.coordinates[kinds == kind]
        if len(part):
            axes.scatter(*part.T, s=200 / np.sqrt(len(map_.rows)), c=colour, lw=0, label=f"{kind.label} {len(part):,}")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, parse_math=False)  # a `$` in the name of a model begins no formula
    axes.set_aspect("equal", adjustable="datalim")
    legend = axes.legend(loc="upper left", fontsize=8)
    for marker in legend.legend_handles:  # in one size: the dots of 25 tokens are as large as a line of the legend
        marker.set_sizes([IN_LEGEND])
    canvas.draw()  # so that positions are known in pixels
    placed = Boxes()
    placed.add(axes.get_legend().get_window_extent())
    for row, point in zip(asked, wanted, strict=True):
        text = font.shown(tokens.surfaces[row]) or f"#{tokens.ids[row]}"
        _label(axes, text, map_.coordinates[point], font.of_size(LARGE), placed, force=True)
    left = frequent
    for point, row in enumerate(map_.rows.tolist()):
        text = font.shown(tokens.surfaces[row]) if left and row not in asked and _speaks(tokens, row) else ""
        if text:
            _label(axes, text, map_.coordinates[point], font.of_size(SMALL), placed, force=False)
            left -= 1
    return figure


def _label(axes: Any, text: str, coordinates: Any, font: Any, placed: "Boxes", *, force: bool) -> None:
    """Write a label beside its dot if it overlaps no other; a forced one is moved as far away as necessary."""
    from matplotlib.patheffects import withStroke

    point = axes.transData.transform(coordinates)
    written = axes.annotate(
        text,
        point,
        xycoords="figure pixels",
        annotation_clip=False,
        fontproperties=font,
        color="black",
        zorder=3,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
    renderer = axes.figure.canvas.get_renderer()
    inside = axes.get_window_extent()
    for horizontal, vertical, shift in _offsets(far=force):
        written.set(ha=horizontal, va=vertical, position=tuple(np.asarray(point) + shift))
        box = written.get_window_extent(renderer).padded(GAP / 2)
        fits = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if fits and not placed.overlap(box):
            placed.add(box)
            return
    if force:
        placed.add(written.get_window_extent(renderer))
    else:
        written.remove()


class Boxes:
    """Boxes on a picture, in one array: a loop over them for each of 24,000 places of 3,000 labels takes a minute."""

    def __init__(self) -> None:
        self._edges = np.empty((64, 4))
        self._count = 0

    def add(self, box: Any) -> None:
        """Add a box of matplotlib."""
        if self._count == len(self._edges):
            self._edges = np.concatenate([self._edges, np.empty_like(self._edges)])
        self._edges[self._count] = box.extents
        self._count += 1

    def overlap(self, box: Any) -> bool:
        """Return whether a box overlaps or touches one of them."""
        left, bottom, right, top = self._edges[: self._count].T
        beside = (left > box.x1) | (right < box.x0) | (bottom > box.y1) | (top < box.y0)
        return not beside.all()


def _speaks(tokens: Tokens, row: int) -> bool:
    """Return whether a token means something by itself: a word, but not a single letter of an alphabet."""
    text = tokens.surfaces[row]
    return tokens.kinds[row] == Kind.WORD and (len(text) > 1 or "CJK" in unicodedata.name(text, ""))


def _offsets(*, far: bool) -> Iterator[tuple[str, str, Any]]:
    for steps in range(1, FARTHEST, 3) if far else (1,):
        for horizontal, x in (("left", 1), ("right", -1), ("center", 0)):
            for vertical, y in (("center", 0), ("bottom", 1), ("top", -1)):
                if (x, y) != (0, 0):
                    yield horizontal, vertical, np.array([x, y]) * GAP * steps


class Font:
    """A font with Japanese glyphs, from a package, with matplotlib's own as a fallback."""

    def __init__(self, paths: Sequence[Path]) -> None:
        from matplotlib import font_manager
        from matplotlib.ft2font import FT2Font

        for path in paths:
            font_manager.fontManager.addfont(path)
        self._names = [font_manager.FontProperties(fname=path).get_name() for path in paths]
        self._glyphs: set[int] = set().union(*(FT2Font(str(path)).get_charmap() for path in paths))

    def shown(self, text: str) -> str:
        """Return a text escaped for matplotlib, or an empty one if a letter has no glyph and would be a box."""
        known = all(ord(letter) in self._glyphs for letter in text.strip())
        return text.strip().replace("$", r"\$") if known else ""  # $ begins a formula

    def of_size(self, points: float) -> Any:
        """Return the font in a size, as matplotlib takes it."""
        from matplotlib.font_manager import FontProperties

        return FontProperties(family=self._names, size=points)


def import_font() -> Font:
    """Return the font of the extra `map`.

    Raises:
        MissingDependencyError: matplotlib or the font is not installed.
    """
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where there is no home for its cache
    try:
        import matplotlib as mpl
        import matplotlib_fontja
    except ImportError as error:
        raise MissingDependencyError(
            f"--png needs {error.name}", hint="install it: pip install 'kotovec[map]'"
        ) from error
    except OSError as error:
        raise InputError(
            "matplotlib has no folder for its cache: nothing can be written to the home, nor to a temporary folder",
            hint="name one with MPLCONFIGDIR or TMPDIR",
        ) from error
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return Font([Path(matplotlib_fontja.__file__).parent / "fonts" / "ipaexg.ttf", fonts / "DejaVuSans.ttf"])
