"""What the config of a model may claim: no other file than those that are hashed, and no size that no model has.

It is checked once, when the model's configs are read, before any library reads it.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kotovec.errors import ModelError, quoted
from kotovec.mecab import is_harmless
from kotovec.workers.json_files import DOWNLOAD, read_json

DELETE = "delete the key"
OPTION = "delete the key; --mecab-dic chooses a dictionary"
MOST_LAYERS = 10_000
MOST_SIZE = 1 << 20
MOST_ROWS = 1 << 31
ADAPTER = "adapter_config.json"
MERGE = "merge it into its model with PEFT's merge_and_unload(), and save that"
MOST_BYTES = 1 << 30  # of any file but the weights; the largest tokenizer.json have some 75 MB
CONFIGS = ("config.json", "tokenizer_config.json")
TEMPLATES = "additional_chat_templates"  # a folder, all files of which transformers reads with a tokenizer
_READ_WHOLE = (".json", ".txt", ".model", ".vocab", ".bpe", ".spm", ".jinja")
_NOT_READ = ("name_or_path", "tokenizer_file", "special_tokens_map_file")  # transformers saves them, and reads its own
_BERT = ("bert", "roberta", "xlm-roberta", "camembert")


def check(folder: Path, weights: str | None, config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> None:
    """Check a model's config and that of its tokenizer.

    Args:
        folder: the folder of the model.
        weights: the name of the file that the weights are read from, or of their index; None where there is none.
        config: contents of `config.json`.
        tokenizer: contents of `tokenizer_config.json`.

    Raises:
        ModelError: one of them names a file that is not the model's, or claims an absurd number.
    """
    _check_files(folder)
    path, named = folder / CONFIGS[0], config.get("transformers_weights")
    if named is not None and named != weights:
        raise ModelError(f"{path} names other weights ({quoted(named)}), and only {weights} is read", hint=DELETE)
    if (folder / ADAPTER).exists():
        raise ModelError(f"{folder} holds an adapter ({ADAPTER})", hint=merge_hint(folder))
    _check_numbers(folder, config)
    for name, content in zip(CONFIGS, (config, tokenizer), strict=True):
        _check_names(folder, name, content)


def merge_hint(folder: Path | None) -> str:
    """Return the step that makes a model of an adapter; it names the model where the adapter's config does."""
    try:
        base = None if folder is None else read_json(folder / ADAPTER).get("base_model_name_or_path")
    except ModelError:
        base = None
    return MERGE.replace("its model", quoted(base), 1) if isinstance(base, str) and base else MERGE


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


def _check_numbers(folder: Path, config: Mapping[str, Any]) -> None:
    path = folder / CONFIGS[0]

    def refuse(name: str, value: object) -> ModelError:
        hint = "write it without quotes" if isinstance(value, str) and value.isdecimal() else DOWNLOAD
        return ModelError(f"{path} claims {name} {repr(value)[:40]}, which no model has", hint=hint)

    for name, value in _items(config):
        if isinstance(value, int) and "layer" in name and value > MOST_LAYERS:
            raise refuse(name, value)
    bounds = {"num_hidden_layers": (0, MOST_LAYERS), "hidden_size": (1, MOST_SIZE), "vocab_size": (1, MOST_ROWS)}
    for name, (least, most) in bounds.items():
        value = config.get(name)
        if isinstance(value, dict):  # LXMERT counts the layers of each of its parts; any other config does not load
            continue
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise refuse(name, value)
    size, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if isinstance(heads, int):
        uneven = config.get("model_type") in _BERT and heads > 0 and size is not None and size % heads
        if heads < 1 or uneven:
            raise refuse("num_attention_heads", heads)
    rows, width = config.get("vocab_size"), config.get("embedding_size") or size
    files = (file for ending in ("safetensors", "bin") for file in folder.glob(f"*.{ending}"))
    held = sum(file.stat().st_size for file in files if file.is_file())
    # Eight numbers in a byte: more than any quantization packs. Else transformers takes memory before it looks.
    if held and isinstance(rows, int) and isinstance(width, int) and rows * width > 8 * held:
        problem = f"{path} claims {rows:,} × {width:,} embeddings, and the weights have {held:,} bytes"
        raise ModelError(f"{problem}: they are cut short, or of another model", hint=DOWNLOAD)


def _check_names(folder: Path, name: str, config: Mapping[str, Any]) -> None:
    """Refuse names of files that a library would open instead of those in the folder.

    Many published configs hold paths of the machine that they were made on: those are harmless, as no file is there.
    """
    if not isinstance(config.get("mecab_kwargs") or {}, dict):
        raise ModelError(f"{folder / name} is damaged (mecab_kwargs is no object)", hint=DOWNLOAD)
    for key, value in _items(config):
        if key == "mecab_option" and not is_harmless(value):
            raise ModelError(f"{folder / name} names what is not the model's ({key} {quoted(value)[:80]})", hint=OPTION)
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
