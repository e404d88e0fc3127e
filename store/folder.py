"""What a build does to the folder of a store as a whole: begin, clear, check, and swap it with a new one."""

import contextlib
import ctypes
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kotovec import access
from kotovec.errors import ACCESS, StoreError
from kotovec.store import contents
from kotovec.store.files import delete_parts, read_regular, sync, write_text
from kotovec.store.layout import HDF5, PART, PARTS, Layout, part_name

ELSEWHERE = "name another path with --store"
_RENAME_EXCHANGE = 2  # renameat2(2)
_AT_FDCWD = -100
MOST_PLAN = 1 << 20  # bytes of a plan; one of 1,000 layers has 20 KB


def read_plan(layout: Layout) -> dict[str, Any] | None:
    """Return the settings of an unfinished build, or None if there is none."""
    try:
        plan = json.loads(read_regular(layout.plan, MOST_PLAN))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:  # no damage: what is below it stays
        raise StoreError(f"{layout.plan} cannot be read ({error.strerror})", hint=ACCESS) from error
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{layout.plan} is damaged", hint=f"delete {layout.shards} to start again") from error
    if not _is_plan(plan):
        raise StoreError(f"{layout.plan} is damaged", hint=f"delete {layout.shards} to start again")
    return dict(plan)


def _is_plan(plan: Any) -> bool:
    """Return whether JSON is the plan of a build: of this format, or of kotovec 0.1.0, which wrote the settings alone.

    Any other object may be a file of somebody's, and its folder no build.
    """
    if not isinstance(plan, dict):
        return False
    if "settings" not in plan:
        return "weights" in plan
    spaces = plan.get("spaces", [])
    known = isinstance(spaces, list) and all(isinstance(name, str) for name in spaces)
    return known and isinstance(plan["settings"], dict)


def begin(layout: Layout, settings: dict[str, Any]) -> None:
    """Create the folders and write the plan, so that a power cut leaves all of this or nothing.

    Args:
        layout: the paths of the store.
        settings: the settings of the build, JSON-ready.
    """
    layout.shards.mkdir(parents=True, exist_ok=True)
    _delete_parts(layout)
    write_text(layout.plan, json.dumps(settings, indent=1) + "\n")
    sync(layout.folder)
    sync(layout.folder.absolute().parent)


def save_tokenizer(layout: Layout, save: Callable[[Path], None]) -> None:
    """Save the model's tokenizer, completely or not at all.

    Args:
        layout: the paths of the store.
        save: the function that writes the tokenizer's files into a folder.
    """
    part = layout.folder / part_name()
    part.mkdir()
    save(part)
    paths = [*part.rglob("*"), part]
    for path in paths:
        sync(path)
    names = [path.relative_to(part).as_posix() for path in paths if path.is_file()]
    write_text(layout.tokenizer_list, json.dumps(names))  # what `clear` may delete
    part.rename(layout.tokenizer)
    sync(layout.folder)


def clear(layout: Layout) -> None:
    """Delete what an unfinished build left behind.

    Raises:
        StoreError: something in the folders of the build is not kotovec's.
    """
    if not layout.is_store:
        layout.tokens.unlink(missing_ok=True)
        layout.contexts.unlink(missing_ok=True)
    for part in (layout.shards,) if layout.is_store else (layout.spaces, layout.tokenizer, layout.shards):
        contents.delete(layout.folder, part.name)
        if part.exists():
            raise _strange(layout, contents.foreign(layout.folder, part.name) or part.name)


def delete_shards(layout: Layout) -> None:
    """Delete the shard files, once their vectors have been merged."""
    contents.delete(layout.folder, layout.shards.name, ending=HDF5)


def delete_plan(layout: Layout) -> None:
    """Delete the last trace of an unfinished build."""
    contents.delete(layout.folder, layout.shards.name)


def recover(layout: Layout) -> None:
    """Complete a swap in which a process was killed, and delete the store that was swapped out: it has no plan."""
    aside, new = Layout(layout.aside), Layout(layout.rebuild)
    if not layout.folder.exists() and _is_store(aside):
        (new.folder if _is_store(new) else aside.folder).rename(layout.folder)
    for folder in (aside.folder, new.folder):
        with contextlib.suppress(OSError):
            folder.rmdir()  # killed when only this was left to do
    if not layout.is_store:  # what is here took no store's place: the one aside may be the only one
        return
    if _is_rest(aside):
        contents.delete(aside.folder)
    if _is_rest(new) and not new.plan.is_file():
        contents.delete(new.folder)


def _is_store(layout: Layout) -> bool:
    """Return whether the folder is a complete store that holds nobody else's files."""
    return layout.is_store and _is_rest(layout)


def _is_rest(layout: Layout) -> bool:
    """Return whether the folder is a store, or the rest of one being deleted, and holds nobody else's files."""
    first = layout.tokens.is_file() or layout.former.is_file()
    return not layout.folder.is_symlink() and first and contents.foreign(layout.folder) is None


def tidy(layout: Layout) -> None:
    """After a build that failed: delete what is of no use to the next one, the folder itself if empty."""
    if layout.folder.is_symlink():
        return
    if layout.plan.is_file() and not any(layout.shards.glob(f"*{HDF5}")):
        clear(layout)
    _delete_parts(layout)
    with contextlib.suppress(OSError):
        layout.folder.rmdir()


def _delete_parts(layout: Layout) -> None:
    """Delete the files that a build was writing when it ended; only one build at a time holds the lock."""
    for folder in (layout.folder, layout.spaces, layout.shards, layout.indexes):
        delete_parts(folder)
    for path in layout.folder.glob(PARTS) if layout.folder.is_dir() else ():
        if PART.fullmatch(path.name):
            contents.delete(layout.folder, path.name)


def check_usable(layout: Layout, *, overwrite: bool = False) -> None:
    """Check that a build can write here, and would neither mix with somebody's files nor delete one.

    Args:
        layout: the paths of the store.
        overwrite: whether the build deletes an existing store, with everything in its folder.

    Raises:
        StoreError: the path is a file, a folder with other contents, or not writable.
    """
    check_ours(layout, overwrite=overwrite)
    if layout.folder.exists():
        access.check_writable(layout.folder.absolute().parent, hint=ELSEWHERE)  # of the lock, and of a swap
    access.check_writable(layout.folder, hint=ELSEWHERE)


def check_ours(layout: Layout, *, overwrite: bool = False) -> None:
    """Check that a build here would neither mix with somebody's files nor delete one.

    Args:
        layout: the paths of the store.
        overwrite: whether the build deletes an existing store, with everything in its folder.

    Raises:
        StoreError: the path is a file, or a folder with other contents.
    """
    if not layout.folder.name:
        raise StoreError(f"{layout.folder} cannot be a store", hint=ELSEWHERE)
    if layout.folder.exists() and not layout.folder.is_dir():
        raise StoreError(f"{layout.folder} is a file", hint=ELSEWHERE)
    for file in (layout.tokens, layout.former, layout.contexts):
        if file.is_dir():  # the file could not replace it
            raise StoreError(f"{file} is a folder", hint=f"delete it, or {ELSEWHERE}")
    if layout.folder.is_dir():
        check_contents(layout, overwrite=overwrite)
    if overwrite:
        _check_swap(layout)
    nearest = access.existing(layout.folder)
    if not nearest.is_dir():
        raise StoreError(f"{nearest} is a file", hint=ELSEWHERE)


def _check_swap(layout: Layout) -> None:
    """Raise a StoreError where a store could not be built beside this one, or not take its place."""
    if os.path.lexists(layout.rebuild):
        if layout.rebuild.is_symlink() or not layout.rebuild.is_dir():  # what it leads to would be deleted
            raise StoreError(f"{layout.rebuild} is in the way", hint="move it, and run the same command again")
        check_contents(Layout(layout.rebuild), overwrite=True)
    if layout.is_store and os.path.ismount(layout.folder):
        raise StoreError(
            f"{layout.folder} is a mount point, which --overwrite cannot swap", hint="build in a folder inside it"
        )


def check_contents(layout: Layout, *, overwrite: bool) -> None:
    """Raise a StoreError that names what in the folder is not kotovec's and would be in danger."""
    names = sorted(path.name for path in layout.folder.iterdir())
    shown = [name for name in names if not name.startswith(".")]  # .DS_Store, parts
    strange = contents.foreign(layout.folder) if overwrite else contents.foreign(layout.folder, layout.shards.name)
    firsts = (layout.tokens, layout.former, layout.contexts)
    parts = (*firsts, layout.spaces, layout.tokenizer, layout.indexes, layout.maps, layout.measures, layout.shards)
    unknown = sorted(set(shown) - {part.name for part in parts})
    odd = [
        part.name for part in parts if part.is_symlink() or (part not in firsts and part.exists() and not part.is_dir())
    ]
    # Without the one file or a plan, these may be folders of those names of somebody's.
    nameless = [] if contents.is_store(layout.folder) or read_plan(layout) is not None else shown
    if nameless == [layout.shards.name] and all(PART.fullmatch(path.name) for path in layout.shards.iterdir()):
        nameless = []  # killed before it wrote its plan, or as it did
    for name in (*unknown, *odd, *filter(None, [strange]), *nameless):
        raise _strange(layout, name)


def _strange(layout: Layout, name: str) -> StoreError:
    what = "holds what is not kotovec's:" if layout.is_store else "is not a store: it holds"
    return StoreError(f"{layout.folder} {what} {name}", hint=f"move it, or {ELSEWHERE}")


def swap(layout: Layout, new: Layout) -> None:
    """Replace this store with a complete new one, and delete the old one.

    If the kernel can exchange two names (Linux), there is no moment without a store; elsewhere `recover`
    completes a swap that was killed between its two renames.
    """
    replaced = new.folder
    if not _exchange(layout.folder, new.folder):
        replaced = layout.aside
        if replaced.exists():
            raise StoreError(f"{replaced} is in the way", hint="move it, and run the same command again")
        layout.folder.rename(replaced)
        new.folder.rename(layout.folder)
    sync(layout.folder.absolute().parent)
    contents.delete(replaced)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; return whether the system could."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    paths = (os.fsencode(first), os.fsencode(second))
    return bool(renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)
