"""Corpora for tests: files of every kind from the same texts, and all sentences of a corpus in one list."""

import bz2
import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import zstandard
from pyarrow import parquet

from kotovec.cluster.corpus import Corpus, Counts, cut, list_files, read_piece, sentences

ZSTD = zstandard.ZstdCompressor(write_checksum=True)  # as the command line does
PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": ZSTD.compress}


def write(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def json_lines(texts, field="text"):
    return "".join(json.dumps({field: text, "n": number}) + "\n" for number, text in enumerate(texts)).encode()


def write_parquet(path, texts, field="text", rows=2):
    table = pa.table({"n": list(range(len(texts))), field: texts})
    parquet.write_table(table, path, row_group_size=rows)
    return str(path)


def corpus_of(*paths, min_chars=1, **options):
    return Corpus(tuple(map(str, paths)), min_chars=min_chars, **options)


def read_all(corpus, piece_bytes=64 << 20, sent=False):
    """Return all sentences of a corpus in order, what was counted, and the pieces with their counts."""
    found, total, by_piece = [], Counts(), []
    for piece in cut(list_files(corpus), piece_bytes, corpus):
        counts = Counts()
        data = read_piece(piece, corpus) if sent else None
        found += sentences(piece, corpus, counts, data)
        total += counts
        by_piece.append((piece.file.path, piece.start, counts))
    return found, total, by_piece


def peak_rss():
    """Return the most resident memory of this process so far, in bytes."""
    text = Path(f"/proc/{os.getpid()}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024
