"""Lines of a stream in blocks, in bounded memory: a line belongs to the piece of its first byte."""

from collections.abc import Callable, Iterator

from kotovec.cluster.corpus.counts import TOO_LONG
from kotovec.cluster.corpus.opened import DamagedStreamError, Read

BLOCK_BYTES = 1 << 20
MOST_LINE = 16 << 20  # bytes of a line, without its end; longer ones are skipped


def whole_lines(
    read: Read, length: int | None, fault: Callable[[int, str], None], *, inside: bool = False
) -> Iterator[tuple[int, bytes]]:
    r"""Yield blocks of complete lines, each with the number of its first line, from 1.

    Args:
        read: the stream; from one byte before the piece if `inside`.
        length: bytes of the piece, in which its lines begin; None for a whole stream.
        fault: called with the number of a line that is skipped, and why.
        inside: whether the piece begins within a file: what precedes its first line feed belongs to another piece.
    """
    number, at = 1, -1 if inside else 0  # of the first byte of `rest`, which begins a line unless `skipping`
    rest, skipping = b"", inside
    while length is None or at < length:
        try:
            chunk = read(BLOCK_BYTES)
        except DamagedStreamError as error:
            fault(number, str(error))  # the line that breaks off is not read
            return
        if not chunk:
            break
        if skipping:
            end = chunk.find(b"\n") + 1
            at += end or len(chunk)
            chunk, skipping = chunk[end:], not end
            if skipping:
                continue
            if length is not None and at >= length:
                return
        data = rest + chunk
        end = data.find(b"\n", len(rest))
        if (end if end >= 0 else len(data)) > MOST_LINE:
            fault(number, TOO_LONG)
            number, skipping = number + 1, end < 0
            at += len(data) if skipping else end + 1
            data = b"" if skipping else data[end + 1 :]
        if length is not None and at + len(data) >= length > at:
            end = data.find(b"\n", length - at - 1) + 1
            if end:
                yield number, data[:end]
                return
        end = data.rfind(b"\n") + 1
        if end:
            yield number, data[:end]
            number += data.count(b"\n")
        rest, at = data[end:], at + end
    if rest and (length is None or at < length):
        yield number, rest
