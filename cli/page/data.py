"""The data of the page: tokens, spaces, coordinates, true neighbours and classes of colours, ready for JSON.

An array is written as the base64 of its little-endian bytes, which `source.js` decodes.
"""

import unicodedata
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cli.picture import COLOURS
from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.store.fidelity import NEAREST
from kotovec.store.landmarks import Stop, Way, trace
from kotovec.store.maps import Map
from kotovec.store.nearest import Rows
from kotovec.store.neighbours import Neighbours, neighbours
from kotovec.store.tokens import Tokens
from kotovec.text import escaped

# The script of a letter, by the first word of its Unicode name.
SCRIPTS = {"CJK": "kanji", "HIRAGANA": "kana", "KATAKANA": "kana", "KATAKANA-HIRAGANA": "kana", "LATIN": "Latin"}
# Okabe and Ito's palette, as in pictures.
SCRIPT_COLOURS = {"kanji": "#D55E00", "kana": "#CC79A7", "Latin": "#0072B2", "digits": "#009E73", "other": "#999999"}
NORM_COLOURS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#d5c21a")  # viridis


@dataclass(frozen=True)
class _Side:
    """A space on the page.

    Attributes:
        map_: the map of n tokens.
        near: for each of the n tokens its nearest ones in the whole vocabulary, by cosine in the space, not on the map.
        norms: (n,) float64, the L2 norms of the vectors.
        way: the way of the expression, if there is one.
    """

    map_: Map
    near: Neighbours
    norms: npt.NDArray[np.float64]
    way: Way | None


def page_data(store: Store, maps: Sequence[Map], expression: str | None) -> dict[str, Any]:
    """Return all that the page shows, ready for JSON.

    Args:
        store: the store of the maps.
        maps: one per space, of the same sample of tokens; the page opens with the first one.
        expression: the expression whose way is drawn, if any.

    Raises:
        InputError: the expression has no way on the maps.
    """
    # Ways come first: an expression that has none is rejected before the search for neighbours, which takes long.
    ways = [None if expression is None else trace(store, map_, expression) for map_ in maps]
    # Spaces may lack some tokens: the page shows those that all of them have.
    common = reduce(np.intersect1d, [map_.rows for map_ in maps])
    maps = [map_.of(common) for map_ in maps]
    most = min(len(store) if each is None else int(each.sum()) for each in _presents(store, maps)) - 1
    sides = [_side(store, map_, way, most) for map_, way in zip(maps, ways, strict=True)]
    tokens, rows = store.tokens, maps[0].rows
    return {
        "tokens": [escaped(surface) for surface in tokens.surfaces],
        "ids": _packed(tokens.ids, np.float64),  # JavaScript numbers are doubles
        "rows": _packed(rows, np.int32),
        "near": sides[0].near.rows.shape[1],
        "spaces": [_space(side) for side in sides],
        "colourings": _colourings(tokens, rows, [side.norms for side in sides]),
    }


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


def _presents(store: Store, maps: Sequence[Map]) -> list[npt.NDArray[np.bool_] | None]:
    return [store.vectors.present(store.space(map_.record.space)) for map_ in maps]


def _side(store: Store, map_: Map, way: Way | None, most: int) -> _Side:
    space, rows = map_.record.space, map_.rows
    return _Side(map_, neighbours(store, space, min(NEAREST, most), rows=rows), store.norms(space)[rows], way)


def _space(side: _Side) -> dict[str, Any]:
    record = side.map_.record
    recall, trust = f"{record.recall:.3f} of the {record.nearest}", f"{record.trustworthiness:.3f}"
    return {
        "name": Space.parse(record.space).title,
        "quality": f"{record.method}: {recall} true neighbours are drawn as such, trustworthiness {trust}",
        "x": _packed(side.map_.coordinates[:, 0], np.float32),
        "y": _packed(side.map_.coordinates[:, 1], np.float32),
        "norms": _packed(side.norms, np.float32),
        "near": _packed(side.near.rows, np.int32),
        "cosines": _packed(side.near.scores, np.float32),
        "way": None if side.way is None else {name: _stops(getattr(side.way, name)) for name in ("stops", "terms")},
    }


def _stops(stops: Sequence[Stop]) -> list[dict[str, Any]]:
    return [
        {"label": escaped(stop.label), "x": float(stop.position[0]), "y": float(stop.position[1])} for stop in stops
    ]


def _colourings(tokens: Tokens, rows: Rows, norms: Sequence[npt.NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Return the colourings, each with its classes and the class of every point; norms have classes per space."""
    kinds = [{"name": kind.label, "colour": colour} for kind, colour in COLOURS.items()]
    code_of_kind = {int(kind): code for code, kind in enumerate(COLOURS)}
    scripts = [{"name": name, "colour": colour} for name, colour in SCRIPT_COLOURS.items()]
    names = list(SCRIPT_COLOURS)
    of_kind = np.array([code_of_kind[kind] for kind in tokens.kinds[rows].tolist()])
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
    """Return classes of about equally many tokens, and the class of every token."""
    bounds = np.quantile(norms, np.linspace(0, 1, len(NORM_COLOURS) + 1))
    classes = [
        {"name": f"{low:.4g} to {high:.4g}", "colour": colour}
        for low, high, colour in zip(bounds, bounds[1:], NORM_COLOURS, strict=False)
    ]
    return classes, np.searchsorted(bounds[1:-1], norms, side="right")
