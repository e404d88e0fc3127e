"""Sentences of a piece of a corpus, read in bounded memory; faults are counted with file and line, and never raised."""

import contextlib
import io
import json
from collections.abc import Iterator
from typing import Any

from kotovec.cluster.corpus import counts as faults
from kotovec.cluster.corpus.corpus import Corpus, Piece
from kotovec.cluster.corpus.counts import Counts, Fault
from kotovec.cluster.corpus.dumps import Section, articles
from kotovec.cluster.corpus.kinds import Form, Packing
from kotovec.cluster.corpus.lines import BLOCK_BYTES, MOST_LINE, Lines
from kotovec.cluster.corpus.normal import normalise
from kotovec.cluster.corpus.opened import Read, Readable, decompressed, open_file
from kotovec.cluster.corpus.parquet import pack_rows, read_rows, unpack_rows
from kotovec.cluster.corpus.splitter import splitter

_BOM = b"\xef\xbb\xbf"
_FOURTH = 4  # of a line: as many NUL as that no text has
_BLOCK = 1 << 18  # characters of documents that are split at a time


def sentences(piece: Piece, corpus: Corpus, counts: Counts, data: bytes | None = None) -> Iterator[str]:
    """Yield the normalised sentences of a piece that are within the corpus's bounds, with repeated ones.

    Args:
        piece: what is read.
        corpus: how it is cut.
        counts: gets the numbers and the faults; they are complete when the last sentence has been taken.
        data: the result of `read_piece`, where this machine does not see the file.

    Raises:
        CorpusError: the file is gone, has changed, or cannot be read.
    """
    split, fewest, most = splitter(corpus), corpus.min_chars, corpus.max_chars
    for texts in _texts(piece, corpus, counts, data):
        found = split(texts)
        kept = [sentence for sentence in found if fewest <= len(sentence) <= most]
        if len(kept) < len(found):
            counts.too_short += sum(0 < len(sentence) < fewest for sentence in found)
            counts.too_long += sum(len(sentence) > most for sentence in found)
        counts.sentences += len(kept)
        yield from kept


def read_piece(piece: Piece, corpus: Corpus) -> bytes:
    """Return what `sentences` needs of a piece, for a worker that cannot see its file.

    Of text and JSON lines that are the bytes of the piece, one before it and the rest of its last line; of Parquet, its
    column; of a compressed file, all of it.

    Raises:
        CorpusError: the file is gone, has changed, or cannot be read.
    """
    if piece.file.kind.form is Form.PARQUET:
        return pack_rows(piece, corpus.text_field)
    if piece.file.kind.form is Form.WIKIPEDIA and not piece.file.whole:
        with open_file(piece.file) as opened:
            return _read_all(Section(opened, piece.start, piece.stop).read)
    begin = max(0, piece.start - 1)
    with open_file(piece.file, begin) as opened:
        if _is_whole(piece):
            return _read_all(opened.read)
        data = bytearray()
        while len(data) < piece.stop - begin and (
            block := opened.read(min(BLOCK_BYTES, piece.stop - begin - len(data)))
        ):
            data += block
        # The rest of the last line, until it ends or is too long.
        rest = 0
        while data[-1:] != b"\n" and rest <= MOST_LINE and (block := opened.read(BLOCK_BYTES)):
            end = block.find(b"\n") + 1
            data += block[:end] if end else block
            rest += len(block)
        return bytes(data)


def _read_all(read: Read) -> bytes:
    blocks = []
    while block := read(BLOCK_BYTES):
        blocks.append(block)
    return b"".join(blocks)


def _is_whole(piece: Piece) -> bool:
    kind = piece.file.kind
    return piece.file.whole or kind.packing is not Packing.NONE


def _texts(piece: Piece, corpus: Corpus, counts: Counts, data: bytes | None) -> Iterator[str]:
    """Yield documents in blocks, one per line."""
    form = piece.file.kind.form
    documents = _Documents(piece, corpus, counts)
    if form is Form.PARQUET:
        yield from documents.of_rows(read_rows(piece, corpus.text_field) if data is None else unpack_rows(data))
        return
    if data is not None:
        yield from documents.of_stream(io.BytesIO(data))
    elif form is Form.WIKIPEDIA and not piece.file.whole:
        with open_file(piece.file) as opened:
            yield from documents.of_stream(Section(opened, piece.start, piece.stop))
    else:
        with open_file(piece.file, max(0, piece.start - 1)) as opened:
            yield from documents.of_stream(opened)


class _Documents:
    """Documents of one piece, with what is counted on the way."""

    def __init__(self, piece: Piece, corpus: Corpus, counts: Counts) -> None:
        self._piece, self._corpus, self._counts = piece, corpus, counts

    def fault(self, line: int, kind: str) -> None:
        """Count something that is skipped, which is a line of its own unless the file breaks off."""
        self._counts.add(Fault(self._piece.file.path, self._piece.start, line, kind))
        if kind == faults.TOO_LONG:
            self._counts.lines += 1

    def of_stream(self, opened: Readable) -> Iterator[str]:
        """Yield documents of text or JSON lines, from the byte before the piece; articles of a dump."""
        kind = self._piece.file.kind
        if kind.form is Form.WIKIPEDIA:
            return self._joined(articles(decompressed(opened, kind.packing), self.fault, self._page))
        length = None if _is_whole(self._piece) else self._piece.stop - self._piece.start
        read = decompressed(opened, kind.packing)
        inside = self._piece.start > 0
        blocks = self._decoded(iter(Lines(read, length, self.fault, inside=inside)), begins=not inside)
        return self._of_json(blocks) if kind.form is Form.JSON else self._of_text(blocks)

    def _page(self, size: int) -> None:
        self._counts.bytes += size
        self._counts.lines += 1

    def _decoded(self, blocks: Iterator[tuple[int, bytes]], *, begins: bool) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the first line, and lines; one that is not UTF-8 is blank."""
        for number, block in blocks:
            self._counts.bytes += len(block)
            if begins:
                block, begins = block.removeprefix(_BOM), False  # noqa: PLW2901 — of the first line alone
            lines = self._lines(number, block)
            if block.endswith(b"\n"):
                lines.pop()
            self._counts.lines += len(lines)
            yield number, lines

    def _lines(self, number: int, block: bytes) -> list[str]:
        if b"\0" not in block:
            with contextlib.suppress(UnicodeDecodeError):
                return block.decode().split("\n")
        return [self._line(number + index, line) for index, line in enumerate(block.split(b"\n"))]

    def _line(self, number: int, line: bytes) -> str:
        with contextlib.suppress(UnicodeDecodeError):
            if line.count(0) * _FOURTH <= len(line):  # of UTF-16, half of English is NUL, which UTF-8 has, too
                return line.decode()
        self.fault(number, faults.NOT_UTF8)
        return ""

    def _of_text(self, blocks: Iterator[tuple[int, list[str]]]) -> Iterator[str]:
        for _, lines in blocks:
            self._counts.documents += sum(not (line.isspace() or not line) for line in lines)
            yield "\n".join(lines)

    def _of_json(self, blocks: Iterator[tuple[int, list[str]]]) -> Iterator[str]:
        records = ((number + index, line) for number, lines in blocks for index, line in enumerate(lines))
        decode, field = json.JSONDecoder().decode, self._corpus.text_field

        def values() -> Iterator[tuple[int, Any]]:
            for number, line in records:
                if not line or line.isspace():
                    continue
                try:
                    record = decode(line)
                except (ValueError, RecursionError):
                    record = None
                if isinstance(record, dict):
                    yield number, record.get(field)
                else:
                    self.fault(number, faults.NOT_JSON)

        return self._joined(values())

    def of_rows(self, batches: Iterator[list[Any]]) -> Iterator[str]:
        """Yield documents of Parquet."""

        def values() -> Iterator[tuple[int, Any]]:
            for batch in batches:
                first = self._counts.lines + 1
                self._counts.lines += len(batch)
                for number, value in enumerate(batch, first):
                    self._counts.bytes += len(value.encode(errors="replace")) if isinstance(value, str) else 0
                    yield number, value

        return self._joined(values())

    def _joined(self, values: Iterator[tuple[int, Any]]) -> Iterator[str]:
        """Yield the texts among values in blocks; other values are faults."""
        texts: list[str] = []
        size = 0
        for number, value in values:
            if (kind := self._fault_of(value)) is not None:
                self.fault(number, kind)
                continue
            if not value or value.isspace():
                continue
            self._counts.documents += 1
            # Where texts are cut by their length, a line break does not end one.
            texts.append(value if self._corpus.characters is None else normalise(value))
            size += len(value)
            if size >= _BLOCK:
                yield "\n".join(texts)
                texts, size = [], 0
        yield "\n".join(texts)

    def _fault_of(self, value: Any) -> str | None:
        field = self._corpus.text_field
        if value is None:
            return faults.no_field(field)
        if isinstance(value, bytes):
            return faults.NOT_UTF8
        if not isinstance(value, str):
            return faults.no_text(field)
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return faults.HALF_PAIR
        return None
