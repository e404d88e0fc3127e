"""What a store was built from, for a hint: the command that adds a space to it, and the layers that its model has."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import Any, Protocol

from kotovec.errors import KotovecError
from kotovec.space import IN_PART, LAYERED, Origin, Space, Stored
from kotovec.store.tokens import KINDS

_MOST_CONFIG = 1 << 20  # bytes; those of models have some thousands


class Files(Protocol):
    """The open files of a store, as far as they say what it was built from: `Vectors`."""

    path: Path
    attributes: Any

    @property
    def spaces(self) -> Stored:
        """The spaces that are stored."""

    def made(self, space: Space) -> Any:
        """Return how the vectors of a space were made."""


def origin_of(vectors: Files) -> Origin:
    """Return what a store was built from, as its files say it."""
    model = str(vectors.attributes.get("model") or "")
    made: dict[str, Any] = {}
    with contextlib.suppress(KotovecError, OSError):
        made = next((dict(vectors.made(space)) for space in vectors.spaces if space.name in LAYERED), {})
    depth = made.get("depth") or _depth_of(vectors)
    if not model or "words" in vectors.attributes:  # a list of words takes its own options
        return Origin(None, depth)
    words = ["kotovec", "build", model, "--store", str(vectors.path), *_options(vectors, made.get("settings", {}))]
    states = ""
    if str(vectors.attributes.get("weights_sha256")).startswith(IN_PART):
        tables = [str(space) for space in (*vectors.spaces, *vectors.spaces.tied)]
        states = f" --spaces {','.join([*tables, 'isolated'])} --overwrite"
    return Origin(shlex.join(words), depth, states)


def _options(vectors: Files, settings: dict[str, Any]) -> list[str]:
    """Return the options with which a build takes a store for its own: those that are not the default."""
    attributes, found = vectors.attributes, []
    if (kinds := str(attributes.get("token_filter") or ",".join(KINDS))) != ",".join(KINDS):
        found += ["--token-filter", kinds]
    if attributes.get("mecab_dic") and not attributes.get("mecab_assumed"):
        found += ["--mecab-dic", str(attributes["mecab_dic"])]
    if not attributes.get("bos", True):
        found += ["--no-bos"]
    for name in ("dtype", "store-dtype"):
        if settings.get(name, "float32") != "float32":
            found += [f"--{name}", str(settings[name])]
    return found


def _depth_of(vectors: Files) -> int | None:
    """Return the number of layers that the model's folder says, if it is still there."""
    folder = str(vectors.attributes.get("model_folder") or "")
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        path = Path(folder) / "config.json"
        if folder and path.is_file() and path.stat().st_size <= _MOST_CONFIG:
            return int(json.loads(path.read_bytes())["num_hidden_layers"])
    return None
