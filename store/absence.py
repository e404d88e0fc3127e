"""Why there is no store at a path, and what to do: no folder, a file, another folder, or a store that is unfinished.

And the other way round: which store a path belongs to that was given as something else.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

import h5py

from kotovec.errors import StoreNotFoundError, quoted
from kotovec.store import hdf5
from kotovec.store.files import open_regular
from kotovec.store.layout import Layout
from kotovec.text import argument

_ENDING = ".kotovec"
_BUILD = "build one with `kotovec build`"
_SHOWN = 3  # most stores that a hint names
_CONFIG = "config.json"  # of a model; a store has none


def explain(layout: Layout) -> StoreNotFoundError:
    """Return the error of a path at which no store can be opened; its hint is the step to one, where it is known."""
    folder = layout.folder
    if not folder.exists():
        return StoreNotFoundError(f"there is no folder {folder}", hint=_others(folder.parent) or _BUILD)
    around = store_around(folder)
    if not folder.is_dir():
        hint = f"{_BUILD}, in a folder" if around is None else f"name the store that it is part of: {around}"
        model = folder.parent
        if (model / _CONFIG).is_file():
            hint = f"build the store of that model: {_build(model)}"
        return StoreNotFoundError(f"{folder} is a file, and a store is a folder", hint=hint)
    if around not in (None, folder):
        return StoreNotFoundError(f"{folder} is a part of a store", hint=f"name the store that it is part of: {around}")
    if layout.plan.is_file() or layout.tokens.is_file():
        command = _command(layout.tokens)
        hint = "run its `kotovec build` command again" if command is None else f"run {quoted(command)} again"
        return StoreNotFoundError(f"{folder} is not finished", hint=f"{hint}; it resumes")
    if (folder / _CONFIG).is_file():
        hint = f"build its store: {_build(folder)}"
        return StoreNotFoundError(f"{folder} is a model, not a store", hint=hint)
    return StoreNotFoundError(
        f"{folder} is not a store: it holds no {layout.tokens.name}", hint=_others(folder) or _BUILD
    )


def store_around(path: Path) -> Path | None:
    """Return the store that a path is, or lies in; None if it does neither, or holds a model."""
    if not os.path.exists(path) or (path / _CONFIG).is_file():  # noqa: PTH110 — a name that is too long is no error
        return None
    if Layout(path).is_store:
        return path
    return next((each for each in path.absolute().parents if Layout(each).is_store), None)


def model_of(store: Path) -> str | None:
    """Return the name of the model that a store was made of, as it records it; None if it cannot be read."""
    layout = Layout(store)
    return _attribute(layout.tokens, "model") or _attribute(layout.former, "model")


def _others(folder: Path) -> str | None:
    """Return a hint that names the first stores in a folder; None without any."""
    with contextlib.suppress(OSError):
        stores = (path for path in sorted(folder.glob(f"*{_ENDING}")) if Layout(path).is_store)
        names = [str(path) for path, _ in zip(stores, range(_SHOWN), strict=False)]
        return f"name one that exists: {', '.join(names)}" if names else None
    return None


def _build(model: Path) -> str:
    return quoted(f"kotovec build {argument(str(model))}")


def _command(tokens: Path) -> str | None:
    """Return the command line that began a build, as its table of tokens records it; None if Python began it."""
    import shlex

    words = shlex.split(_attribute(tokens, "command") or "")
    return shlex.join(["kotovec", *words[1:]]) if words[1:2] == ["build"] else None


def _attribute(file: Path, name: str) -> str | None:
    with contextlib.suppress(*hdf5.UNREADABLE), open_regular(file) as raw, h5py.File(raw, "r") as opened:
        value: Any = hdf5.read_attributes(opened)[name]
        return str(value)
    return None
