"""What a folder or a repository holds where it is no model that can be read, and the step that makes one of it.

People have checkpoints in many forms: of sentence-transformers, adapters, GGUF, ONNX, variants, half of a download.
Each is recognized by the names of its files, so that a repository is refused before anything is downloaded.
"""

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path, PurePosixPath

from kotovec.errors import ACCESS, ModelError, ModelNotFoundError, first_line, quoted
from kotovec.workers.claims import ADAPTER, CONFIGS, MERGE, merge_hint
from kotovec.workers.json_files import DOWNLOAD, read_json

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
DEEPEST = 4  # folders below a given one that are searched for a model: ORG/models--X/snapshots/COMMIT
MOST_ENTRIES = 10_000
HEAD_BYTES = 512
_LINKS = "copy the files, not the links to them"
_CONVERTED = "give the checkpoint that it was converted from, in safetensors"
_BY_4 = "convert it with transformers 4: AutoModel.from_pretrained(FOLDER, {}=True).save_pretrained(FOLDER)"
_TRANSFORMER = re.compile(r"0_[\w\-]+")  # the folder of the first module in older models of sentence-transformers
_VARIANT = re.compile(r"(model|pytorch_model)\.(?!index\b)([\w\-]+)\.(safetensors|bin)|model_[\w\-]+\.safetensors")
_NUMBERED = re.compile(r"(model|pytorch_model)([.\-][\w.\-]+)?-\d{5}-of-\d{5}\.(safetensors|bin)")
_UNFINISHED = re.compile(r".*\.(incomplete|part|partial|crdownload|aria2|download|tmp)")
# Of any program: only files at the top are meant for a model. A folder of photographs has its archives further down.
_CHECKPOINTS = ("*.ckpt", "*.pt", "*.pth")
_ARCHIVES = ("*.tar", "*.tar.*", "*.tgz", "*.zip", "*.7z")
# Other forms of weights: patterns of a file's name, what it is, and the step to a checkpoint of transformers.
_FORMS = (
    (("adapter_model.*", "pytorch_adapter.bin"), "an adapter", MERGE),
    (("*.gguf",), "a GGUF file", _CONVERTED),
    (("ggml-*.bin",), "a GGML file", _CONVERTED),
    (("*.onnx",), "an ONNX model", _CONVERTED),
    (("openvino_model*.xml",), "an OpenVINO model", _CONVERTED),
    (("tf_model*.h5",), "TensorFlow weights", _BY_4.format("from_tf")),
    (("flax_model*.msgpack",), "Flax weights", _BY_4.format("from_flax")),
    (
        ("*.ckpt*.index", "*.ckpt*.data-*"),
        "a checkpoint of TensorFlow 1",
        "convert it with transformers 4: transformers-cli convert",
    ),
    (("rust_model.ot",), "weights of rust-bert", _CONVERTED),
    (("*.mlpackage", "*.mlmodel"), "a Core ML model", _CONVERTED),
    (("*.tflite",), "a TensorFlow Lite model", _CONVERTED),
    (("*.engine",), "a TensorRT engine", _CONVERTED),
    (("weights.npz",), "weights of MLX", _CONVERTED),
    (
        ("consolidated*",),
        "weights in their maker's own form",
        "choose the repository in the form of transformers (-hf)",
    ),
    (("*.distcp",), "a sharded checkpoint of FSDP", "merge it: accelerate merge-weights FOLDER FOLDER"),
    (("zero_to_fp32.py",), "a checkpoint of DeepSpeed", "run `python zero_to_fp32.py . .` in it"),
    (("*.nemo",), "a model of NeMo", _CONVERTED),
    (_CHECKPOINTS, "a checkpoint of another program", "save the model in it with save_pretrained"),
    (_ARCHIVES, "an archive", "unpack it, and give the folder that holds config.json"),
)
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
_HEADS = (b"version https://git-lfs", b"/annex/objects/", b"# xet version")


def weights_name(names: Collection[str]) -> str | None:
    """Return the name of the file, or of the index, that transformers reads the weights from; None without any."""
    return next((name for name in WEIGHTS if name in names), None)


def names_in(folder: Path) -> list[str]:
    """Return the paths of the files in a folder, at most `DEEPEST` folders below it, ascending by depth.

    Of hidden folders only that of unfinished downloads is entered: an environment of Python holds files of all kinds.
    """
    found: list[str] = []
    folders = [folder]
    for _ in range(DEEPEST + 1):
        entries = [entry for each in folders for entry in _entries(each)]
        found += sorted(Path(entry).relative_to(folder).as_posix() for entry in entries if not _is_folder(entry))
        folders = [
            Path(each)
            for each in entries
            if _is_folder(each, links=False) and (each.name == ".cache" or not each.name.startswith("."))
        ]
        if len(found) > MOST_ENTRIES:
            break
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # of another user
        return []


def _is_folder(entry: os.DirEntry[str], *, links: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError:  # its own folder is of another user
        return False


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
    found = chain(_other_kinds(names, folder), _parts_of_model(names, folder))
    hint = "give the folder that holds the config.json and the weights of a model, an id on the Hub, or `demo`"
    what, hint = next(found, ("is not a model: it holds no config.json", hint))
    return ModelNotFoundError(f"{where} {what}", hint=hint)


def _other_kinds(names: Collection[str], folder: Path | None) -> Iterator[tuple[str, str]]:
    """Yield which other kind of model a folder holds, and a hint."""
    here = _at_top(names)
    if ADAPTER in here:
        yield f"holds an adapter alone ({ADAPTER}), and no model", merge_hint(folder)
    unconfigured = {"modules.json", "tokenizer.json"} <= set(here) and not _first(names, "1_Pooling/*")
    if _first(names, "0_*StaticEmbedding/*") or unconfigured:
        yield (
            "holds static embeddings of sentence-transformers, and no transformer",
            "choose a model with hidden states, such as the one that it was distilled from",
        )
    if _first(names, "wordembedding_config.json", "0_WordEmbeddings/*"):
        yield "holds word embeddings of sentence-transformers, and no transformer", "choose a model with hidden states"
    if "bert_config.json" in here and weights_name(here):
        yield (
            "holds bert_config.json, and no config.json",
            'copy it to config.json, and add "model_type": "bert" to that',
        )


def _parts_of_model(names: Collection[str], folder: Path | None) -> Iterator[tuple[str, str]]:
    """Yield which part of a model a folder holds, and a hint; the likeliest first."""
    here = _at_top(names)
    if CONFIG in here:
        missing = folder is None or not (folder / CONFIG).exists()
        what, hint = ("a link to a file that is missing", _LINKS) if missing else ("a pipe or a device", DOWNLOAD)
        yield f"is not a model: its config.json is {what}", hint
    below = [str(PurePosixPath(name).parent) for name in names if name.endswith(f"/{CONFIG}")]
    if below := [name for name in below if not name.startswith(".")]:
        yield "is not a model: it holds no config.json", _give(max(below, key=_natural), folder)
    if found := _first(here, *WEIGHTS, "model-*-of-*.safetensors", "pytorch_model-*-of-*.bin"):
        yield f"holds weights ({found}), and no config.json", "add the config.json that was saved with them"
    if form := _form(names):
        yield f"holds {form[1]} ({form[0]}), which kotovec does not read", form[2]
    if found := _first(here, *_TOKENIZER):
        hint = "give the folder of the weights, with the tokenizer's files in it"
        yield f"holds a tokenizer ({found}), and no model", hint
    if found := _unfinished(names):
        yield f"holds an unfinished download ({found})", DOWNLOAD


def refuse_without_weights(name: str, where: str, names: Collection[str], folder: Path | None = None) -> ModelError:
    """Return the error about a model without weights that are read, by what it holds instead.

    Args:
        name: name of the model.
        where: its folder or repository, as the message names it.
        names: paths of its files.
        folder: the folder, where it is one on this machine.
    """
    found = chain(_broken(folder), _other_weights(names, folder))
    instead, hint = next(found, ("", "download them into the folder of config.json"))
    return ModelError(
        f"{name} has no weights: neither model.safetensors nor pytorch_model.bin is in {where}{instead}", hint=hint
    )


def _broken(folder: Path | None) -> Iterator[tuple[str, str]]:
    """Yield the weights that are links to nothing, as in a copy of a snapshot without its blobs."""
    paths = [] if folder is None else [folder / name for name in WEIGHTS]
    for path in paths:
        if path.is_symlink() and not path.exists():
            yield f", and {path.name} is a link to a file that is missing", _LINKS


def _other_weights(names: Collection[str], folder: Path | None) -> Iterator[tuple[str, str]]:
    """Yield what a folder holds instead of the weights, and a hint; the likeliest first."""
    here = _at_top(names)
    if ADAPTER in here:
        yield ", only an adapter", merge_hint(folder)
    if part := next((each for each in here if _NUMBERED.fullmatch(each)), None):
        if _first(here, "*.index.*.json"):
            yield f", only a variant in parts ({part}, …)", "load it with `variant`, and save it without"
        yield f", and no index names the parts ({part}, …)", "download the index, too"
    if variant := next((each for each in here if _VARIANT.fullmatch(each)), None):
        new = "pytorch_model.bin" if variant.endswith(".bin") else "model.safetensors"
        yield f", only the variant {variant}", f"rename it to {new}"
    if found := _unfinished(names):
        yield f", only an unfinished download ({found})", DOWNLOAD
    if form := _form(here):
        yield f", only {form[1]} ({form[0]})", form[2]
    if other := _first(here, "*.safetensors"):
        yield f", only {other}", "rename it to model.safetensors if it holds the whole model"
    if below := next((each for each in names if PurePosixPath(each).name in WEIGHTS), None):
        part = str(PurePosixPath(below).parent)
        yield f", only in {part}", f"{_give(part, folder)}, with config.json in it"
    if form := _form(names):
        yield f", only {form[1]} ({form[0]})", form[2]


def refuse_file(path: Path) -> ModelNotFoundError:
    """Return the error about a file in place of a model's folder."""
    form = _form({path.name})
    hint = "give the folder that holds config.json and the weights"
    if (path.parent / CONFIG).is_file():
        hint = f"give its folder, {path.parent}"
    elif form is not None and not path.name.startswith("consolidated"):
        return ModelNotFoundError(f"{path} is a file, {form[1]}", hint=form[2])
    return ModelNotFoundError(f"{path} is a file", hint=hint)


def check_files(paths: Iterable[Path], *, weights: bool = False) -> None:
    """Check that the files of a model are no pointers, pages or messages in their place.

    Args:
        paths: the files.
        weights: whether they are weights, which are neither empty nor texts.

    Raises:
        ModelError: one is; the message names it.
    """
    for path in paths:
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            raise unreadable(path, error) from error
        if head.startswith(_HEADS):
            raise ModelError(
                f"{path} is a pointer of Git LFS, not the file itself",
                hint=f"run `git lfs pull` in {path.parent}, or {DOWNLOAD}",
            )
        if re.match(rb"\s*<(!doctype|html)", head, re.IGNORECASE):
            raise ModelError(f"{path} is a web page, not the file itself", hint=DOWNLOAD)
        if weights:
            _check_weights(path, head)


def small_files(folder: Path) -> list[Path]:
    """Return the regular files of a model beside weights and configs, of the endings that are texts or pieces."""
    paths = (Path(entry) for entry in _entries(folder) if entry.name not in CONFIGS)
    return [path for path in paths if path.suffix in (".json", ".txt", ".model") and path.is_file()]


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
    """Return the error about a file of a model that does not open: it is damaged, or this machine cannot read it."""
    number = error.errno if isinstance(error, OSError) else None
    if found := re.search(r"\(os error (\d+)\)", str(error)):  # of safetensors
        number = int(found[1])
    if number is None:
        return ModelError(f"{path} is damaged ({first_line(error)})", hint=DOWNLOAD)
    hint = ACCESS if number in (errno.EACCES, errno.EPERM) else "check this machine's disk and memory"
    return ModelError(f"{path} cannot be read ({os.strerror(number)})", hint=hint)


def _first(names: Iterable[str], *patterns: str) -> str | None:
    return next((name for pattern in patterns for name in sorted(names) if fnmatch(name, pattern)), None)


def _at_top(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if "/" not in name)


def _form(names: Collection[str]) -> tuple[str, str, str] | None:
    """Return the first file in another form of weights, what it is, and the step to a checkpoint of transformers."""
    here, anywhere = _at_top(names), sorted({PurePosixPath(name).name for name in names})
    found = (
        (_first(here if patterns in (_CHECKPOINTS, _ARCHIVES) else anywhere, *patterns), what, hint)
        for patterns, what, hint in _FORMS
    )
    return next(((name, what, hint) for name, what, hint in found if name is not None), None)


def _unfinished(names: Iterable[str]) -> str | None:
    return next((PurePosixPath(name).name for name in names if _UNFINISHED.fullmatch(name)), None)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which checkpoint-1000 comes after checkpoint-500."""
    return [(int(part or 0), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _give(part: str, folder: Path | None) -> str:
    return f"give {folder / part}" if folder else f"download it, and give the folder {part} of it"
