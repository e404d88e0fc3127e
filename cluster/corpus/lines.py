"""Lines of a stream in blocks, in bounded memory: a line belongs to the piece of its first byte."""

from collections.abc import Callable, Iterator

from kotovec.cluster.corpus.counts import TOO_LONG
from kotovec.cluster.corpus.opened import DamagedStreamError, Read

BLOCK_BYTES = 1 << 20
MOST_LINE = 16 << 20  # bytes of a line, without its end; longer ones are skipped


class Lines:
    r"""Blocks of complete lines, each with the number of its first line, from 1; read once, by iterating.

    Args:
        read: the stream; from one byte before the piece if `inside`.
        length: bytes of the piece, in which its lines begin; None for a whole stream.
        fault: called with the number of a line that is skipped, and why.
        inside: whether the piece begins within a file: what precedes its first line feed belongs to another piece.
    """

    def __init__(
        self, read: Read, length: int | None, fault: Callable[[int, str], None], *, inside: bool = False
    ) -> None:
        self._read, self._length, self._fault = read, length, fault
        self._number = 1
        self._at = -1 if inside else 0  # of the next byte, in the piece
        self._rest = b""  # a line that has begun, from `_at`
        self._skipping = inside  # whether the next byte is within a line that is not read

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for chunk in self._chunks():
            data = self._without_skipped(chunk)
            end, is_last = self._end(data)
            if end:
                yield self._number, data[:end]
                self._number += data.count(b"\n")  # of the last block, never used
            if is_last:
                return
            self._rest, self._at = data[end:], self._at + end
        if self._rest and not self._is_past:
            yield self._number, self._rest

    @property
    def _is_past(self) -> bool:
        return self._length is not None and self._at >= self._length

    def _chunks(self) -> Iterator[bytes]:
        try:
            while not self._is_past and (chunk := self._read(BLOCK_BYTES)):
                yield chunk
        except DamagedStreamError as error:
            self._fault(self._number, str(error))
            self._rest = b""  # a line that breaks off is none

    def _without_skipped(self, chunk: bytes) -> bytes:
        """Return the line that has begun, with a chunk behind it, without lines that are not read."""
        if self._skipping:
            end = chunk.find(b"\n") + 1
            self._at += end or len(chunk)
            self._skipping = not end
            return chunk[end:] if end else b""
        data = self._rest + chunk
        end = data.find(b"\n", len(self._rest))
        if (end if end >= 0 else len(data)) <= MOST_LINE:
            return data
        self._fault(self._number, TOO_LONG)
        self._number += 1
        self._skipping = end < 0
        self._at += len(data) if end < 0 else end + 1
        return b"" if end < 0 else data[end + 1 :]

    def _end(self, data: bytes) -> tuple[int, bool]:
        """Return where the last complete line of the piece ends in the data, and whether none can follow."""
        if self._is_past:
            return 0, True
        if self._length is not None and self._at + len(data) >= self._length:
            end = data.find(b"\n", self._length - self._at - 1) + 1
            if end:
                return end, True
        return data.rfind(b"\n") + 1, False
