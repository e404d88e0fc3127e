"""The cluster's side of a fetch: a finished store, piece by piece, on the log of a job.

`python -m kotovec.cluster.pieces STORE PIECES` writes a manifest of the store, then some of its pieces; see
`kotovec.cluster.fetch` for the other side.
"""

import base64
import contextlib
import hashlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from kotovec.errors import InputError, StoreNotFoundError

MARK = "\x1e"  # begins a record, as in RFC 7464: no other line of a log does
# A line of a log goes through as one WebSocket message, at most 4 MiB. 64 KiB: 195 MB/s on one machine, 1 MiB: 247.
PIECE_BYTES = 1 << 20
KEEP_SECONDS = 600.0  # how long what is written waits for a reader


@dataclass(frozen=True)
class Piece:
    """Some bytes of a file: `size` of them from `offset`."""

    path: str
    offset: int
    size: int
    sha256: str


def make_manifest(store: Path) -> dict[str, Any]:
    """Return what a finished store holds: each file's path, bytes, SHA-256, and that of each of its pieces.

    Raises:
        StoreNotFoundError: there is no finished store at the path.
    """
    if not (store / "vectors.h5").is_file():
        raise StoreNotFoundError(f"there is no finished store at {store} on {os.uname().nodename}")
    files = []
    for path in sorted(file for file in store.rglob("*") if file.is_file()):
        name = path.relative_to(store).as_posix()
        if name.startswith((".", "shards/")) or "/." in name:
            continue  # an unfinished build's, or somebody's part of a file
        whole = hashlib.sha256()
        pieces = []
        with path.open("rb") as file:
            while block := file.read(PIECE_BYTES):
                whole.update(block)
                pieces.append(hashlib.sha256(block).hexdigest())
        size = path.stat().st_size
        files.append({"path": name, "bytes": size, "sha256": whole.hexdigest(), "pieces": pieces})
    return {"piece_bytes": PIECE_BYTES, "files": files}


def pieces_of(manifest: dict[str, Any]) -> list[Piece]:
    """Return the pieces of all files; a piece's number is its place."""
    step = manifest["piece_bytes"]
    return [
        Piece(file["path"], place * step, min(step, file["bytes"] - place * step), sha256)
        for file in manifest["files"]
        for place, sha256 in enumerate(file["pieces"])
    ]


def write_numbers(numbers: Iterable[int]) -> str:
    """Return ascending numbers as runs, such as `0-5,9`; `-` for none."""
    runs = []
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run_numbers = [number for _, number in run]
        runs.append(f"{run_numbers[0]}-{run_numbers[-1]}")
    return ",".join(runs) or "-"


def read_numbers(text: str) -> Iterator[int]:
    """Yield the numbers that `write_numbers` wrote."""
    for run in text.split(",") if text != "-" else ():
        first, last = run.split("-")
        yield from range(int(first), int(last) + 1)


def send(store: Path, wanted: str, out: BinaryIO) -> None:
    """Write the manifest of a finished store, and those of the wanted pieces that it has.

    Args:
        store: path of the store.
        wanted: from `write_numbers`.
        out: gets a line for the manifest, then one a piece: its number, and its bytes in Base64.
    """
    manifest = make_manifest(store)
    pieces = pieces_of(manifest)
    out.write(f"{MARK}{json.dumps(manifest)}\n".encode())
    for number in read_numbers(wanted):
        if number < len(pieces):
            piece = pieces[number]
            with (store / piece.path).open("rb") as file:
                file.seek(piece.offset)
                data = base64.b64encode(file.read(piece.size))
            out.write(b"%s%d %s\n" % (MARK.encode(), number, data))
    out.flush()


def main(arguments: list[str]) -> int:
    """Send, wait until the reader has it all and stops this job, and empty the job's log; return the exit code."""
    store, wanted = arguments
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        send(Path(store), wanted, sys.stdout.buffer)
        time.sleep(KEEP_SECONDS)
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except SystemExit:
        pass
    _empty(sys.stdout.fileno())
    return 0


def _empty(descriptor: int) -> None:
    """Give back the space of a log that nobody will read again: Ray itself keeps it as long as the cluster lives."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
