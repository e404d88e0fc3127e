"""The folder of a store: what lies where, whether it is finished, and how a new one takes an old one's place."""

import contextlib
import ctypes
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotovec.errors import StoreError
from kotovec.store import index, tokenizer, vectors
from kotovec.store.files import sync, write_text

SUFFIX = ".kotovec"
_RENAME_EXCHANGE = 2  # renameat2(2)
_AT_FDCWD = -100


@dataclass(frozen=True)
class Layout:
    """The paths of a store in `folder`."""

    folder: Path

    @property
    def vectors(self) -> Path:
        """The one file that matters; a store is finished when it is there."""
        return self.folder / vectors.FILE

    @property
    def tokenizer(self) -> Path:
        """The model's own tokenizer."""
        return self.folder / tokenizer.FOLDER

    @property
    def indexes(self) -> Path:
        """The faiss indexes."""
        return self.folder / index.FOLDER

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
        """Where `--overwrite` builds: beside the store, on the same file system."""
        return self.folder.with_name(f".{self.folder.name}.rebuild")

    @property
    def _aside(self) -> Path:
        """Where a swap in two steps puts the old store for a moment."""
        return self.folder.with_name(f".{self.folder.name}.old")

    @property
    def lock(self) -> Path:
        """The lock of a build: beside the store, as the store may be swapped under it."""
        return self.folder.with_name(f".{self.folder.name}.lock")

    def read_plan(self) -> dict[str, Any] | None:
        """Return the settings of an unfinished build, or None where there is none."""
        try:
            settings = json.loads(self.plan.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.plan} is damaged: delete {self.shards} to start anew") from error
        if not isinstance(settings, dict):
            raise StoreError(f"{self.plan} is damaged: delete {self.shards} to start anew")
        return settings

    def begin(self, settings: dict[str, Any]) -> None:
        """Make the folders and write the plan, so that a power cut leaves them or nothing."""
        self.shards.mkdir(parents=True, exist_ok=True)
        write_text(self.plan, json.dumps(settings, indent=1) + "\n")
        sync(self.folder)
        sync(self.folder.absolute().parent)

    def clear(self) -> None:
        """Delete what an unfinished build left."""
        for folder in (self.shards, self.tokenizer):
            if folder.is_dir():
                shutil.rmtree(folder)

    def delete_shards(self) -> None:
        """Delete the shard files: the merged file has what was in them."""
        for file in self.shards.glob("*.h5"):
            file.unlink()

    def delete_plan(self) -> None:
        """Delete the last trace of an unfinished build."""
        if self.shards.is_dir():
            shutil.rmtree(self.shards)

    def recover(self) -> None:
        """End a swap in which a process was killed, and delete the store that was swapped out: it has no plan."""
        new = Layout(self.rebuild)
        if self._aside.is_dir():
            if not self.folder.exists():
                (new.folder if new.vectors.is_file() else self._aside).rename(self.folder)
            shutil.rmtree(self._aside, ignore_errors=True)
        if self.vectors.is_file() and new.folder.is_dir() and not new.plan.is_file():
            shutil.rmtree(new.folder)

    def tidy(self) -> None:
        """After a build that failed: delete what is of no use to the next one, the folder itself if empty."""
        if self.shards.is_dir() and not any(self.shards.glob("*.h5")) and not self.vectors.exists():
            self.clear()
        for part in self.folder.glob(".*.part"):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def check_usable(self) -> None:
        """Make sure that a build may write here, and would not mix with somebody's files.

        Raises:
            StoreError: a file, a folder of other things, or not writable.
        """
        if not self.folder.name:
            raise StoreError(f"{self.folder} cannot be a store: name another place with --store")
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"{self.folder} is a file: name another place with --store")
        if self.vectors.is_dir():  # the merged file could not take its place, after hours
            raise StoreError(f"{self.vectors} is a folder: delete it, or name another place with --store")
        if self.folder.is_dir():
            ours = {self.vectors.name, self.tokenizer.name, self.indexes.name, self.shards.name, "maps"}
            names = (path.name for path in self.folder.iterdir() if not path.name.startswith("."))  # .DS_Store, parts
            strange = sorted(set(names) - ours)
            if strange:
                raise StoreError(
                    f"{self.folder} is not a store: it holds {strange[0]}; name another place with --store"
                )
        nearest = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise StoreError(f"{nearest} is a file: name another place with --store")
        for place in {nearest, self.folder.absolute().parent} if self.folder.exists() else {nearest}:
            if not os.access(place, os.W_OK | os.X_OK):
                raise StoreError(f"{place} is not writable: name another place with --store")

    def swap(self, new: "Layout") -> None:
        """Put a finished new store in the place of this one, and delete the old one.

        Where the kernel can exchange two names (Linux), there is no moment without a store; elsewhere `recover`
        ends what a kill between the two renames leaves.
        """
        replaced = new.folder
        if not _exchange(self.folder, new.folder):
            replaced = self._aside
            self.folder.rename(replaced)
            new.folder.rename(self.folder)
        sync(self.folder.absolute().parent)
        shutil.rmtree(replaced, ignore_errors=True)

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; tell whether the system could."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    paths = (os.fsencode(first), os.fsencode(second))
    return bool(renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)
