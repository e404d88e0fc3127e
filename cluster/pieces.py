"""The cluster's side of a fetch: a job that writes a complete store to its log, piece by piece.

`python -m kotovec.cluster.pieces STORE PIECES KNOWN` writes a manifest of the store unless the reader has it, then the
requested pieces; see `kotovec.cluster.fetch` for the other side.
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
from kotovec.store.layout import Layout

MARK = "\x1e"  # begins a record, as in RFC 7464, and no other line of a log
# A line of a log is one WebSocket message of at most 4 MiB. On one machine 64 KiB gives 195 MB/s, 1 MiB 247 MB/s.
PIECE_BYTES = 1 << 20
SUMS = 16  # per line of the manifest: a line every 16 s from a disk of 1 MB/s; the reader gives up after 60 s
KEEP_SECONDS = 600.0  # how long the log waits for a reader


@dataclass(frozen=True)
class Piece:
    """Some bytes of a file: `size` of them from `offset`."""

    path: str
    offset: int
    size: int
    sha256: str


def list_files(store: Path) -> list[dict[str, Any]]:
    """Return the files of a complete store: path, size in bytes, and time of the last change in ns.

    Raises:
        StoreNotFoundError: there is no complete store at the path.
    """
    layout = Layout(store)
    if not layout.is_store or layout.plan.exists():
        raise StoreNotFoundError(f"there is no complete store at {store} on {os.uname().nodename}")
    files = []
    for path in sorted(file for file in store.rglob("*") if file.is_file()):
        name = path.relative_to(store).as_posix()
        if name.startswith((".", "shards/")) or "/." in name:
            continue  # left by an unfinished build, or a partial file of another program
        status = path.stat()
        files.append({"path": name, "bytes": status.st_size, "changed": status.st_ctime_ns})
    return files


def state_of(files: list[dict[str, Any]]) -> str:
    """Return a checksum of the result of `list_files`: while it is the same, no file has changed."""
    content = [PIECE_BYTES, *([file["path"], file["bytes"], file["changed"]] for file in files)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def ranges_of(files: list[dict[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """Yield each piece's path, offset and size, in the order of the numbers of the pieces."""
    for file in files:
        for offset in range(0, file["bytes"], PIECE_BYTES):
            yield file["path"], offset, min(PIECE_BYTES, file["bytes"] - offset)


def pieces_of(files: list[dict[str, Any]]) -> list[Piece]:
    """Return the pieces of files that list the checksums of their pieces in `sums`.

    Raises:
        ValueError: the number of checksums is not that of the pieces.
    """
    sums = [sha256 for file in files for sha256 in file["sums"]]
    return [Piece(*range_, sha256) for range_, sha256 in zip(ranges_of(files), sums, strict=True)]


def read_piece(store: Path, path: str, offset: int, size: int) -> bytes:
    """Return a piece's bytes; fewer where the file is shorter."""
    with (store / path).open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _manifest(store: Path, files: list[dict[str, Any]]) -> Iterator[bytes]:
    """Yield each file as JSON, then the SHA-256 of its pieces, `SUMS` per line, as soon as they are computed."""
    for file in files:
        yield json.dumps(file).encode()
        ranges = list(ranges_of([file]))
        for start in range(0, len(ranges), SUMS):
            blocks = (read_piece(store, *range_) for range_ in ranges[start : start + SUMS])
            yield json.dumps([hashlib.sha256(block).hexdigest() for block in blocks]).encode()


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


def send(store: Path, wanted: str, known: str, out: BinaryIO) -> None:
    """Write the manifest of a complete store, and the wanted pieces that it has.

    Args:
        store: path of the store.
        wanted: numbers of pieces, from `write_numbers`.
        known: `state_of` of the manifest that the reader has; if it is current, no manifest is computed or sent.
        out: receives the lines of the manifest (none if the reader has it), then one line with their SHA-256, then
            one line per piece: its number, and its bytes in Base64.
    """
    files = list_files(store)
    whole = hashlib.sha256()
    for line in _manifest(store, files) if state_of(files) != known else ():
        whole.update(line)
        out.write(b"%s%s\n" % (MARK.encode(), line))
        out.flush()  # hashing may take minutes, and the reader must see lines meanwhile
    out.write(f'{MARK}{{"end": "{whole.hexdigest()}"}}\n'.encode())
    ranges = list(ranges_of(files))
    for number in read_numbers(wanted):
        if number < len(ranges):
            out.write(b"%s%d %s\n" % (MARK.encode(), number, base64.b64encode(read_piece(store, *ranges[number]))))
    out.flush()


def main(arguments: list[str]) -> int:
    """Send, wait until the reader has everything and stops this job, and empty the job's log; return the exit code."""
    store, wanted, known = arguments
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        send(Path(store), wanted, known, sys.stdout.buffer)
        time.sleep(KEEP_SECONDS)
    except (InputError, OSError) as error:
        hint = getattr(error, "hint", None)
        sys.stderr.write(f"error: {error}\n" + (f"hint: {hint}\n" if hint else ""))
        return 2
    except SystemExit:
        pass
    _empty(sys.stdout.fileno())
    return 0


def _empty(descriptor: int) -> None:
    """Free the space of a log that nobody will read again; Ray itself keeps it as long as the cluster runs."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
