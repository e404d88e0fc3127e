"""A model's files on a machine other than the driver's: found there, downloaded, or received in pieces."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kotovec import access
from kotovec.errors import InputError
from kotovec.ownership import is_private
from kotovec.workers import source as sources
from kotovec.workers.source import Source

DAY_SECONDS = 86_400.0
PIECE_BYTES = 32 << 20  # sent at once: small compared with a worker, and some 15 pieces for BERT-base


@dataclass(frozen=True)
class Checkpoint:
    """The files that a replica loads, identified by content: the same path may hold another model elsewhere.

    Attributes:
        source: the model, with the paths of the driver's machine.
        weights, config: SHA-256 of the model's weight files and of its `config.json`.
    """

    source: Source
    weights: str
    config: str

    def find(self) -> Path | None:
        """Return a folder of this machine that holds exactly these files; None where there is none.

        The path in the plan is tried first, then files that an earlier build received, then the Hub.
        """
        received = [folder for folder in self._cached() if is_private(folder.parent)]
        for folder in (self.source.folder, *received):
            if self._is_in(folder):
                return folder
        if self.source.repository is None:
            return None
        try:
            folder = sources.resolve(self.source.repository, self.source.revision).folder
        except InputError:  # the Hub is out of reach: the files can still be sent
            return None
        return folder if self._is_in(folder) else None

    def is_unchanged(self) -> bool:
        """Return whether the path in the plan still holds exactly these files."""
        return self._is_in(self.source.folder)

    def pieces(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield the files piece by piece: name, offset, bytes."""
        for path in self.source.files():
            with path.open("rb") as file:
                offset = 0
                while piece := file.read(PIECE_BYTES):
                    yield path.name, offset, piece
                    offset += len(piece)

    def receive(self, sender: str, name: str, offset: int, piece: bytes) -> None:
        """Write a piece into a folder of its sender, beside the final folder of the complete files."""
        path = self._part(sender) / name
        if not path.parent.exists():
            self._delete_remains()
            path.parent.mkdir(parents=True)
        with path.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(piece)

    def complete(self, sender: str) -> Path | None:
        """Rename the folder to its final path and return that; None where the files differ from those sent."""
        part, folder = self._part(sender), self._home()
        try:
            if self._is_in(folder):  # it may be in use, and is left unchanged
                return folder
            if not self._is_in(part):
                return None
            shutil.rmtree(folder, ignore_errors=True)
            try:
                part.rename(folder)
            except OSError:  # another build renamed its folder first
                return folder if self._is_in(folder) else None
            return folder
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _delete_remains(self) -> None:
        """Delete the remains of killed builds: no transfer takes as long as a day."""
        for left in self._home().parent.glob(".*.*-*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > DAY_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)

    def _is_in(self, folder: Path) -> bool:
        here = replace(self.source, folder=folder)
        try:
            return sources.hash_config(here) == self.config and sources.hash_weights(here) == self.weights
        except (InputError, OSError):
            return False

    def _part(self, sender: str) -> Path:
        return self._home().with_name(f".{self.weights[:16]}.{sender}")

    def _home(self) -> Path:
        """Return where received files go: the user's cache, or the temporary folder where there is no home.

        Another user may have created a folder or a link there before: a model is loaded only from a private folder.

        Raises:
            InputError: neither folder is private and writable.
        """
        for folder in self._cached():
            try:
                folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError:
                continue
            if is_private(folder.parent) and access.is_writable(folder.parent):
                return folder
        folders = " nor ".join(str(folder.parent) for folder in self._cached())
        raise InputError(
            f"neither {folders} can be written to by this user alone", hint="make one of them private with chmod 700"
        )

    def _cached(self) -> tuple[Path, ...]:
        name = self.weights[:16]
        home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 — never raises
        shared = Path(tempfile.gettempdir(), f"kotovec-{os.getuid()}", name)
        return (home / "kotovec" / name, shared) if home.is_absolute() else (shared,)
