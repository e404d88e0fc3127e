"""Stores of format 1, which kotovec 0.1.0 wrote: all vectors in one `vectors.h5`. They are read, but not written."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from kotovec.errors import DamagedError
from kotovec.space import Space
from kotovec.store import checksum, hdf5
from kotovec.store.opened import CURE, MOST_TEXT, MOST_TOKENS, Dataset, File, SpaceFile
from kotovec.store.tokens import Strings

_NAMES = (
    *(f"tokens/{name}" for name in ("id", "text", "surface", "kind")),
    *(f"vectors/{name}" for name in ("static", "static_norms", "isolated", "isolated_norms")),
)
_OF_VECTORS = ("dtype", "device", "hosts", "cpus", "started", "finished", "command", "versions")


def open_store(path: Path) -> tuple[File, dict[str, Any], dict[str, Dataset], dict[Space, "File | SpaceFile"]]:
    """Open a `vectors.h5`; return the file, its attributes, its token tables in the form of format 2, and its spaces.

    Raises:
        StoreError, DamagedError: as in `kotovec.store.opened.File.read`.
    """
    file = File(path)
    try:
        attributes, found = file.read("kotovec-store", _NAMES)
        try:
            attributes |= {name: file.attributes("tokens")[name] for name in ("marking", "unk_id")}
            layers = file.attributes("vectors/isolated")["layers"]
            return file, attributes, _tables(file, found), _spaces(found, layers, attributes)
        except hdf5.UNREADABLE as error:
            raise file.unreadable(error) from error
    except BaseException:
        file.close()
        raise


def _tables(file: File, found: dict[str, Dataset]) -> dict[str, Dataset]:
    """Return the tables; texts, which in this format have the width of the longest, become one block."""
    tables = {}
    for name in ("id", "text", "surface", "kind"):
        table = found[f"tokens/{name}"]
        if table.array.size > MOST_TOKENS or table.array.nbytes > MOST_TEXT:  # before they become objects of Python
            raise DamagedError(f"{file.path} claims more tokens than any model has", hint=CURE)
        if not table.is_whole():
            raise DamagedError(f"{file.path}: tokens/{name} does not match its checksum", hint=CURE)
        if name in ("text", "surface"):
            block = np.frombuffer(Strings(np.asarray(table.array).tolist()).block, dtype=np.uint8)
            table = Dataset(block, checksum.of_array(block))
        tables[name] = table
    return tables


def _spaces(
    found: dict[str, Dataset], layers: list[int], attributes: dict[str, Any]
) -> "dict[Space, File | SpaceFile]":
    rows = len(found["tokens/id"].array)
    made = {name: attributes[name] for name in _OF_VECTORS if name in attributes}
    made |= {name: json.loads(attributes[name]) for name in ("settings", "versions")}
    static, norms = found["vectors/static"], found["vectors/static_norms"]
    states, lengths = found["vectors/isolated"], found["vectors/isolated_norms"]
    shapes = static.array.shape[:1], norms.array.shape, states.array.shape[:2], lengths.array.shape
    if shapes != ((rows,), (rows,), (len(layers), rows), (len(layers), rows)):
        raise ValueError("datasets have other shapes than the tokens")
    spaces: dict[Space, File | SpaceFile] = {Space("static"): SpaceFile(static, norms, made)}
    for index, layer in enumerate(layers):
        spaces[Space("isolated", layer)] = SpaceFile(
            Dataset(states.array[index], states.sha256, states.array),
            Dataset(lengths.array[index], lengths.sha256, lengths.array),
            made,
        )
    return spaces
