"""The folder of a store: its paths, whether it can be opened, and how a new store replaces an old one."""

import contextlib
import ctypes
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotovec.errors import StoreError
from kotovec.space import Space
from kotovec.store import contents
from kotovec.store.files import PART, delete_parts, open_regular, sync, write_text

SUFFIX = ".kotovec"
ELSEWHERE = "name another path with --store"
_RENAME_EXCHANGE = 2  # renameat2(2)
_AT_FDCWD = -100


@dataclass(frozen=True)
class Layout:
    """The paths of a store in `folder`."""

    folder: Path

    @property
    def tokens(self) -> Path:
        """The table of the tokens, and where they came from; written first."""
        return self.folder / "tokens.h5"

    @property
    def spaces(self) -> Path:
        """The vectors, one file per space."""
        return self.folder / "spaces"

    def space(self, space: Space) -> Path:
        """The vectors of a space."""
        return self.spaces / f"{space.stem}.h5"

    @property
    def former(self) -> Path:
        """The file that holds the tokens and vectors of a store of format 1."""
        return self.folder / "vectors.h5"

    @property
    def tokenizer(self) -> Path:
        """The model's own tokenizer."""
        return self.folder / "tokenizer"

    @property
    def indexes(self) -> Path:
        """The faiss indexes."""
        return self.folder / "indexes"

    @property
    def maps(self) -> Path:
        """The maps."""
        return self.folder / "maps"

    @property
    def shards(self) -> Path:
        """Shard files, while a build is unfinished."""
        return self.folder / "shards"

    @property
    def plan(self) -> Path:
        """The settings of an unfinished build."""
        return self.shards / "plan.json"

    @property
    def rebuild(self) -> Path:
        """The folder in which `--overwrite` builds: beside the store, on the same file system."""
        return self.folder.with_name(f".{self.folder.name}.rebuild")

    @property
    def _aside(self) -> Path:
        """The folder that holds the old store for a moment during a swap in two steps."""
        return self.folder.with_name(f".{self.folder.name}.old")

    @property
    def lock(self) -> Path:
        """The lock of a build: beside the store, which may be swapped while the lock is held."""
        return self.folder.with_name(f".{self.folder.name}.lock")

    @property
    def is_store(self) -> bool:
        """Whether there are vectors, so that the store can be opened, even while more is being built."""
        return self.former.is_file() or (self.tokens.is_file() and any(self.spaces.glob("*.h5")))

    def read_plan(self) -> dict[str, Any] | None:
        """Return the settings of an unfinished build, or None if there is none."""
        try:
            with open_regular(self.plan) as file:
                settings = json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{self.plan} is damaged", hint=f"delete {self.shards} to start again") from error
        if not isinstance(settings, dict):
            raise StoreError(f"{self.plan} is damaged", hint=f"delete {self.shards} to start again")
        return settings

    def begin(self, settings: dict[str, Any]) -> None:
        """Create the folders and write the plan, so that a power cut leaves all of this or nothing.

        Args:
            settings: the settings of the build, JSON-ready.
        """
        self.shards.mkdir(parents=True, exist_ok=True)
        self._delete_parts()
        write_text(self.plan, json.dumps(settings, indent=1) + "\n")
        sync(self.folder)
        sync(self.folder.absolute().parent)

    def save_tokenizer(self, save: Callable[[Path], None]) -> None:
        """Save the model's tokenizer, completely or not at all.

        Args:
            save: the function that writes the tokenizer's files into a folder.
        """
        part = self.folder / f".kotovec-{secrets.token_hex(8)}.part"
        part.mkdir()
        save(part)
        paths = [*part.rglob("*"), part]
        for path in paths:
            sync(path)
        names = [path.relative_to(part).as_posix() for path in paths if path.is_file()]
        write_text(self.folder / contents.TOKENIZER_LIST, json.dumps(names))  # what `clear` may delete
        part.rename(self.tokenizer)
        sync(self.folder)

    def clear(self) -> None:
        """Delete what an unfinished build left behind.

        Raises:
            StoreError: something in the folders of the build is not kotovec's.
        """
        if not self.is_store:
            self.tokens.unlink(missing_ok=True)
        for part in (self.shards,) if self.is_store else (self.spaces, self.tokenizer, self.shards):
            contents.delete(self.folder, part.name)
            if part.exists():
                raise self._strange(contents.foreign(self.folder, part.name) or part.name)

    def delete_shards(self) -> None:
        """Delete the shard files, once their vectors have been merged."""
        contents.delete(self.folder, self.shards.name, ending=".h5")

    def delete_plan(self) -> None:
        """Delete the last trace of an unfinished build."""
        contents.delete(self.folder, self.shards.name)

    def recover(self) -> None:
        """Complete a swap in which a process was killed, and delete the store that was swapped out: it has no plan."""
        aside, new = Layout(self._aside), Layout(self.rebuild)
        if not self.folder.exists() and aside._is_store():
            (new.folder if new._is_store() else aside.folder).rename(self.folder)
        for folder in (aside.folder, new.folder):
            with contextlib.suppress(OSError):
                folder.rmdir()  # killed when only this was left to do
        if not self.is_store:  # what is here took no store's place: the one aside may be the only one
            return
        if aside._is_rest():
            contents.delete(aside.folder)
        if new._is_rest() and not new.plan.is_file():
            contents.delete(new.folder)

    def _is_store(self) -> bool:
        """Return whether the folder is a complete store that holds nobody else's files."""
        return self.is_store and self._is_rest()

    def _is_rest(self) -> bool:
        """Return whether the folder is a store, or the rest of one being deleted, and holds nobody else's files."""
        first = self.tokens.is_file() or self.former.is_file()
        return not self.folder.is_symlink() and first and contents.foreign(self.folder) is None

    def tidy(self) -> None:
        """After a build that failed: delete what is of no use to the next one, the folder itself if empty."""
        if self.folder.is_symlink():
            return
        if self.plan.is_file() and not any(self.shards.glob("*.h5")):
            self.clear()
        self._delete_parts()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _delete_parts(self) -> None:
        """Delete the files that a build was writing when it ended; only one build at a time holds the lock."""
        for folder in (self.folder, self.spaces, self.shards):
            delete_parts(folder)
        for path in self.folder.glob(".kotovec-*.part") if self.folder.is_dir() else ():
            if PART.fullmatch(path.name):
                contents.delete(self.folder, path.name)

    def check_usable(self, *, overwrite: bool = False) -> None:
        """Check that a build may write here, and would neither mix with somebody's files nor delete one.

        Args:
            overwrite: whether the build deletes an existing store, with everything in its folder.

        Raises:
            StoreError: the path is a file, a folder with other contents, or not writable.
        """
        if not self.folder.name:
            raise StoreError(f"{self.folder} cannot be a store", hint=ELSEWHERE)
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"{self.folder} is a file", hint=ELSEWHERE)
        for file in (self.tokens, self.former):
            if file.is_dir():  # the file could not replace it
                raise StoreError(f"{file} is a folder", hint=f"delete it, or {ELSEWHERE}")
        if self.folder.is_dir():
            self.check_contents(overwrite=overwrite)
        if overwrite:
            self._check_swap()
        nearest = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise StoreError(f"{nearest} is a file", hint=ELSEWHERE)
        for folder in {nearest, self.folder.absolute().parent} if self.folder.exists() else {nearest}:
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StoreError(f"{folder} is not writable", hint=ELSEWHERE)

    def _check_swap(self) -> None:
        """Raise a StoreError where a store could not be built beside this one, or not take its place."""
        if os.path.lexists(self.rebuild):
            if self.rebuild.is_symlink() or not self.rebuild.is_dir():  # what it leads to would be deleted
                raise StoreError(f"{self.rebuild} is in the way", hint="move it, and run the same command again")
            Layout(self.rebuild).check_contents(overwrite=True)
        if self.is_store and os.path.ismount(self.folder):
            raise StoreError(
                f"{self.folder} is a mount point, which --overwrite cannot swap", hint="build in a folder inside it"
            )

    def check_contents(self, *, overwrite: bool) -> None:
        """Raise a StoreError that names what in the folder is not kotovec's and would be in danger."""
        names = sorted(path.name for path in self.folder.iterdir())
        shown = [name for name in names if not name.startswith(".")]  # .DS_Store, parts
        strange = contents.foreign(self.folder) if overwrite else contents.foreign(self.folder, self.shards.name)
        parts = (self.tokens, self.former, self.spaces, self.tokenizer, self.indexes, self.maps, self.shards)
        unknown = sorted(set(shown) - {part.name for part in parts})
        firsts = (self.tokens, self.former)
        odd = [
            part.name
            for part in parts
            if part.is_symlink() or (part not in firsts and part.exists() and not part.is_dir())
        ]
        # Without the one file or a plan, these may be folders of those names of somebody's.
        nameless = [] if contents.is_store(self.folder) or self.read_plan() is not None else shown
        if nameless == [self.shards.name] and all(PART.fullmatch(path.name) for path in self.shards.iterdir()):
            nameless = []  # killed before it wrote its plan, or as it did
        for name in (*unknown, *odd, *filter(None, [strange]), *nameless):
            raise self._strange(name)

    def _strange(self, name: str) -> StoreError:
        what = "holds what is not kotovec's:" if self.is_store else "is not a store: it holds"
        return StoreError(f"{self.folder} {what} {name}", hint=f"move it, or {ELSEWHERE}")

    def swap(self, new: "Layout") -> None:
        """Replace this store with a complete new one, and delete the old one.

        If the kernel can exchange two names (Linux), there is no moment without a store; elsewhere `recover`
        completes a swap that was killed between its two renames.
        """
        replaced = new.folder
        if not _exchange(self.folder, new.folder):
            replaced = self._aside
            if replaced.exists():
                raise StoreError(f"{replaced} is in the way", hint="move it, and run the same command again")
            self.folder.rename(replaced)
            new.folder.rename(self.folder)
        sync(self.folder.absolute().parent)
        contents.delete(replaced)

    def size(self) -> int:
        """Return the size of all files in bytes."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; return whether the system could."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    paths = (os.fsencode(first), os.fsencode(second))
    return bool(renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)
