"""Code that a model's files bring along: it is reported, and never run."""

import json
from pathlib import Path
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.workers.source import Source

_CONFIG, _TOKENIZER = "config.json", "tokenizer_config.json"
# torch's messages about pickles that name more than the parts of tensors, and about older formats, contain this.
_NAMES_MORE = "global "


def named_code(folder: Path) -> dict[str, str]:
    """Return the model's own classes (`auto_map`), by the class of transformers that each replaces.

    For example, `{"AutoConfig": "configuration_mine.MyConfig", "AutoTokenizer": "tokenization_mine.MyTokenizer"}`.
    """
    named: dict[str, str] = {}
    for name in (_CONFIG, _TOKENIZER):
        found = _read(folder / name).get("auto_map")
        if isinstance(found, list):  # an older tokenizer's pair: slow, fast
            found = {"AutoTokenizer": found}
        for stands_for, classes in found.items() if isinstance(found, dict) else ():
            several = classes if isinstance(classes, list) else [classes]
            if texts := [text for text in several if isinstance(text, str)]:
                named[str(stands_for)] = texts[-1]
    return named


def refuse_code(source: Source, stands_for: str) -> ModelError:
    """Return the error about the model's own class, without which the model does not load."""
    named = named_code(source.folder)
    text = named.get(stands_for) or next(iter(named.values()), "auto_map")
    return ModelError(
        f"{source.name} brings its own code ({text}), which kotovec never runs",
        hint="choose a model that transformers knows without code of its own",
    )


def notice_code(source: Source, model_type: str, tokens: str) -> tuple[str, ...]:
    """Return notices about the model's own code, in place of which other code is used.

    Args:
        source: the model.
        model_type: type of the model, whose class of transformers computes the vectors.
        tokens: where the tokens come from, such as `its tokenizer.json`.
    """
    named = named_code(source.folder)
    notices = []
    if model := next((text for name, text in named.items() if name.startswith("AutoModel")), named.get("AutoConfig")):
        notices.append(
            f"the model's {_CONFIG} names its own code ({model}), which kotovec never runs: "
            f"the vectors are those of transformers' own {model_type}"
        )
    if text := named.get("AutoTokenizer"):
        notices.append(
            f"the model names its own tokenizer's code ({text}), which kotovec never runs: "
            f"the tokens are those of {tokens}"
        )
    return tuple(notices)


def unloadable(source: Source, error: BaseException) -> ModelError:
    """Return the error about weights that do not load."""
    reason = _pickle_reason(source, error)
    hint = "ask its author for safetensors" if reason else None
    return ModelError(f"the weights of {source.name} do not load: {reason or first_line(error)}", hint=hint)


def _pickle_reason(source: Source, error: BaseException) -> str | None:
    """Return why pickled weights do not load; None where the reason is another one.

    It replaces the advice of torch and transformers, which is to load the file whatever code it runs.
    """
    text, cause = str(error), error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
        text += f"\n{cause}"
    if "weights_only" not in text:
        return None
    files = ", ".join(path.name for path in source.weights())
    if _NAMES_MORE in text.lower():
        return f"{files} holds more than tensors (a pickle that runs code)"
    return f"{files} is damaged, or of an old format that runs code"


def _read(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where the file is missing, or damaged, which is reported elsewhere."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
