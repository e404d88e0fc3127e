"""Why there is no store at a path, and what to do: no folder, a file, another folder, or a store that is unfinished."""

import contextlib
from pathlib import Path

import h5py

from kotovec.errors import StoreNotFoundError, quoted
from kotovec.store import hdf5
from kotovec.store.files import open_regular
from kotovec.store.layout import Layout

_ENDING = ".kotovec"
_BUILD = "build one with `kotovec build`"
_SHOWN = 3  # most stores that a hint names


def explain(layout: Layout) -> StoreNotFoundError:
    """Return the error of a path at which no store can be opened; its hint is the step to one, where it is known."""
    folder = layout.folder
    if not folder.exists():
        return StoreNotFoundError(f"there is no folder {folder}", hint=_others(folder.parent) or _BUILD)
    if not folder.is_dir():
        inside = next((each for each in folder.absolute().parents if Layout(each).is_store), None)
        hint = f"{_BUILD}, in a folder" if inside is None else f"name the store that it is part of: {inside}"
        return StoreNotFoundError(f"{folder} is a file, and a store is a folder", hint=hint)
    if layout.plan.is_file() or layout.tokens.is_file():
        command = _command(layout.tokens)
        hint = "run its `kotovec build` command again" if command is None else f"run {quoted(command)} again"
        return StoreNotFoundError(f"{folder} is not finished", hint=f"{hint}; it resumes")
    return StoreNotFoundError(
        f"{folder} is not a store: it holds no {layout.tokens.name}", hint=_others(folder) or _BUILD
    )


def _others(folder: Path) -> str | None:
    """Return a hint that names the first stores in a folder; None without any."""
    with contextlib.suppress(OSError):
        stores = (path for path in sorted(folder.glob(f"*{_ENDING}")) if Layout(path).is_store)
        names = [str(path) for path, _ in zip(stores, range(_SHOWN), strict=False)]
        return f"name one that exists: {', '.join(names)}" if names else None
    return None


def _command(tokens: Path) -> str | None:
    """Return the command line that began a build, as its table of tokens records it; None if Python began it."""
    import shlex

    with contextlib.suppress(*hdf5.UNREADABLE), open_regular(tokens) as raw, h5py.File(raw, "r") as file:
        words = shlex.split(str(hdf5.read_attributes(file)["command"]))
        return shlex.join(["kotovec", *words[1:]]) if words[1:2] == ["build"] else None
    return None
