"""Corpora of any size: text, JSON lines, Parquet and Wikipedia's dumps, in pieces, into normalised sentences."""

from kotovec.cluster.corpus.corpus import Corpus, CorpusFile, Piece
from kotovec.cluster.corpus.counts import Counts, Fault, locate
from kotovec.cluster.corpus.files import cut, find, list_files
from kotovec.cluster.corpus.normal import hash_sentences, normalise
from kotovec.cluster.corpus.reading import read_piece, sentences

__all__ = [
    "Corpus",
    "CorpusFile",
    "Counts",
    "Fault",
    "Piece",
    "cut",
    "find",
    "hash_sentences",
    "list_files",
    "locate",
    "normalise",
    "read_piece",
    "sentences",
]
