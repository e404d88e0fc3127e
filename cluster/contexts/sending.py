"""Pieces of a corpus for machines that do not see its files: their bytes, and large files in blocks."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kotovec.cluster.corpus import Corpus, CorpusFile, Counts, Piece, read_piece
from kotovec.cluster.corpus.kinds import Form, is_url
from kotovec.cluster.corpus.opened import open_file

BLOCK_BYTES = 64 << 20
MOST_AT_ONCE = 2 * BLOCK_BYTES  # of a compressed file, which is one piece however large it is
Put = Callable[[bytes], Any]
Get = Callable[[Any], bytes]


def pack(piece: Piece, corpus: Corpus, put: Put) -> list[Any]:
    """Return references to what a worker needs of a piece: to the result of `read_piece`, or to blocks of its file.

    Args:
        piece: the piece.
        corpus: how it is cut into sentences.
        put: returns a reference to bytes: `ray.put`.

    Raises:
        CorpusError: the file is gone, has changed, or cannot be read.
    """
    if piece.size <= MOST_AT_ONCE or piece.file.kind.form is Form.PARQUET:  # whose column is sent
        return [put(read_piece(piece, corpus))]
    references = []
    with open_file(piece.file) as opened:
        while block := opened.read(BLOCK_BYTES):
            references.append(put(block))
    return references


@contextmanager
def unpacked(
    piece: Piece, references: Sequence[Any], get: Callable[[Any], bytes]
) -> Iterator[tuple[Piece, bytes | None]]:
    """Yield the piece to read, and its bytes unless they are in a file that is deleted after the block.

    Args:
        piece: the piece.
        references: the result of `pack`.
        get: returns the bytes behind a reference: `ray.get`.
    """
    if len(references) == 1:
        yield piece, get(references[0])
        return
    with tempfile.TemporaryDirectory(prefix="kotovec-corpus-") as folder:
        name = urlsplit(piece.file.path).path if is_url(piece.file.path) else piece.file.path
        path = Path(folder) / name.rpartition("/")[2]  # whose end is its kind
        with path.open("wb") as file:
            for reference in references:
                file.write(get(reference))
        status = path.stat()
        yield replace(piece, file=CorpusFile(str(path), status.st_size, str(status.st_mtime_ns))), None


def renamed(counts: Counts, file: CorpusFile) -> Counts:
    """Return what was counted in the copy of a file, with the name of the file."""
    return replace(counts, examples=tuple(replace(each, path=file.path) for each in counts.examples))
