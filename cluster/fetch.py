"""Fetch a complete store from a cluster through its Jobs API alone, in checksummed pieces; a fetch can be resumed.

The Jobs API cannot download files, but it can follow a job's log, at 250 MB/s through a WebSocket. A small job
(`kotovec.cluster.pieces`) therefore writes the store's pieces to its log in Base64. They are stored beside the target,
in files of their full size with holes: a piece whose checksum is that of the manifest is present, any other is missing.
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

from kotovec import access
from kotovec.cluster.pieces import MARK, Piece, pieces_of, read_piece, state_of, write_numbers
from kotovec.cluster.submit import Jobs
from kotovec.errors import (
    RESUME,
    DamagedError,
    DiskFullError,
    InputError,
    KotovecError,
    StoreError,
    WorkerError,
    quoted,
)
from kotovec.store import trees
from kotovec.store.files import disk_full, is_disk_full, open_below, read_regular, sync, write_text
from kotovec.store.layout import FETCHED, MANIFEST, PART, Layout
from kotovec.store.lock import locked

MOST_CHANGES = 3  # times that a store may change while it is fetched
MOST_LINE = 4 << 20  # characters: Ray sends no longer line, and a piece has 1.4 million
LONGEST_PATH, LONGEST_NAME = 1024, 255  # bytes
MOST_NOISE = 64 << 20  # characters of a log that are no records; also of a manifest, which has 67 per MiB of the store
ROUND_PIECES = 512  # with these, the log of one job grows to 0.7 GB before it is emptied
POLLED_PIECES = 32  # without a WebSocket, a whole log passes through the memory of three processes, at 18 MB/s
_ELSEWHERE = "name another path with --fetch, or use --no-fetch"
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: the size of the store, the bytes received in this run, and the duration in seconds."""

    store: Path
    bytes: int
    received: int
    seconds: float


class Partial:
    """A partly fetched store, in a folder beside its target.

    Attributes:
        pieces: pieces of the store on the cluster, by number; empty until a manifest was received.
        known: `state_of` of that manifest, or `-`.
        done: bytes of the pieces that are present with the right checksum.
    """

    def __init__(self, target: Path) -> None:
        self.folder = Layout(target).fetch
        self.pieces: list[Piece] = []
        self.known, self.done = "-", 0
        self._target = target
        self._store = self.folder / FETCHED
        self._files: list[dict[str, Any]] = []
        self._changes = 0
        self._here: set[int] = set()  # each piece is hashed once, when it is found or written
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError, DamagedError):
            files = json.loads(read_regular(self.folder / MANIFEST, MOST_NOISE))["files"]
            _check_names(files)
            self.pieces, self.known, self._files = pieces_of(files), state_of(files), files
        self._check_ours()
        if self._files:
            with contextlib.suppress(OSError):
                self._lay_out()
                self._check()

    @property
    def size(self) -> int:
        """Size of the complete store in bytes."""
        return sum(file["bytes"] for file in self._files)

    def _check_ours(self) -> None:
        """Refuse a folder that no fetch has created, as a fetch deletes and overwrites what is in its own.

        Raises:
            StoreError: the folder is a link, belongs to another user, or contains other files.
        """
        if not os.path.lexists(self.folder):
            return
        own = self.folder.is_dir() and not self.folder.is_symlink() and self.folder.stat().st_uid == os.geteuid()
        if not own or not all(map(self._is_known, trees.walk(self.folder))):
            raise StoreError(f"{self.folder} is not kotovec's", hint="move it, or name another path with --fetch")

    def _is_known(self, entry: trees.Entry) -> bool:
        """Return whether an entry of the folder belongs to a fetch."""
        if entry.is_folder:
            return entry.path.split("/")[0] == FETCHED
        known = {MANIFEST, *(f"{FETCHED}/{file['path']}" for file in self._files)}
        return entry.is_file and (entry.path in known or PART.fullmatch(entry.path) is not None)

    def _delete(self) -> None:
        trees.delete(self.folder, self._is_known)

    def _lay_out(self) -> None:
        """Give every file its full size; missing bytes become a hole."""
        self._store.mkdir(parents=True, exist_ok=True)
        for file in self._files:
            with open_below(self._store, file["path"], os.O_WRONLY | os.O_CREAT) as descriptor:
                os.ftruncate(descriptor, file["bytes"])

    def _check(self) -> None:
        """Hash all pieces, and keep those with the right checksum."""
        read = (read_piece(self._store, piece.path, piece.offset, piece.size) for piece in self.pieces)
        self._keep(_is(piece, data) for piece, data in zip(self.pieces, read, strict=True))

    def _keep(self, right: Iterable[bool]) -> None:
        """Mark the pieces for which `right` is true as present, and all others as missing."""
        self._here = set(compress(range(len(self.pieces)), right))
        self.done = sum(self.pieces[number].size for number in self._here)

    def begin(self, files: list[dict[str, Any]]) -> None:
        """Adopt the current manifest of the store; keep the present pieces if they belong to the same files.

        Raises:
            DamagedError: the manifest names a file outside of the store, or is not one.
            WorkerError: the store has changed several times in this run.
            DiskFullError: the disk has no room for the store.
        """
        _check_names(files)
        if [file | {"changed": 0} for file in files] != [file | {"changed": 0} for file in self._files]:
            self._changes += 1
            if self._changes > MOST_CHANGES + 1:
                raise WorkerError(
                    f"the store for {self._target} changes again and again while it is fetched", hint="wait"
                )
            self._delete()
            self._store.mkdir(parents=True, exist_ok=True)
            size, free = sum(file["bytes"] for file in files), shutil.disk_usage(self.folder).free
            if free < size:
                raise DiskFullError(
                    f"{self._target} needs {size / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB free",
                    hint="free some space, or name another path with --fetch",
                )
            self.pieces, self._files = pieces_of(files), files
            write_text(self.folder / MANIFEST, json.dumps({"files": files}))  # marks the files as a fetch's
            self._lay_out()
            self._keep(piece.sha256 == _sha256_of_hole(piece.size) for piece in self.pieces)
        write_text(self.folder / MANIFEST, json.dumps({"files": files}))
        self.known, self._files = state_of(files), files

    def missing(self) -> list[int]:
        """Return the numbers of the missing pieces."""
        return [number for number in range(len(self.pieces)) if number not in self._here]

    def write(self, number: int, data: bytes) -> bool:
        """Write a piece if it is missing and its checksum is that of the manifest; return whether it was written."""
        if number < 0 or number in self._here or not _is(piece := self.pieces[number], data):
            return False
        with open_below(self._store, piece.path, os.O_WRONLY | os.O_CREAT) as descriptor:
            os.pwrite(descriptor, data, piece.offset)
        self._here.add(number)
        self.done += piece.size
        return True

    def finish(self) -> None:
        """Verify all files on the disk once more, and rename the folder to the target in one step.

        Raises:
            DamagedError: the files on the disk differ from what was written.
        """
        try:
            self._lay_out()
            self._check()
            if missing := self.missing():
                raise DamagedError(f"{self.pieces[missing[0]].path} does not match its checksum", hint=RESUME)
            for path in (*self._store.rglob("*"), self._store):
                sync(path)
            self._store.rename(self._target)  # an empty folder may exist at the target
        except FileNotFoundError as error:
            raise DamagedError(f"{self.folder} was changed meanwhile", hint=RESUME) from error
        sync(self._target.parent)
        self._delete()


def _check_names(files: list[dict[str, Any]]) -> None:
    """Raise a DamagedError where a manifest names a file outside of the store, or twice, or is not a manifest."""
    for file in files:
        if not (
            type(file["bytes"]) is int and file["bytes"] >= 0 and all(isinstance(sum_, str) for sum_ in file["sums"])
        ):
            raise DamagedError(f"the list of the store's files gives {file['path']!r} no size, or wrong checksums")
        if not _is_inside(file["path"]):
            raise DamagedError(
                f"the store on the cluster holds {quoted(file['path'])}, which is not a path inside of a store"
            )
    names = {file["path"] for file in files}
    if len(names) < len(files) or any(str(parent) in names for name in names for parent in PurePosixPath(name).parents):
        raise DamagedError("the list of the store's files names one twice, or one as a folder")


def _is_inside(path: str) -> bool:
    """Return whether a path leads to a file inside of a store, and is one that a file system takes."""
    name = PurePosixPath(path)
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    longest = max(map(len, encoded.split(b"/")))
    taken = b"\0" not in encoded and len(encoded) <= LONGEST_PATH and longest <= LONGEST_NAME
    return taken and not name.is_absolute() and ".." not in name.parts and bool(name.parts) and str(name) == path


@cache
def _sha256_of_hole(size: int) -> str:
    return hashlib.sha256(bytes(size)).hexdigest()


def _is(piece: Piece, data: bytes) -> bool:
    return len(data) == piece.size and hashlib.sha256(data).hexdigest() == piece.sha256


def check_target(target: Path) -> None:
    """Check that a store can be fetched to a path.

    Raises:
        StoreError: the path exists already, or it cannot be created.
    """
    if not target.name:
        raise StoreError(f"{target} cannot be a store", hint="name another path with --fetch")
    if target.is_symlink() or (target.exists() and not target.is_dir()) or (target.is_dir() and any(target.iterdir())):
        raise StoreError(f"{target} exists already", hint=_ELSEWHERE)
    access.check_writable(target.absolute().parent, hint=_ELSEWHERE)


def fetch(jobs: Jobs, store: str, target: Path, report: Report = lambda _done, _total: None) -> Fetched:
    """Fetch a complete store; resume with the pieces that an earlier run received.

    Args:
        jobs: the Jobs API of the cluster.
        store: path of the store on the node that runs the jobs.
        target: path of the folder on this machine; absent or empty.
        report: called with the bytes that are present and the size of the complete store in bytes.

    Raises:
        StoreError: the target exists already.
        StoreBusyError: another process fetches or builds a store at the target.
        InputError: there is no complete store at the path.
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
                    raise WorkerError(f"the pieces of {store} do not arrive", hint=RESUME)
            report(partial.size, partial.size)
            partial.finish()
    except OSError as error:
        if is_disk_full(error) and not isinstance(error, KotovecError):
            raise disk_full(target) from error
        raise
    return Fetched(target, partial.size, received, time.monotonic() - begin)


def _round(jobs: Jobs, store: str, partial: Partial, report: Report) -> int:
    """Let one job send the next missing pieces; return how many bytes arrived undamaged."""
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
    """Read the records of a job until all wanted pieces have arrived; yield the size of each piece that is written."""
    _begin(records, partial)
    expected = sum(number < len(partial.pieces) for number in wanted)
    report(partial.done, partial.size)
    for record in islice(records, expected):
        digits, _, text = record.partition(" ")
        with contextlib.suppress(ValueError, IndexError):  # damaged on the way
            data = base64.b64decode(text, validate=True)
            if partial.write(int(digits), data):
                yield len(data)
        report(partial.done, partial.size)


def _begin(records: Iterator[str], partial: Partial) -> None:
    """Read the manifest; the job sends none where the one on this machine is still current.

    Raises:
        WorkerError: the manifest was damaged on the way, or cut off.
    """
    files: list[dict[str, Any]] = []
    whole, size = hashlib.sha256(), 0
    for record in records:
        size += len(record)
        try:
            line = json.loads(record)
        except (ValueError, RecursionError):
            break
        if size > MOST_NOISE:
            break
        match line:
            case {"end": sha256}:
                if sha256 != whole.hexdigest() or not (files or partial.pieces):
                    break
                if files:
                    partial.begin(files)
                return
            case {"path": str(), "bytes": int(), "changed": int()}:
                files.append(line | {"sums": []})
            case list() if files:
                files[-1]["sums"] += line
            case _:
                break
        whole.update(record.encode())
    raise WorkerError("the list of the store's files does not arrive completely", hint=RESUME)


def _records(chunks: Iterable[str]) -> Iterator[str]:
    """Yield the records that a job sends, without the other lines of its log.

    Raises:
        InputError: the job had nothing to send, for the reason in the message.
        WorkerError: what the job writes is not what it should send.
    """
    rest, noise, problem = "", 0, None
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        noise += sum(len(line) + 1 for line in lines if not line.startswith(MARK))
        if len(rest) > MOST_LINE or noise > MOST_NOISE:
            raise WorkerError("the job on the cluster sends something else than a store")
        for line in lines:
            if problem is not None:  # the line after it may be its hint
                raise InputError(problem, hint=line.removeprefix("hint: ") if line.startswith("hint: ") else None)
            if line.startswith("error: "):
                problem = line.removeprefix("error: ")
            if line.startswith(MARK):
                yield line.removeprefix(MARK)
    if problem is not None:
        raise InputError(problem)
