"""What a store was built from, for a hint: the command that adds a space to it, and the layers that its model has."""

import contextlib
import json
import re
import shlex
from pathlib import Path
from typing import Any, Protocol

from kotovec.errors import KotovecError
from kotovec.space import IN_PART, LAYERED, Origin, Space, Stored
from kotovec.store.layout import IMPORTED
from kotovec.store.tokens import KINDS

# Classes of transformers that give hidden states or classes, and no logits over the vocabulary: BertModel, not
# GPT2LMHeadModel or GPT2DoubleHeadsModel.
_HEADLESS = re.compile(r".*(?:(?<!Head)(?<!Heads)Model|For(?:Sequence|Token)Classification|ForQuestionAnswering)")
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
    config = _config_of(vectors)
    layers = config.get("num_hidden_layers")
    depth = made.get("depth") or (layers if isinstance(layers, int) else None)
    headless = _headless(config)
    if not model or vectors.attributes.keys() & {"words", IMPORTED}:  # a list of words takes its own options
        return Origin(None, depth, headless=headless)
    words = ["kotovec", "build", model, "--store", str(vectors.path), *_options(vectors, made.get("settings", {}))]
    states = ""
    if str(vectors.attributes.get("weights_sha256")).startswith(IN_PART):
        tables = [str(space) for space in (*vectors.spaces, *vectors.spaces.tied)]
        states = f" --spaces {','.join([*tables, 'isolated'])} --overwrite"
    return Origin(shlex.join(words), depth, states, headless)


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


def _config_of(vectors: Files) -> dict[str, Any]:
    """Return the config.json of the model's folder, if it is still there; otherwise nothing."""
    folder = str(vectors.attributes.get("model_folder") or "")
    with contextlib.suppress(OSError, ValueError, RecursionError):
        path = Path(folder) / "config.json"
        if folder and path.is_file() and path.stat().st_size <= _MOST_CONFIG:
            config = json.loads(path.read_bytes())
            return config if isinstance(config, dict) else {}
    return {}


def _headless(config: dict[str, Any]) -> str:
    """Return the class that a config names, if it is known to have no output matrix; otherwise an empty text."""
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    return first if isinstance(first, str) and first.isidentifier() and _HEADLESS.fullmatch(first) else ""
