"""What a store contains and where it came from, and what of it is damaged."""

from pathlib import Path
from typing import Any

from kotovec.store import contexts, lens, maps
from kotovec.store import index as indexes
from kotovec.store.layout import TOKENIZER, Layout
from kotovec.store.opened import CURE
from kotovec.store.tokenizer import checksums
from kotovec.store.vectors import Vectors


def inform(path: Path, layout: Layout, vectors: Vectors) -> dict[str, Any]:
    """Return what is in a store and where it came from, as JSON-ready data.

    Args:
        path: the path as it was named.
        layout: the names of its files.
        vectors: its open files.
    """
    attributes = dict(vectors.attributes)
    for name in ("settings", "versions", "tokenizer_files", *(("words",) if "words" in attributes else ())):
        attributes[name] = vectors.table(name)
    made = vectors.made(vectors.spaces[-1])
    attributes |= {name: value for name, value in made.items() if name not in ("settings", "spread")}
    sentence = next(
        (vectors.settings(space).get("sentence") for space in vectors.spaces if space.name == "template"), None
    )
    tokens, arrays = vectors.tokens, {str(space): vectors.array(space) for space in vectors.spaces}
    return {
        "path": str(path),
        "tokens": len(tokens),
        **({} if tokens.pieces is None else {"pieces": len(tokens.pieces.ids)}),
        "kinds": tokens.count(),
        "marking": tokens.marking.value,
        "spaces": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()},
        **({} if sentence is None else {"sentence": sentence}),
        "tables": lens.describe(vectors),
        **({"contexts": contexts} if (contexts := _contexts(vectors)) else {}),
        "indexes": indexes.describe(layout.indexes, vectors),
        "maps": maps.describe(layout.maps, vectors.matches),
        "bytes": layout.size,
        "provenance": attributes,
    }


def _contexts(vectors: Vectors) -> dict[str, dict[str, Any]]:
    """Return how many items have contexts, and how far the vectors of each lie apart in them, by space."""
    found = {}
    for space in vectors.spaces:
        counts = vectors.part(space, "n")
        if counts is None:
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


def find_damage(layout: Layout, vectors: Vectors) -> list[str]:
    """Recompute every checksum of a store; return what is damaged, by file, and how to repair it."""
    damaged = [f"{name} ({CURE})" for name in vectors.verify()]
    damaged += contexts.verify(layout.contexts, str(vectors.attributes.get("identity")))
    recorded, present = vectors.tokenizer_files(), checksums(layout.tokenizer)
    names = sorted(name for name in {*recorded, *present} if recorded and recorded.get(name) != present.get(name))
    damaged += [f"{TOKENIZER}/{name} ({CURE})" for name in names]
    damaged += indexes.verify(layout.indexes, vectors)
    return damaged + maps.verify(layout.maps, vectors.matches)
