"""What a store contains and where it came from, and what of it is damaged."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError, quoted
from kotovec.space import PROTOTYPES, Space
from kotovec.store import index as indexes
from kotovec.store import lens, maps, prototypes, sentences
from kotovec.store.geometry import kept
from kotovec.store.layout import HDF5, IMPORTED, TOKENIZER, Layout
from kotovec.store.opened import CURE
from kotovec.store.tokenizer import checksums
from kotovec.store.vectors import Vectors
from kotovec.text import argument, counted


def inform(path: Path, layout: Layout, vectors: Vectors) -> dict[str, Any]:
    """Return what is in a store and where it came from, as JSON-ready data.

    Args:
        path: the path as it was named.
        layout: the names of its files.
        vectors: its open files.
    """
    attributes = dict(vectors.attributes)
    for name in (
        "settings",
        "versions",
        "tokenizer_files",
        *(name for name in ("words", IMPORTED) if name in attributes),
    ):
        attributes[name] = vectors.table(name)
    made = vectors.made(next(space for space in reversed(vectors.spaces) if not space.steps))
    attributes |= {name: value for name, value in made.items() if name not in ("settings", "spread")}
    sentence = next(
        (vectors.settings(space).get("sentence") for space in vectors.spaces if space.name == "template"), None
    )
    tokens, arrays = vectors.tokens, {str(space): _array(vectors, space) for space in vectors.spaces}
    return {
        "path": str(path),
        "tokens": len(tokens),
        **({} if tokens.pieces is None else {"pieces": len(tokens.pieces.ids)}),
        "kinds": tokens.count(),
        "marking": tokens.marking.value,
        "spaces": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()},
        **({} if sentence is None else {"sentence": sentence}),
        "tables": lens.describe(vectors),
        **({"contexts": found} if (found := _contexts(vectors)) else {}),
        **({"prototypes": divided} if (divided := _prototypes(vectors)) else {}),
        "indexes": indexes.describe(layout.indexes, vectors),
        "maps": maps.describe(layout.maps, vectors.matches),
        "neighbours": kept.describe(layout.measures, vectors.matches),
        "bytes": layout.size,
        "provenance": attributes,
    }


def _contexts(vectors: Vectors) -> dict[str, dict[str, Any]]:
    """Return how many items have contexts, and how far the vectors of each lie apart in them, by space."""
    found = {}
    for space in vectors.spaces:
        counts = vectors.part(space, "n")
        if counts is None or space.name == PROTOTYPES or space.steps:
            continue
        limit, uses = vectors.settings(space).get("contexts"), vectors.part(space, "uses")
        complete = 0 if limit is None else int((counts >= limit).sum())
        none = int((counts == 0).sum())
        found[str(space)] = {
            "limit": limit,
            "complete": complete,
            "fewer": len(counts) - complete - none,
            "none": none,
            "contexts": int(counts.sum()),
            "vectors": int((counts if uses is None else uses).sum()),
            **vectors.made(space).get("spread", {}),
        }
    return found


def _prototypes(vectors: Vectors) -> dict[str, dict[str, Any]]:
    """Return how many centres there are, and of how many contexts each is the mean, by space."""
    found = {}
    for space in (each for each in vectors.spaces if each.name == PROTOTYPES):
        stored = prototypes.of_parts(vectors.parts(space))
        counts = np.diff(stored.offsets)
        found[str(space)] = {
            "limit": vectors.settings(space).get("prototypes"),
            "centres": len(stored.sizes),
            "items": int((counts > 0).sum()),
            "mean_size": round(float(stored.sizes.mean()), 3) if len(stored.sizes) else None,
        }
    return found


def _array(vectors: Vectors, space: Space) -> npt.NDArray[np.floating[Any]]:
    """Return the vectors that the file of a space holds."""
    return prototypes.of_parts(vectors.parts(space)).centres if space.name == PROTOTYPES else vectors.array(space)


def describe(path: Path, vectors: Vectors) -> str:
    """Return what is in a store, for a person who prints it in Python: a few lines."""
    tokens = vectors.tokens
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in tokens.count().items() if count)
    rows = f"tokens: {len(tokens):,} ({kinds})" if not tokens.listed else f"words: {len(tokens):,}"
    model = vectors.attributes.get("model")
    lines = [f"Store({str(path)!r})", *([f"model: {str(model)!r}"] if model else []), rows]
    arrays = ((space, vectors.array(space)) for space in vectors.spaces)
    lines += [f"{space}: {counted(array.shape[1], 'dimension')}, {array.dtype}" for space, array in arrays]
    return "\n    ".join(lines)


def damage(path: Path, vectors: Vectors, damaged: Sequence[str]) -> DamagedError:
    """Return the error that names what `find_damage` found and, if a build repairs it, the command of the last one."""
    command = vectors.attributes.get("command")
    names = [what.removesuffix(f" ({CURE})") for what in damaged]
    named = f"{CURE} and --store {argument(str(path))}"  # it may be a copy
    hint = f"{named}; it was built by {quoted(command)}" if command else CURE
    return DamagedError(f"{path} is damaged: {'; '.join(names)}", hint=None if names == list(damaged) else hint)


def _cure(name: str) -> str:
    """Return what mends a file of a store, or a dataset of it: a derived space is derived again."""
    from kotovec.store.geometry.steps import mending

    stem = Path(name.partition(": ")[0]).name.removesuffix(HDF5)
    with contextlib.suppress(InputError):
        if (space := Space.of_stem(stem)).steps:
            return mending(space)
    return CURE


def find_damage(layout: Layout, vectors: Vectors) -> list[str]:
    """Recompute every checksum of a store; return what is damaged, by file, and how to repair it."""
    damaged = [f"{name} ({_cure(name)})" for name in vectors.verify()]
    damaged += sentences.verify(layout, vectors)
    recorded, present = vectors.tokenizer_files(), checksums(layout.tokenizer)
    names = sorted(name for name in {*recorded, *present} if recorded and recorded.get(name) != present.get(name))
    damaged += [f"{TOKENIZER}/{name} ({CURE})" for name in names]
    damaged += indexes.verify(layout.indexes, vectors)
    damaged += maps.verify(layout.maps, vectors.matches)
    return damaged + kept.verify(layout.measures, vectors.matches)
