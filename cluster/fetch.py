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
from pathlib import Path, PurePosixPath
from typing import Any

from kotovec.cluster.pieces import MARK, Piece, pieces_of, write_numbers
from kotovec.cluster.submit import Jobs
from kotovec.errors import DamagedError, DiskFullError, InputError, KotovecError, StoreError, WorkerError
from kotovec.store import checksum
from kotovec.store.files import disk_full, is_disk_full, sync, write_text
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
    """

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(f".{target.name}.fetch")
        self.pieces: list[Piece] = []
        self._target = target
        self._store = self.folder / "store"
        self._manifest: dict[str, Any] | None = None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            manifest = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
            self.pieces, self._manifest = pieces_of(manifest), manifest

    @property
    def size(self) -> int:
        """Bytes of the whole store."""
        return sum(piece.size for piece in self.pieces)

    def begin(self, manifest: dict[str, Any]) -> None:
        """Take the manifest of the store as it is now; keep what is here if it is of the same.

        Raises:
            DamagedError: it names a file outside of the store.
            DiskFullError: the disk has no room for the store.
        """
        if manifest == self._manifest:
            return
        for file in manifest["files"]:
            name = PurePosixPath(file["path"])
            if name.is_absolute() or ".." in name.parts or not name.parts:
                raise DamagedError(f"the store on the cluster holds {file['path']!r}: no path inside of a store")
        shutil.rmtree(self.folder, ignore_errors=True)
        self._store.mkdir(parents=True)
        size, free = sum(file["bytes"] for file in manifest["files"]), shutil.disk_usage(self.folder).free
        if free < size:
            raise DiskFullError(
                f"{self._target} needs {size / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB free: "
                "free some, or name another place with --fetch"
            )
        for file in manifest["files"]:
            path = self._store / file["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.truncate(path, file["bytes"])
        write_text(self.folder / "manifest.json", json.dumps(manifest))
        self.pieces, self._manifest = pieces_of(manifest), manifest

    def missing(self) -> list[int]:
        """Return the numbers of the pieces that are not here as they should be."""
        return [number for number, piece in enumerate(self.pieces) if not _is(piece, self._read(piece))]

    def _read(self, piece: Piece) -> bytes:
        try:
            with (self._store / piece.path).open("rb") as file:
                file.seek(piece.offset)
                return file.read(piece.size)
        except OSError:
            return b""

    def write(self, number: int, data: bytes) -> bool:
        """Lay a piece in its place if it is what the manifest says; tell whether it was."""
        piece = self.pieces[number]
        if not _is(piece, data):
            return False
        path = self._store / piece.path
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.pwrite(descriptor, data, piece.offset)
        finally:
            os.close(descriptor)
        return True

    def finish(self) -> None:
        """Check the whole files, and make the folder the target in one step.

        Raises:
            DamagedError: a file is not what the manifest says, though its pieces are.
        """
        for file in (self._manifest or {})["files"]:
            path = self._store / file["path"]
            if path.stat().st_size != file["bytes"] or checksum.of_file(path) != file["sha256"]:
                shutil.rmtree(self.folder)
                raise DamagedError(f"{file['path']} does not match its checksum: give the same command again")
        for path in (*self._store.rglob("*"), self._store):
            sync(path)
        self._store.rename(self._target)  # an empty folder may be there
        sync(self._target.parent)
        shutil.rmtree(self.folder)


def _is(piece: Piece, data: bytes) -> bool:
    return len(data) == piece.size and hashlib.sha256(data).hexdigest() == piece.sha256


def check_target(target: Path) -> None:
    """Make sure that a store can be fetched to a path.

    Raises:
        StoreError: something is there.
    """
    if not target.name:
        raise StoreError(f"{target} cannot be a store: name another place with --fetch")
    if target.is_symlink() or (target.exists() and not target.is_dir()) or (target.is_dir() and any(target.iterdir())):
        raise StoreError(f"{target} is there already: name another place with --fetch, or give --no-fetch")


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
            missing = partial.missing()
            while missing or not partial.pieces:
                got = _round(jobs, store, partial, missing, report)
                received += got
                missing = partial.missing()
                if not got and (missing or not partial.pieces):
                    raise WorkerError(f"the pieces of {store} do not arrive: give the same command again")
            report(partial.size, partial.size)
            partial.finish()
    except OSError as error:
        if is_disk_full(error) and not isinstance(error, KotovecError):
            raise disk_full(target) from error
        raise
    return Fetched(target, partial.size, received, time.monotonic() - begin)


def _round(jobs: Jobs, store: str, partial: Partial, missing: list[int], report: Report) -> int:
    """Let one job send the next of the missing pieces; return how many bytes of them came as they should."""
    limit = ROUND_PIECES if jobs.streams else POLLED_PIECES
    wanted = missing[:limit] if partial.pieces else list(range(limit))
    job = f"kotovec-fetch-{secrets.token_hex(4)}"
    jobs.start("kotovec.cluster.pieces", [store, write_numbers(wanted)], job)
    received = 0
    try:
        for size in _take(jobs.chunks(job), partial, wanted, report):
            received += size
    except WorkerError:
        if not received:
            raise
    finally:
        end = None
        with contextlib.suppress(KotovecError):
            end = jobs.end(job)
            jobs.stop(job)
    if not received and end is not None and end.status == "FAILED":
        raise WorkerError(f"the job that sends {store} failed: {end.message.strip()}")
    return received


def _take(chunks: Iterable[str], partial: Partial, wanted: list[int], report: Report) -> Iterator[int]:
    """Read a job's log until what is wanted has come; yield the bytes of each piece that is laid in its place.

    Raises:
        InputError: the job had nothing to send, and says why.
    """
    absent: set[int] = set()
    here = expected = 0
    for line in _lines(chunks):
        if line.startswith("error: "):
            raise InputError(line.removeprefix("error: "))
        if line.startswith(f"{MARK}{{"):
            partial.begin(json.loads(line.removeprefix(MARK)))
            absent = set(partial.missing())  # a hole is a piece that holds zeros
            here = partial.size - sum(partial.pieces[number].size for number in absent)
            expected = sum(number < len(partial.pieces) for number in wanted)
        elif line.startswith(MARK):
            digits, _, text = line.removeprefix(MARK).partition(" ")
            with contextlib.suppress(ValueError, IndexError):  # changed on the way
                number, data = int(digits), base64.b64decode(text, validate=True)
                if partial.write(number, data):
                    here += len(data) if number in absent else 0
                    absent.discard(number)
                    yield len(data)
            expected -= 1
            report(here, partial.size)
        else:
            continue
        if expected == 0:
            return


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yield the whole lines of a text that comes in chunks."""
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        yield from lines
