"""What a folder or a repository holds where it is no model that can be read, and the step that makes one of it.

People have checkpoints in many forms: of sentence-transformers, adapters, GGUF, ONNX, variants, half of a download. Each
is told by the names of its files, so that a repository is refused before anything is downloaded.
"""

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from kotovec.errors import ModelError, ModelNotFoundError, first_line, quoted
from kotovec.workers.claims import DOWNLOAD, read_json

# In the order of transformers: safetensors first, in one file or several, then the older pickled form.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
CONFIG = "config.json"
# A part of the weights: a file beside its index, of the endings that `hash_weights` and the loaders know.
PART = re.compile(r"[\w\-][\w.\-]*\.(safetensors|bin)")
MERGE = "merge it into its model with PEFT's merge_and_unload(), and save that"
DEEPEST = 4  # folders below a given one that are searched for a model: ORG/models--X/snapshots/COMMIT
MOST_ENTRIES = 10_000
HEAD_BYTES = 512
_CONVERTED = "give the checkpoint that it was converted from, in safetensors"
_BY_4 = "convert it with transformers 4: AutoModel.from_pretrained(FOLDER, {}=True).save_pretrained(FOLDER)"
_TRANSFORMER = re.compile(r"0_[\w\-]+")  # the folder of the first module in older models of sentence-transformers
_VARIANT = re.compile(r"(model|pytorch_model)\.(?!index\b)([\w\-]+)\.(safetensors|bin)|model_[\w\-]+\.safetensors")
_NUMBERED = re.compile(r"(model|pytorch_model)([.\-][\w.\-]+)?-\d{5}-of-\d{5}\.(safetensors|bin)")
_UNFINISHED = re.compile(r".*\.(incomplete|part|partial|crdownload|aria2|download|tmp)")
# Other forms of weights: pattern of a file's name, what it is, and the step to a checkpoint of transformers.
_FORMS = (
    ("adapter_model.*", "an adapter", MERGE),
    ("pytorch_adapter.bin", "an adapter", MERGE),
    ("*.gguf", "a GGUF file", _CONVERTED),
    ("ggml-*.bin", "a GGML file", _CONVERTED),
    ("*.onnx", "an ONNX model", _CONVERTED),
    ("openvino_model*.xml", "an OpenVINO model", _CONVERTED),
    ("tf_model*.h5", "TensorFlow weights", _BY_4.format("from_tf")),
    ("flax_model*.msgpack", "Flax weights", _BY_4.format("from_flax")),
    ("*.ckpt*.index", "a checkpoint of TensorFlow 1", "convert it with transformers 4: transformers-cli convert"),
    ("*.ckpt*.data-*", "a checkpoint of TensorFlow 1", "convert it with transformers 4: transformers-cli convert"),
    ("rust_model.ot", "weights of rust-bert", _CONVERTED),
    ("*.mlpackage", "a Core ML model", _CONVERTED),
    ("*.mlmodel", "a Core ML model", _CONVERTED),
    ("*.tflite", "a TensorFlow Lite model", _CONVERTED),
    ("*.engine", "a TensorRT engine", _CONVERTED),
    ("weights.npz", "weights of MLX", _CONVERTED),
    ("consolidated*", "weights in their maker's own form", "choose the repository in the form of transformers (-hf)"),
    ("*.distcp", "a sharded checkpoint of FSDP", "merge it: accelerate merge-weights FOLDER FOLDER"),
    ("zero_to_fp32.py", "a checkpoint of DeepSpeed", "run `python zero_to_fp32.py . .` in it"),
    ("*.nemo", "a model of NeMo", _CONVERTED),
    ("*.ckpt", "a checkpoint of another program", "save the model in it with save_pretrained"),
    ("*.pt", "a checkpoint of another program", "save the model in it with save_pretrained"),
    ("*.pth", "a checkpoint of another program", "save the model in it with save_pretrained"),
    ("*.tar", "an archive", "unpack it, and give the folder that holds config.json"),
    ("*.tar.*", "an archive", "unpack it, and give the folder that holds config.json"),
    ("*.tgz", "an archive", "unpack it, and give the folder that holds config.json"),
    ("*.zip", "an archive", "unpack it, and give the folder that holds config.json"),
    ("*.7z", "an archive", "unpack it, and give the folder that holds config.json"),
)
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
_HEADS = (b"version https://git-lfs", b"/annex/objects/", b"# xet version")


def weights_name(names: Collection[str]) -> str | None:
    """Return the name of the file, or of the index, that transformers reads the weights from; None without any."""
    return next((name for name in WEIGHTS if name in names), None)


def names_in(folder: Path) -> list[str]:
    """Return the paths of the files in a folder, at most `DEEPEST` folders below it, ascending by depth."""
    found: list[str] = []
    folders = [folder]
    for depth in range(DEEPEST + 1):
        entries = [entry for each in folders for entry in _entries(each)]
        found += sorted(entry.relative_to(folder).as_posix() for entry in entries if not entry.is_dir())
        folders = [entry for entry in entries if depth < DEEPEST and entry.is_dir() and not entry.is_symlink()]
        if len(found) > MOST_ENTRIES:
            break
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # of another user
        return []


def model_folder(folder: Path) -> Path:
    """Return the folder of the transformer in an older model of sentence-transformers; any other folder itself.

    There, `config.json` at the top is missing, or says nothing but a version.
    """
    found = [path for path in folder.glob("0_*/config.json") if _TRANSFORMER.fullmatch(path.parent.name)]
    if len(found) != 1 or not found[0].is_file():
        return folder
    if (folder / CONFIG).is_file():
        try:
            top = read_json(folder / CONFIG)
        except ModelError:  # reported when it is checked
            return folder
        if "model_type" in top or "architectures" in top:
            return folder
    return found[0].parent


def refuse_without_config(where: str, names: Collection[str], folder: Path | None = None) -> ModelNotFoundError:
    """Return the error about a folder or repository without `config.json`, by what else it holds.

    Args:
        where: the folder or repository, as the message names it.
        names: paths of its files.
        folder: the folder, where it is one on this machine.
    """
    message, hint = f"{where} is not a model: it holds no config.json", None
    here = {name for name in names if "/" not in name}
    below = sorted({str(PurePosixPath(name).parent) for name in names if name.endswith("/" + CONFIG)}, key=_natural)
    below = [name for name in below if not PurePosixPath(name).name.startswith(".")]
    if found := _first(here, "adapter_config.json"):
        message, hint = f"{where} holds an adapter alone ({found}), and no model", merge_hint(folder)
    elif any(fnmatch(name, "0_*StaticEmbedding/*") for name in names) or {"modules.json", "tokenizer.json"} <= here:
        message = f"{where} holds static embeddings of sentence-transformers, and no transformer"
        hint = "choose a model with hidden states, such as the one that it was distilled from"
    elif "wordembedding_config.json" in here or any(fnmatch(name, "0_WordEmbeddings/*") for name in names):
        message = f"{where} holds word embeddings of sentence-transformers, and no transformer"
        hint = "choose a model with hidden states"
    elif CONFIG in here:
        message = f"{where} is not a model: its config.json is a link to a file that is missing"
        hint = "copy the files, not the links to them"
    elif "bert_config.json" in here and weights_name(here):
        message = f"{where} holds bert_config.json, and no config.json"
        hint = 'copy it to config.json, and add "model_type": "bert" to that'
    elif below:
        hint = _give(below[-1], folder)
    elif found := _first(here, *WEIGHTS, "model-*-of-*.safetensors", "pytorch_model-*-of-*.bin"):
        message = f"{where} holds weights ({found}), and no config.json"
        hint = "add the config.json that was saved with them"
    elif form := _form(here) or _form({PurePosixPath(name).name for name in names}):
        message, hint = f"{where} holds {form[1]} ({form[0]}), which kotovec does not read", form[2]
    elif found := _first(here, *_TOKENIZER):
        message = f"{where} holds a tokenizer ({found}), and no model"
        hint = "give the folder of the weights, with the tokenizer's files in it"
    elif found := _unfinished(names):
        message, hint = f"{where} holds an unfinished download ({found})", DOWNLOAD
    return ModelNotFoundError(message, hint=hint)


def refuse_without_weights(name: str, where: str, names: Collection[str], folder: Path | None = None) -> ModelError:
    """Return the error about a model without weights that are read, by what it holds instead.

    Args:
        name: name of the model.
        where: its folder or repository, as the message names it.
        names: paths of its files.
        folder: the folder, where it is one on this machine.
    """
    message = f"{name} has no weights: neither model.safetensors nor pytorch_model.bin is in {where}"
    here = {each for each in names if "/" not in each}
    broken = [each for each in WEIGHTS if folder and (folder / each).is_symlink() and not (folder / each).exists()]
    below = [each for each in names if "/" in each and PurePosixPath(each).name in WEIGHTS]
    other = sorted(each for each in here if fnmatch(each, "*.safetensors") and not _NUMBERED.fullmatch(each))
    parts = sorted(each for each in here if _NUMBERED.fullmatch(each))
    variants = sorted(each for each in here if _VARIANT.fullmatch(each))
    instead, hint = "", None
    if broken:
        instead, hint = f", and {broken[0]} is a link to a file that is missing", "copy the files, not the links to them"
    elif "adapter_config.json" in here:
        instead, hint = ", only an adapter", merge_hint(folder)
    elif variants:
        instead = f", only the variant {variants[0]}"
        hint = f"rename it to {'pytorch_model.bin' if variants[0].endswith('.bin') else 'model.safetensors'}"
    elif parts:
        instead = f", and no index names the parts ({parts[0]}, …)"
        hint = "download the index, too"
        if "." in parts[0].partition("-")[0] or re.search(r"\.(?!safetensors|bin)\w+-\d", parts[0]):
            instead, hint = f", only a variant ({parts[0]}, …)", "save it without `variant`"
    elif found := _unfinished(names):
        instead, hint = f", only an unfinished download ({found})", DOWNLOAD
    elif form := _form(here):
        instead, hint = f", only {form[1]} ({form[0]})", form[2]
    elif other:
        instead, hint = f", only {other[0]}", "rename it to model.safetensors if it holds the whole model"
    elif below:
        part = str(PurePosixPath(below[0]).parent)
        instead, hint = f", only in {part}", _give(part, folder)
    elif form := _form({PurePosixPath(each).name for each in names}):
        instead, hint = f", only {form[1]} ({form[0]})", form[2]
    else:
        hint = "download them into the folder of config.json"
    return ModelError(message + instead, hint=hint)


def merge_hint(folder: Path | None) -> str:
    """Return the step that makes a model of an adapter; it names the model where the adapter's config does."""
    try:
        base = None if folder is None else read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    except ModelError:
        base = None
    return MERGE.replace("its model", quoted(base), 1) if isinstance(base, str) and base else MERGE


def refuse_file(path: Path) -> ModelNotFoundError:
    """Return the error about a file in place of a model's folder."""
    form = _form({path.name})
    hint = "give the folder that holds config.json and the weights"
    if (path.parent / CONFIG).is_file():
        hint = f"give its folder, {path.parent}"
    elif form is not None and not path.name.startswith("consolidated"):
        return ModelNotFoundError(f"{path} is a file, {form[1]}", hint=form[2])
    return ModelNotFoundError(f"{path} is a file", hint=hint)


def check_content(folder: Path, weights: Iterable[Path]) -> None:
    """Check that the files of a model are no pointers, pages or messages in their place.

    Raises:
        ModelError: one is; the message names it.
    """
    weights = list(weights)
    small = [path for path in _entries(folder) if path.suffix in (".json", ".txt", ".model") and path.is_file()]
    for path in (*weights, *small):
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror})", hint="give this user access to it") from error
        if head.startswith(_HEADS):
            raise ModelError(
                f"{path} is a pointer of Git LFS, not the file itself",
                hint=f"run `git lfs pull` in {folder}, or {DOWNLOAD}",
            )
        if re.match(rb"\s*<(!doctype|html)", head, re.IGNORECASE):
            raise ModelError(f"{path} is a web page, not the file itself", hint=DOWNLOAD)
        if path in weights:
            _check_weights(path, head)


def _check_weights(path: Path, head: bytes) -> None:
    if not head:
        raise ModelError(f"{path} is empty", hint=DOWNLOAD)
    if head.startswith(b"GGUF"):
        raise ModelError(f"{path} is a GGUF file, which kotovec does not read", hint=_CONVERTED)
    if path.suffix == ".safetensors" and head.startswith(b"PK"):
        raise ModelError(f"{path} is not of safetensors, but of torch", hint="rename it to pytorch_model.bin")
    text = head.decode("utf-8", "replace").strip()
    if len(head) < HEAD_BYTES and text.isprintable() and " " in text:
        raise ModelError(f"{path} holds no weights, but a message ({quoted(text[:80])})", hint=DOWNLOAD)


def unreadable(path: Path, error: BaseException) -> ModelError:
    """Return the error about a weight file that does not open."""
    if isinstance(error, OSError) and error.errno is not None:
        return ModelError(f"{path} cannot be read ({error.strerror})", hint="give this user access to it")
    return ModelError(f"{path} is damaged ({first_line(error)})", hint=DOWNLOAD)


def _first(names: Iterable[str], *patterns: str) -> str | None:
    return next((name for pattern in patterns for name in sorted(names) if fnmatch(name, pattern)), None)


def _form(names: Collection[str]) -> tuple[str, str, str] | None:
    """Return the first file in another form of weights, what it is, and the step to a checkpoint of transformers."""
    found = ((_first(names, pattern), what, hint) for pattern, what, hint in _FORMS)
    return next(((name, what, hint) for name, what, hint in found if name is not None), None)


def _unfinished(names: Iterable[str]) -> str | None:
    return next((PurePosixPath(name).name for name in names if _UNFINISHED.fullmatch(name)), None)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which checkpoint-1000 comes after checkpoint-500."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _give(part: str, folder: Path | None) -> str:
    return f"give {folder / part}" if folder else f"download it, and give the folder {part} of it"
