"""Code that a model's files bring along: it is reported, and never run."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.workers.json_files import DOWNLOAD
from kotovec.workers.source import Source
from kotovec.workers.tensors import AmbiguousNameError

# torch's messages about pickles that name more than the parts of tensors, and about older formats, contain this.
_NAMES_MORE = "global "
# torch's messages about files that end too early.
_CUT = re.compile(r"central directory|corrupt|unexpected EOF|EOFError|Ran out of input|truncated", re.IGNORECASE)


def own_code(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """Return the model's own classes (`auto_map`), by the class of transformers that each replaces.

    For example, `{"AutoConfig": "configuration_mine.MyConfig", "AutoTokenizer": "tokenization_mine.MyTokenizer"}`.

    Args:
        config: contents of the model's `config.json`.
        tokenizer_config: contents of its `tokenizer_config.json`.
    """
    named: dict[str, str] = {}
    for content in (config, tokenizer_config):
        found = content.get("auto_map")
        if isinstance(found, list):  # an older tokenizer's pair: slow, fast
            found = {"AutoTokenizer": found}
        for stands_for, classes in found.items() if isinstance(found, dict) else ():
            several = classes if isinstance(classes, list) else [classes]
            if texts := [text for text in several if isinstance(text, str)]:
                named[str(stands_for)] = texts[-1]
    return named


def refuse_code(name: str, code: Mapping[str, str], stands_for: str) -> ModelError:
    """Return the error about a model's own class, without which the model does not load.

    Args:
        name: name of the model.
        code: the model's own classes, from `own_code`.
        stands_for: class of transformers that the missing one replaces.
    """
    text = code.get(stands_for) or next(iter(code.values()), "auto_map")
    return ModelError(
        f"{name} brings its own code ({text}), which kotovec never runs",
        hint="choose a model that transformers knows without code of its own",
    )


def notice_code(code: Mapping[str, str], model_type: str, tokens: str) -> tuple[str, ...]:
    """Return notices about a model's own classes, in place of which other code is used.

    Args:
        code: the model's own classes, by the class of transformers that each replaces.
        model_type: type of the model, whose class of transformers computes the vectors.
        tokens: where the tokens come from, such as `its tokenizer.json`.
    """
    notices = []
    if model := next((text for name, text in code.items() if name.startswith("AutoModel")), code.get("AutoConfig")):
        notices.append(
            f"the model's config.json names its own code ({model}), which kotovec never runs: "
            f"the vectors are those of transformers' own {model_type}"
        )
    if text := code.get("AutoTokenizer"):
        notices.append(
            f"the model names its own tokenizer's code ({text}), which kotovec never runs: "
            f"the tokens are those of {tokens}"
        )
    return tuple(notices)


@contextlib.contextmanager
def naming_errors(source: Source) -> Iterator[None]:
    """Turn the exceptions of torch and safetensors into errors of one line; keep errors that may be temporary."""
    import torch

    try:
        yield
    except (MemoryError, OSError, torch.OutOfMemoryError, AmbiguousNameError, ModelError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # torch raises a bare RuntimeError on a CPU
            raise MemoryError(str(error)) from error
        raise unloadable(source, error) from error


def unloadable(source: Source, error: BaseException) -> ModelError:
    """Return the error about weights that do not load."""
    reason = _pickle_reason(source, error)
    hint = "ask its author for safetensors" if reason else DOWNLOAD if _CUT.search(str(error)) else None
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
