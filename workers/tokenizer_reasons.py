"""Why transformers makes no tokenizer of a model's files: what is missing or damaged, and the step that mends it."""

import re
from pathlib import Path
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.workers.json_files import DOWNLOAD
from kotovec.workers.model import Model
from kotovec.workers.tokenizer_files import CLASS, TOKENIZER

# transformers' words for a class that it does not know, and for a file that neither of two libraries reads.
_NO_BACKEND, _NO_PIECES = "instantiate the backend tokenizer", "tiktoken"
_NO_FILE = re.compile(r"NoneType|must be both")
_FILES = ("*.model", "*.spm", "*.tokenizer")


def explain(model: Model, error: BaseException) -> tuple[str, str | None]:
    """Return why a tokenizer does not load, in one line, and the step that mends it; None where none is known."""
    folder, name = model.source.folder, _class_name(model)
    if _NO_FILE.search(str(error)) and (missing := _missing_files(folder, name)):
        return f"{missing[0]} is missing", f"download it into {folder}, too"
    if _NO_BACKEND in str(error):
        return f"it knows no class {name or 'of this model'} for these files", CLASS
    pieces = next((path for pattern in _FILES for path in sorted(folder.glob(pattern))), None)
    if _NO_PIECES in str(error) and pieces is not None:
        return f"{pieces.name} is damaged, or no model of SentencePiece", DOWNLOAD
    if "MeCab" in str(error):
        return f"MeCab does not start ({first_line(error)})", "name one of its dictionaries with --mecab-dic"
    if "initializing" in str(error) or "UTF-8" in str(error):  # tokenizers' words for a damaged file
        return first_line(error), DOWNLOAD
    return first_line(error), None


def without_files(model: Model) -> ModelError:
    """Return the error about a model without any file of a tokenizer."""
    folder = model.source.folder
    beside = (folder / "tokenizer", folder.parent / "tokenizer", folder.parent)
    found = next((each for each in beside if (each / TOKENIZER).is_file() or (each / "vocab.txt").is_file()), None)
    hint = f"copy the tokenizer's files into it{f' from {found}' if found else ''}"
    return ModelError(f"{model.name} has no tokenizer: neither {TOKENIZER} nor a vocab file is in {folder}", hint=hint)


def _class_name(model: Model) -> str | None:
    name = model.tokenizer_config.get("tokenizer_class") or model.config.get("tokenizer_class")
    return name if isinstance(name, str) else None


def _missing_files(folder: Path, name: str | None) -> list[str]:
    """Return the vocabulary files that a class of transformers reads and that a folder lacks."""
    import transformers

    kind: Any = getattr(transformers, name, None) if name and name.isidentifier() else None
    files = dict(getattr(kind, "vocab_files_names", None) or {})
    files.pop("tokenizer_file", None)
    if not all(isinstance(file, str) for file in files.values()):
        return []
    return [file for file in files.values() if not (folder / file).is_file()]
