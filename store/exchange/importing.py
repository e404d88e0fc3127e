"""Import: a file of vectors becomes a store with the space `imported`, completely or not at all.

The file is read twice, first for its words and then for its numbers, block by block: the table of a store comes before
its vectors, and two million vectors of 300 numbers are 2.4 GB.
"""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kotovec.errors import InputError, StoreError
from kotovec.space import Space
from kotovec.store import contents
from kotovec.store import folder as folders
from kotovec.store.exchange.arrays import open_npy, open_safetensors
from kotovec.store.exchange.arrow import open_arrow, open_parquet
from kotovec.store.exchange.binary import BinarySource
from kotovec.store.exchange.formats import Format, named, of_source
from kotovec.store.exchange.items import Items
from kotovec.store.exchange.keyedvectors import open_keyedvectors
from kotovec.store.exchange.ngrams import NgramSource
from kotovec.store.exchange.projector import ProjectorSource
from kotovec.store.exchange.streams import reading
from kotovec.store.exchange.text import Block, TextSource
from kotovec.store.files import sync
from kotovec.store.layout import IMPORTED, Layout
from kotovec.store.lock import locked
from kotovec.store.tokens import Strings, describe_words
from kotovec.store.writer import write_tokens, writing_space
from kotovec.version import __version__

START = 64  # bytes at the beginning of a file, from which its format is seen


class Source(Protocol):
    """A file of V vectors: its words are read first, then the vectors in the same order."""

    dimensions: int

    def where(self, row: int) -> str:
        """Return what an error names for a row."""

    def words(self) -> Iterator[bytes]:
        """Yield the V words in UTF-8."""

    def blocks(self) -> Iterator[Block]:
        """Yield the vectors in blocks of (n, D) float32."""


@dataclass(frozen=True)
class Imported:
    """What was imported: a file in a format, as (V, D) vectors."""

    file: Path
    format: Format
    store: Path
    words: int
    dimensions: int


def import_vectors(
    file: Path,
    store: Path,
    *,
    format: str | None = None,  # noqa: A002 — the option's name
    overwrite: bool = False,
    escaped: bool = False,
    words: Path | None = None,
    command: list[str] | None = None,
) -> Imported:
    """Import a file of vectors into a new store.

    Args:
        file: the file.
        store: path of the store's folder.
        format: name of the format; None for the one that the names says.
        overwrite: whether an existing store is replaced.
        escaped: whether the words are in the notation that an export wrote them in.
        words: a file of words, one per line, that the n-grams of a model of fastText answer.
        command: the command line, which the store records.

    Raises:
        InputError: the file cannot be read, or something in it is wrong; the message names the line.
        StoreError: there is a store already, or the path cannot be used.
        StoreBusyError: another process writes the store.
        DiskFullError: no space is left.
    """
    with reading(file) as opened:
        found = of_source(file, opened.read(START), None if format is None else named(format))
    if words is not None and found is not Format.FASTTEXT_BIN:
        raise InputError(f"{file} has no n-grams that answer other words ({found})", hint="leave out --words")
    source = open_source(file, found, words)
    layout = Layout(store.resolve())
    folders.check_usable(layout, overwrite=overwrite)
    with locked(layout):
        folders.recover(layout)
        if layout.folder.is_dir() and any(layout.folder.iterdir()) and not overwrite:
            raise StoreError(f"{store} exists", hint="add --overwrite to replace it, or name another folder")
        target = Layout(layout.rebuild)  # beside the store, which appears in one step
        contents.delete(target.folder)
        target.folder.mkdir()
        try:
            count = _write(target, source, file, found, escaped=escaped, command=command or [])
            sync(target.folder)
            if layout.folder.exists() and any(layout.folder.iterdir()):
                folders.swap(layout, target)
            else:
                target.folder.rename(layout.folder)
                sync(layout.folder.parent)
        except BaseException:
            contents.delete(target.folder)
            raise
    return Imported(file, found, store, count, source.dimensions)


def open_source(file: Path, found: Format, words: Path | None = None) -> Source:
    """Return a file as a source of vectors in a format; of further words, where n-grams answer them."""
    if found is Format.FASTTEXT_BIN:
        return NgramSource(file, words)
    sources: dict[Format, Callable[[Path], Source]] = {
        Format.WORD2VEC_BIN: BinarySource,
        Format.NPY: open_npy,
        Format.SAFETENSORS: open_safetensors,
        Format.PARQUET: open_parquet,
        Format.ARROW: open_arrow,
        Format.PROJECTOR: ProjectorSource,
        Format.KEYEDVECTORS: open_keyedvectors,
    }
    if found in sources:
        return sources[found](file)
    return TextSource(file, header=found is not Format.GLOVE)


def _write(layout: Layout, source: Source, file: Path, found: Format, *, escaped: bool, command: list[str]) -> int:
    """Write the table and the vectors; return V."""
    started = datetime.now(UTC)
    words = _gather(source, escaped=escaped)
    with file.open("rb") as raw:
        sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
    about = {"file": file.name, "format": str(found), "sha256": sha256, "escaped": escaped}
    noted = {
        "versions": json.dumps({"kotovec": __version__, "numpy": np.__version__}),
        "command": shlex.join(command),
        "started": started.isoformat(timespec="seconds"),
    }
    attributes = {"model": "", "weights_sha256": sha256, IMPORTED: json.dumps(about), "settings": "{}", **noted}
    identity = write_tokens(layout, describe_words(words, None), attributes)
    made: dict[str, Any] = {**noted, "versions": json.loads(noted["versions"]), "settings": about, "dtype": "float32"}
    shape = (len(words), source.dimensions)
    with writing_space(layout, Space(IMPORTED), shape, "float32", identity, made) as writer:
        for block in source.blocks():
            if writer.rows + len(block) > len(words):
                raise InputError(f"{file} changed while it was read", hint="run the same command again")
            writer.add(block)
        made["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        if writer.rows != len(words):
            raise InputError(f"{file} changed while it was read", hint="run the same command again")
    return len(words)


def _gather(source: Source, *, escaped: bool) -> Strings:
    items = Items(source.where, escaped=escaped)
    for word in source.words():
        items.add(word)
    return items.finish()
