"""Dumps of Wikipedia in XML: the articles of a stream, and the index of a bz2 file of many streams.

The format: https://www.mediawiki.org/wiki/Help:Export, https://meta.wikimedia.org/wiki/Data_dumps/Dump_format.
"""

import bz2
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from kotovec.cluster.corpus import counts as faults
from kotovec.cluster.corpus.corpus import CorpusFile
from kotovec.cluster.corpus.opened import DamagedStreamError, Read, open_file
from kotovec.cluster.corpus.wikitext import plain_text

BLOCK_BYTES = 1 << 20
MOST_PAGE = 16 << 20  # bytes; MediaWiki allows 2 MB of markup
_OPEN, _CLOSE = b"<page>", b"</page>"
_ARTICLE = re.compile(r"<ns>0</ns>(?!.*<redirect )", re.DOTALL)
_TEXT = re.compile(r"<text\b[^>]*(?<!/)>(.*?)</text>", re.DOTALL)
_NAMESPACE = re.compile(r'<namespace key="(?:6|14)"[^>]*>([^<]+)</namespace>')
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#039;": "'", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))
_INDEXED = re.compile(r"-multistream(\d*)\.xml(-p[^./]*)?\.bz2$")
_OFFSET = re.compile(rb"\d+(?=:)")


def articles(read: Read, fault: Callable[[int, str], None], page: Callable[[int], None]) -> Iterator[tuple[int, str]]:
    """Yield the number of each page that is an article, from 1, and its running text.

    Args:
        read: the XML.
        fault: called with the number of a page that is skipped, and why.
        page: called with the number of bytes of each page.
    """
    namespaces: set[str] = set()
    for number, content in _pages(read, fault):
        page(len(content) - max(0, content.find(_OPEN)))
        try:
            text = content.decode()
        except UnicodeDecodeError:
            fault(number, faults.NOT_UTF8)
            continue
        if number == 1:  # what precedes it names the namespaces
            namespaces = {name.lower() for name in _NAMESPACE.findall(text)}
        found = _TEXT.search(text)
        if found and _ARTICLE.search(text, 0, found.start()):
            yield number, plain_text(_ENTITY.sub(lambda match: _ENTITIES[match[0]], found[1]), namespaces)


def _pages(read: Read, fault: Callable[[int, str], None]) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each page, and its bytes with those between it and the page before."""
    number, rest, skipping = 1, b"", False
    try:
        while block := read(BLOCK_BYTES):
            *contents, rest = (rest + block).split(_CLOSE)
            for content in contents:
                if not skipping:
                    yield number, content + _CLOSE
                number, skipping = number + 1, False
            if len(rest) > MOST_PAGE:
                if not skipping:
                    fault(number, faults.NOT_CLOSED)
                rest, skipping = rest[-len(_CLOSE) :], True
    except DamagedStreamError as error:
        fault(number, str(error))
        return
    if _OPEN in rest and not skipping:
        fault(number, faults.NOT_CLOSED)


def index_of(path: str) -> str | None:
    """Return where the index of a dump of many streams lies; None where its name is not that of one."""
    if not _INDEXED.search(path):
        return None
    return _INDEXED.sub(lambda match: f"-multistream-index{match[1]}.txt{match[2] or ''}.bz2", path)


def streams(dump: CorpusFile, index: CorpusFile) -> list[int]:
    """Return where the streams of a dump begin, from 0, and its size: `[0, size]` if the index is not the dump's.

    The index has a line per page: `OFFSET:NUMBER:TITLE`.
    """
    offsets = {0, dump.size}
    with open_file(index) as opened:
        try:
            for line in bz2.BZ2File(opened):
                if found := _OFFSET.match(line):
                    offsets.add(int(found[0]))
        except (EOFError, OSError):  # a damaged index is no fault of the dump
            return [0, dump.size]
    return sorted(offsets) if max(offsets) == dump.size else [0, dump.size]


class Section:
    """The bytes of a piece of a dump, behind the first stream of the dump, which names its namespaces.

    Args:
        opened: the dump, from its beginning.
        start, stop: bytes of the piece, at which streams begin.
    """

    def __init__(self, opened: BinaryIO, start: int, stop: int) -> None:
        self._opened, self._left = opened, stop - start
        self._head = _first_stream(opened) if start else b""
        if start:
            opened.seek(start)

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end."""
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        data = self._opened.read(min(size, self._left))
        self._left -= len(data)
        return data


def _first_stream(opened: BinaryIO) -> bytes:
    """Return the compressed bytes of the first stream; none if it does not end within the first megabyte."""
    data = opened.read(1 << 20)
    stream = bz2.BZ2Decompressor()
    try:
        stream.decompress(data)
    except OSError:
        return b""
    return data[: len(data) - len(stream.unused_data)] if stream.eof else b""
