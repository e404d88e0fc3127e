"""Kinds of corpus files by the ends of their names: text, JSON lines, Parquet, Wikipedia's dumps, and compressed."""

import re
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from urllib.parse import urlsplit

from kotovec.errors import MissingDependencyError
from kotovec.text import escaped

HINT = "name files that end in .txt, .jsonl, .parquet or .xml, the first two and the last also in .gz, .bz2 or .zst"


class Form(StrEnum):
    """What the bytes of a file are, once decompressed."""

    TEXT = "text"
    JSON = "json"
    PARQUET = "parquet"
    WIKIPEDIA = "wikipedia"


class Packing(StrEnum):
    """How a file is compressed."""

    NONE = "none"
    GZIP = "gz"
    BZIP2 = "bz2"
    ZSTD = "zst"


@dataclass(frozen=True)
class Kind:
    """Form and compression of a file."""

    form: Form
    packing: Packing


_FORMS = {
    ".txt": Form.TEXT,
    ".text": Form.TEXT,
    ".json": Form.JSON,
    ".jsonl": Form.JSON,
    ".ndjson": Form.JSON,
    ".parquet": Form.PARQUET,
}
_PACKINGS = {".gz": Packing.GZIP, ".bz2": Packing.BZIP2, ".zst": Packing.ZSTD, ".zstd": Packing.ZSTD}
_DUMP = re.compile(r"\.xml(-p[^./]*)?$")  # parts of a dump are called `….xml-p1p41242.bz2`
_INDEX = re.compile(r"-multistream-index\d*\.txt$")  # beside a dump, and no text
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)
_WEB = ("http", "https")
_PACKAGES = {Form.PARQUET: ("Parquet", "pyarrow"), Packing.ZSTD: (".zst", "zstandard")}


def is_url(path: str) -> bool:
    """Return whether a path names a file system of fsspec, such as `hf://datasets/…`."""
    return _REMOTE.match(path) is not None


def is_web(path: str) -> bool:
    """Return whether a path is a page of the web, whose query (`?…`) is no pattern and no part of the name."""
    return is_url(path) and urlsplit(path).scheme.lower() in _WEB


def kind_of(path: str) -> Kind | None:
    """Return the kind of a file by its name; None for one that is not known."""
    name = (urlsplit(path).path if is_web(path) else path).rpartition("/")[2].lower()
    packing = Packing.NONE
    for suffix, each in _PACKINGS.items():
        if name.endswith(suffix):
            name, packing = name.removesuffix(suffix), each
            break
    form = next((each for suffix, each in _FORMS.items() if name.endswith(suffix)), None)
    if form is None and _DUMP.search(name):
        form = Form.WIKIPEDIA
    if form is None or _INDEX.search(name) or (form is Form.PARQUET and packing is not Packing.NONE):
        return None
    return Kind(form, packing)


def check_packages(path: str, kind: Kind) -> None:
    """Check that what reads a kind of file is installed.

    Raises:
        MissingDependencyError: it is not.
    """
    for each in (kind.form, kind.packing):
        name, package = _PACKAGES.get(each, ("", ""))
        if package and find_spec(package) is None:
            raise MissingDependencyError(
                f"{name} needs {package} to be read ({escaped(path)})", hint="install it: pip install 'kotovec[corpus]'"
            )
