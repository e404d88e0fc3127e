"""A file of a corpus, opened: from this machine or by fsspec, decompressed, and refused when it has changed."""

import bz2
import contextlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO, Protocol

from kotovec.cluster.corpus.corpus import CorpusFile
from kotovec.cluster.corpus.counts import DAMAGED, TRUNCATED
from kotovec.cluster.corpus.kinds import Packing, is_url
from kotovec.cluster.corpus.remote import open_url
from kotovec.errors import ACCESS, CorpusError, first_line
from kotovec.store.files import open_descriptor


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes; none at the end."""


Read = Callable[[int], bytes]  # returns bytes, of any number; none at the end

# Compressed bytes at a time: 4 of zstd's may become 128 KB, so that these are at most 16 MB (and 850 MB/s of text).
_FEED = 512
_BUFFER = 1 << 18  # compressed bytes of gzip and bzip2 at a time, whose contents come out in chunks
_GATHER = 1 << 18  # bytes that a read of a compressed file returns at least, but at its end
_RESTART = "restore it, or build another store"


class DamagedStreamError(Exception):
    """A compressed stream breaks off or is damaged; the message is the kind of fault."""


@contextlib.contextmanager
def open_file(file: CorpusFile, start: int = 0) -> Iterator[BinaryIO]:
    """Open a file of a corpus at an offset.

    Raises:
        CorpusError: it is not there, cannot be read, or is not what it was when it was listed.
    """
    if is_url(file.path):
        with open_url(file, start) as opened:
            yield opened
        return
    try:
        with open_descriptor(Path(file.path)) as opened:
            _check_unchanged(file, os.fstat(opened.fileno()))
            opened.seek(start)
            yield opened
    except CorpusError:
        raise
    except FileNotFoundError as error:
        raise CorpusError(f"there is no file {file.path} any more", hint=_RESTART) from error
    except OSError as error:
        raise unreadable(file.path, error) from error


def unreadable(path: str | Path, error: OSError) -> CorpusError:
    """Return the error of a file or folder of a corpus that the system does not let be read."""
    hint = f"{ACCESS}, or name other paths with --corpus" if isinstance(error, PermissionError) else None
    return CorpusError(f"{path} cannot be read ({error.strerror or first_line(error)})", hint=hint)


def _check_unchanged(file: CorpusFile, status: os.stat_result) -> None:
    if (status.st_size, str(status.st_mtime_ns)) != (file.size, file.stamp):
        raise CorpusError(f"{file.path} has changed since the corpus was listed", hint=_RESTART)


def decompressed(opened: Readable, packing: Packing) -> Read:
    """Return how the contents of a file are read, in bounded memory.

    What it returns raises DamagedStreamError where a compressed file breaks off or is damaged, after all before it. An
    empty one breaks off before its first byte: what is compressed has a header, also if it holds nothing.
    """
    if packing is Packing.NONE:
        return opened.read
    if packing is Packing.ZSTD:
        return _gathering(_zstd_chunks(opened))
    if packing is Packing.BZIP2:
        return _gathering(_bzip2_chunks(opened))
    return _gathering(_gzip_chunks(io.BufferedReader(_Raw(opened), _BUFFER)))


class _Raw(io.RawIOBase):
    """What fsspec opens, as a raw stream: some of it has no `peek`, some no `readinto`."""

    def __init__(self, opened: Readable) -> None:
        self._opened = opened

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self._opened.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _gzip_chunks(opened: io.BufferedReader) -> Iterator[bytes]:
    try:
        is_empty, stream = not opened.peek(1), GzipFile(fileobj=opened)
        # read1: what precedes the damage must come out first.
        while data := stream.read1(_GATHER):
            yield data
    except EOFError as error:
        raise DamagedStreamError(TRUNCATED) from error
    except CorpusError:
        raise
    except (OSError, zlib.error) as error:
        raise DamagedStreamError(DAMAGED) from error
    if is_empty:  # in which GzipFile sees no fault
        raise DamagedStreamError(TRUNCATED)


def _bzip2_chunks(opened: Readable) -> Iterator[bytes]:
    """Yield the contents of all streams: Python's own BZ2File ends without a word at a damaged one behind the first."""
    stream, begun = bz2.BZ2Decompressor(), True
    try:
        while data := opened.read(_BUFFER):
            while data or (begun and not stream.needs_input):
                yield stream.decompress(data, _GATHER)
                data, begun = b"", True
                if stream.eof:
                    data, begun = stream.unused_data, False
                    stream = bz2.BZ2Decompressor()
    except CorpusError:
        raise
    except OSError as error:
        raise DamagedStreamError(DAMAGED) from error
    if begun:
        raise DamagedStreamError(TRUNCATED)


def _zstd_chunks(opened: Readable) -> Iterator[bytes]:
    """Yield the contents of all frames: zstandard's own stream_reader takes a truncated file for a complete one."""
    import zstandard

    frames = zstandard.ZstdDecompressor()
    try:
        frame, begun = frames.decompressobj(), True
        while data := opened.read(_FEED):
            while data:
                begun = True
                yield frame.decompress(data)
                data = b""
                if frame.eof:
                    data, begun = frame.unused_data, False
                    frame = frames.decompressobj()
    except zstandard.ZstdError as error:
        raise DamagedStreamError(DAMAGED) from error
    if begun:
        raise DamagedStreamError(TRUNCATED)


def _gathering(chunks: Iterator[bytes]) -> Read:
    """Return a read that joins chunks to a useful size, and raises only when all before the error was returned."""
    failed: list[DamagedStreamError] = []

    def read(_: int) -> bytes:
        if failed:
            raise failed[0]
        gathered, size = [], 0
        try:
            for chunk in chunks:
                gathered.append(chunk)
                size += len(chunk)
                if size >= _GATHER:
                    break
        except DamagedStreamError as error:
            if not size:
                raise
            failed.append(error)
        return b"".join(gathered)

    return read
