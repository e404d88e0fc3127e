"""What the config of a model may claim: no other file than those that are hashed, and no size that no model has.

It is checked once, when the model is found, before any library reads it.
"""

import json
import stat
from pathlib import Path
from typing import Any

from kotovec.errors import ModelError, quoted
from kotovec.mecab import is_harmless

DOWNLOAD, DELETE = "download the model again", "delete the key"
MOST_JSON = 64 << 20  # bytes; a config has some KB, the index of a checkpoint in parts up to some MB
MOST_LAYERS = 10_000
MOST_SIZE = 1 << 20
MOST_ROWS = 1 << 31
MOST_BYTES = 1 << 30  # of any file but the weights; the largest tokenizer.json have some 75 MB
CONFIGS = ("config.json", "tokenizer_config.json")
TEMPLATES = "additional_chat_templates"  # a folder, all files of which transformers reads with a tokenizer
_READ_WHOLE = (".json", ".txt", ".model", ".vocab", ".bpe", ".spm", ".jinja")
_NOT_READ = ("name_or_path", "tokenizer_file", "special_tokens_map_file")  # transformers saves them, and reads its own
_BERT = ("bert", "roberta", "xlm-roberta", "camembert")


def read_json(path: Path, most: int = MOST_JSON) -> dict[str, Any]:
    """Return the object in a JSON file of a model; an empty one where there is no such file.

    Raises:
        ModelError: the path is no regular file or too large, or its content is no JSON object, or nested too deeply.
    """
    try:
        info = path.stat()
    except OSError:
        return {}
    if not stat.S_ISREG(info.st_mode) or info.st_size > most:
        raise ModelError(f"{path} is not a file of at most {most:,} bytes", hint=DOWNLOAD)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ModelError(f"{path} is nested too deeply", hint=DOWNLOAD) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not JSON ({error})", hint=DOWNLOAD) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is not a JSON object", hint=DOWNLOAD)
    return content


def check(folder: Path, weights: str | None) -> None:
    """Check a model's config and that of its tokenizer.

    Args:
        folder: the folder of the model.
        weights: the name of the file that the weights are read from, or of their index; None where there is none.

    Raises:
        ModelError: one of them is damaged, names a file that is not the model's, or claims an absurd number.
    """
    config, tokenizer = (read_json(folder / name) for name in CONFIGS)
    _check_files(folder)
    path, named = folder / CONFIGS[0], config.get("transformers_weights")
    if named is not None and named != weights:
        raise ModelError(f"{path} names other weights ({quoted(named)}), and only {weights} is read", hint=DELETE)
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{folder} holds an adapter (adapter_config.json)", hint="merge it into its model")
    _check_numbers(folder, config)
    for name, content in zip(CONFIGS, (config, tokenizer), strict=True):
        _check_names(folder, name, content)


def _check_files(folder: Path) -> None:
    """Refuse pipes and devices, which libraries would wait for or read for ever, and files of absurd sizes.

    A link is followed, and one to nothing is no file.
    """
    for each in (*folder.iterdir(), *(folder / TEMPLATES).glob("*")):
        try:
            info = each.stat()
        except OSError:
            continue
        if not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
            raise ModelError(f"{each} is a pipe or a device", hint=DOWNLOAD)
        if each.suffix in _READ_WHOLE and info.st_size > MOST_BYTES:
            raise ModelError(f"{each} has more than {MOST_BYTES >> 30} GiB", hint=DOWNLOAD)


def _check_numbers(folder: Path, config: dict[str, Any]) -> None:
    path = folder / CONFIGS[0]

    def refuse(name: str, value: object) -> ModelError:
        return ModelError(f"{path} claims {name} {str(value)[:40]}, which no model has", hint=DOWNLOAD)

    for name, value in _items(config):
        if isinstance(value, int) and "layer" in name and value > MOST_LAYERS:
            raise refuse(name, value)
    bounds = {"num_hidden_layers": (0, MOST_LAYERS), "hidden_size": (1, MOST_SIZE), "vocab_size": (1, MOST_ROWS)}
    for name, (least, most) in bounds.items():
        value = config.get(name)
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise refuse(name, value)
    size, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if isinstance(heads, int):
        uneven = config.get("model_type") in _BERT and heads > 0 and size is not None and size % heads
        if heads < 1 or uneven:
            raise refuse("num_attention_heads", heads)
    rows, width = config.get("vocab_size"), config.get("embedding_size") or size
    held = sum(file.stat().st_size for ending in ("safetensors", "bin") for file in folder.glob(f"*.{ending}"))
    # Eight numbers in a byte: more than any quantization packs. Else transformers takes memory before it looks.
    if held and isinstance(rows, int) and isinstance(width, int) and rows * width > 8 * held:
        raise ModelError(f"{path} claims {rows:,} × {width:,} embeddings, more than the weights", hint=DOWNLOAD)


def _check_names(folder: Path, name: str, config: dict[str, Any]) -> None:
    """Refuse names of files that a library would open instead of those in the folder.

    Many published configs hold paths of the machine that they were made on: those are harmless, as no file is there.
    """
    if not isinstance(config.get("mecab_kwargs") or {}, dict):
        raise ModelError(f"{folder / name} is damaged (mecab_kwargs is no object)", hint=DOWNLOAD)
    for key, value in _items(config):
        if key == "mecab_option" and not is_harmless(value):
            raise ModelError(f"{folder / name} names what is not the model's ({key} {quoted(value)[:80]})", hint=DELETE)
        if not isinstance(value, str):
            continue
        names = key.endswith(("_file", "_path", "_dir")) and not key.endswith(_NOT_READ)
        kernel = key.endswith("_implementation") and "/" in value  # code of the Hub
        if kernel or (names and _leads_outside(folder, value)):
            raise ModelError(f"{folder / name} names what is not the model's ({key} {quoted(value[:80])})", hint=DELETE)


def _leads_outside(folder: Path, value: str) -> bool:
    try:
        path = Path(value).absolute()
        return path.exists() and path.parent != folder.absolute()
    except (OSError, ValueError):  # too long, or a NUL in the name
        return False


def _items(config: Any) -> list[tuple[str, Any]]:
    """Return the keys and values of a JSON object and of those inside it; it is as shallow as `json` reads."""
    found, left = [], [config]
    while left:
        for key, value in left.pop().items():
            found.append((key, value))
            parts = value if isinstance(value, list) else [value]
            left += [part for part in parts if isinstance(part, dict)]
    return found
