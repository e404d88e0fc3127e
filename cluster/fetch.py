"""Fetch a finished store from a cluster through its Jobs API alone, in checksummed pieces that can be resumed.

The Jobs API has no file download, but it has a job's log, of which a WebSocket carries 250 MB/s. So a small job
(`kotovec.cluster.pieces`) writes the store's pieces there in Base64. They are laid beside the target, in files of
their full size with holes: a piece that has the checksum which the manifest names is here, any other is asked for.
"""

import base64
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import compress, islice
from pathlib import Path, PurePosixPath
from typing import Any

from kotovec.cluster.pieces import MARK, Piece, pieces_of, read_piece, state_of, write_numbers
from kotovec.cluster.submit import Jobs
from kotovec.errors import DamagedError, DiskFullError, InputError, KotovecError, StoreError, WorkerError
from kotovec.store import trees
from kotovec.store.files import PART, disk_full, is_disk_full, open_below, open_regular, sync, write_text
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

ROUND_PIECES = 512  # the log of one job grows to 0.7 GB before it is emptied
POLLED_PIECES = 32  # without a WebSocket a log goes whole through three processes' memory, at 18 MB/s
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: bytes of the store, those of them that came in this run, and seconds."""

    store: Path
    bytes: int
    received: int
    seconds: float


class Partial:
    """What is here of a store, in a folder beside the one that it becomes.

    Attributes:
        pieces: of the store on the cluster, by their numbers; none before a manifest has told.
        known: the `state_of` that manifest, or `-`.
        done: bytes that are here as they should be.
    """

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(f".{target.name}.fetch")
        self.pieces: list[Piece] = []
        self.known, self.done = "-", 0
        self._target = target
        self._store = self.folder / "store"
        self._files: list[dict[str, Any]] = []
        self._here: set[int] = set()  # each piece is hashed once, when it is found here or laid in its place
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, DamagedError):
            with open_regular(self.folder / "manifest.json") as file:
                files = json.load(file)["files"]
            _check_names(files)
            self.pieces, self.known, self._files = pieces_of(files), state_of(files), files
        self._check_ours()
        if self._files:
            with contextlib.suppress(OSError):
                self._lay_out()
                self._check()

    @property
    def size(self) -> int:
        """Bytes of the whole store."""
        return sum(file["bytes"] for file in self._files)

    def _check_ours(self) -> None:
        """Refuse a folder that no fetch has made: it may be deleted, and what its manifest names is overwritten.

        Raises:
            StoreError: it is a link or another user's, or something else is in it.
        """
        if not os.path.lexists(self.folder):
            return
        own = self.folder.is_dir() and not self.folder.is_symlink() and self.folder.stat().st_uid == os.geteuid()
        if not own or not all(map(self._is_known, trees.walk(self.folder))):
            raise StoreError(f"{self.folder} is not kotovec's: move it, or name another place with --fetch")

    def _is_known(self, entry: trees.Entry) -> bool:
        """Tell whether something in the folder is of a fetch."""
        if entry.is_folder:
            return entry.path.split("/")[0] == "store"
        known = {"manifest.json", *(f"store/{file['path']}" for file in self._files)}
        return entry.is_file and (entry.path in known or PART.fullmatch(entry.path) is not None)

    def _delete(self) -> None:
        trees.delete(self.folder, self._is_known)

    def _lay_out(self) -> None:
        """Give every file its size; what it lacks becomes a hole."""
        self._store.mkdir(parents=True, exist_ok=True)
        for file in self._files:
            with open_below(self._store, file["path"], os.O_WRONLY | os.O_CREAT) as descriptor:
                os.ftruncate(descriptor, file["bytes"])

    def _check(self) -> None:
        """Hash what is here."""
        read = (read_piece(self._store, piece.path, piece.offset, piece.size) for piece in self.pieces)
        self._keep(_is(piece, data) for piece, data in zip(self.pieces, read, strict=True))

    def _keep(self, right: Iterable[bool]) -> None:
        """Take those pieces as being here for which it says so."""
        self._here = set(compress(range(len(self.pieces)), right))
        self.done = sum(self.pieces[number].size for number in self._here)

    def begin(self, files: list[dict[str, Any]]) -> None:
        """Take the manifest of the store as it is now; keep what is here if it is of the same.

        Raises:
            DamagedError: it names a file outside of the store.
            DiskFullError: the disk has no room for the store.
        """
        _check_names(files)
        if [file | {"changed": 0} for file in files] != [file | {"changed": 0} for file in self._files]:
            self._delete()
            self._store.mkdir(parents=True, exist_ok=True)
            size, free = sum(file["bytes"] for file in files), shutil.disk_usage(self.folder).free
            if free < size:
                raise DiskFullError(
                    f"{self._target} needs {size / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB free: "
                    "free some, or name another place with --fetch"
                )
            self.pieces, self._files = pieces_of(files), files
            write_text(self.folder / "manifest.json", json.dumps({"files": files}))  # it says whose the files are
            self._lay_out()
            self._keep(piece.sha256 == _sha256_of_hole(piece.size) for piece in self.pieces)
        write_text(self.folder / "manifest.json", json.dumps({"files": files}))
        self.known, self._files = state_of(files), files

    def missing(self) -> list[int]:
        """Return the numbers of the pieces that are not here as they should be."""
        return [number for number in range(len(self.pieces)) if number not in self._here]

    def write(self, number: int, data: bytes) -> bool:
        """Lay a piece in its place if it is what the manifest says; tell whether it was."""
        piece = self.pieces[number]
        if not _is(piece, data):
            return False
        with open_below(self._store, piece.path, os.O_WRONLY | os.O_CREAT) as descriptor:
            os.pwrite(descriptor, data, piece.offset)
        if number not in self._here:
            self._here.add(number)
            self.done += piece.size
        return True

    def finish(self) -> None:
        """Read all of it back from the disk once more, and make the folder the target in one step.

        Raises:
            DamagedError: what is on the disk is not what was written.
        """
        try:
            self._lay_out()
            self._check()
            if missing := self.missing():
                raise DamagedError(
                    f"{self.pieces[missing[0]].path} does not match its checksum: give the same command again"
                )
            for path in (*self._store.rglob("*"), self._store):
                sync(path)
            self._store.rename(self._target)  # an empty folder may be there
        except FileNotFoundError as error:
            raise DamagedError(f"{self.folder} was changed meanwhile: give the same command again") from error
        sync(self._target.parent)
        self._delete()


def _check_names(files: list[dict[str, Any]]) -> None:
    """Raise a DamagedError where a manifest names a file outside of the store."""
    for file in files:
        name = PurePosixPath(file["path"])
        if name.is_absolute() or ".." in name.parts or not name.parts or str(name) != file["path"]:
            raise DamagedError(f"the store on the cluster holds {file['path']!r}: no path inside of a store")


@cache
def _sha256_of_hole(size: int) -> str:
    return hashlib.sha256(bytes(size)).hexdigest()


def _is(piece: Piece, data: bytes) -> bool:
    return len(data) == piece.size and hashlib.sha256(data).hexdigest() == piece.sha256


def check_target(target: Path) -> None:
    """Make sure that a store can be fetched to a path.

    Raises:
        StoreError: something is there, or it cannot be made.
    """
    if not target.name:
        raise StoreError(f"{target} cannot be a store: name another place with --fetch")
    if target.is_symlink() or (target.exists() and not target.is_dir()) or (target.is_dir() and any(target.iterdir())):
        raise StoreError(f"{target} is there already: name another place with --fetch, or give --no-fetch")
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise StoreError(f"nothing can be written in {parent}: name another place with --fetch, or give --no-fetch")


def fetch(jobs: Jobs, store: str, target: Path, report: Report = lambda _done, _total: None) -> Fetched:
    """Fetch a finished store; go on with the pieces that an earlier run got.

    Args:
        jobs: the cluster's.
        store: path on the cluster's node where jobs run.
        target: path of the folder here; absent or empty.
        report: called with the bytes that are here and those of the whole store.

    Raises:
        StoreError: something is at the target.
        StoreBusyError: another process fetches or builds there.
        InputError: there is no finished store at the path.
        WorkerError: the cluster does not answer.
        DiskFullError: the disk is full.
    """
    check_target(target)
    begin, received = time.monotonic(), 0
    try:
        with locked(Layout(target)):
            partial = Partial(target)
            while partial.missing() or not partial.pieces:
                got = _round(jobs, store, partial, report)
                received += got
                if not got and (partial.missing() or not partial.pieces):
                    raise WorkerError(f"the pieces of {store} do not arrive: give the same command again")
            report(partial.size, partial.size)
            partial.finish()
    except OSError as error:
        if is_disk_full(error) and not isinstance(error, KotovecError):
            raise disk_full(target) from error
        raise
    return Fetched(target, partial.size, received, time.monotonic() - begin)


def _round(jobs: Jobs, store: str, partial: Partial, report: Report) -> int:
    """Let one job send the next of the missing pieces; return how many bytes of them came as they should."""
    limit = ROUND_PIECES if jobs.streams else POLLED_PIECES
    wanted = partial.missing()[:limit] if partial.pieces else list(range(limit))
    job = f"kotovec-fetch-{secrets.token_hex(4)}"
    jobs.start("kotovec.cluster.pieces", [store, write_numbers(wanted), partial.known], job)
    received, end, problem = 0, None, None
    try:
        with contextlib.closing(jobs.chunks(job)) as chunks:
            for size in _take(_records(chunks), partial, wanted, report):
                received += size
    except WorkerError as error:
        problem = error
    finally:
        with contextlib.suppress(KotovecError):
            end = jobs.end(job)
            jobs.stop(job)
    if not received and end is not None and end.status == "FAILED":
        raise WorkerError(f"the job that sends {store} failed: {end.message.strip()}")
    if not received and problem is not None:
        raise problem
    return received


def _take(records: Iterator[str], partial: Partial, wanted: list[int], report: Report) -> Iterator[int]:
    """Read what a job sends until what is wanted has come; yield the bytes of each piece that is laid in its place."""
    _begin(records, partial)
    expected = sum(number < len(partial.pieces) for number in wanted)
    report(partial.done, partial.size)
    for record in islice(records, expected):
        digits, _, text = record.partition(" ")
        with contextlib.suppress(ValueError, IndexError):  # changed on the way
            data = base64.b64decode(text, validate=True)
            if partial.write(int(digits), data):
                yield len(data)
        report(partial.done, partial.size)


def _begin(records: Iterator[str], partial: Partial) -> None:
    """Read the manifest, of which nothing comes where the one that is here still holds.

    Raises:
        WorkerError: it was changed on the way, or cut off.
    """
    files: list[dict[str, Any]] = []
    whole = hashlib.sha256()
    for record in records:
        try:
            told = json.loads(record)
        except ValueError:
            break
        match told:
            case {"end": sha256}:
                if sha256 != whole.hexdigest() or not (files or partial.pieces):
                    break
                if files:
                    partial.begin(files)
                return
            case dict():
                files.append(told | {"sums": []})
            case list() if files:
                files[-1]["sums"] += told
        whole.update(record.encode())
    raise WorkerError("the list of the store's files does not arrive whole: give the same command again")


def _records(chunks: Iterable[str]) -> Iterator[str]:
    """Yield what a job sends, without the other lines of its log.

    Raises:
        InputError: it had nothing to send, and says why.
    """
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        for line in lines:
            if line.startswith("error: "):
                raise InputError(line.removeprefix("error: "))
            if line.startswith(MARK):
                yield line.removeprefix(MARK)
