"""The names of a store: of its folder, of what lies in it, and of what a build puts beside it for a while."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from kotovec.space import Space

TOKENS = "tokens.h5"
FORMER = "vectors.h5"  # of format 1
SPACES = "spaces"
TOKENIZER = "tokenizer"
INDEXES = "indexes"
MAPS = "maps"
MEASURES = "measures"
CONTEXTS = "contexts.h5"  # also in SHARDS, with the ids of the tokens, while its sentences are encoded
SHARDS = "shards"
PLAN = "plan.json"  # in SHARDS
TOKENIZER_LIST = "tokenizer.json"  # in SHARDS: the names of the tokenizer's files
CORPUS = "corpus.json"  # in SHARDS: the files of the corpus that is being scanned
FOLD = "fold.h5"  # in SHARDS: the sums of several shards
PIECE = "piece-"  # in SHARDS: begins the name of what was found in a piece of the corpus
POINTS = "points-"  # in SHARDS: begins the name of the vectors of a shard's contexts, which prototypes are made of
FETCHED, MANIFEST = "store", "manifest.json"  # in the folder of an unfinished fetch

HDF5 = ".h5"  # a space, a shard or a map
TABLE, SPACE = "kotovec-tokens", "kotovec-space"  # encoding-type of tokens.h5, and of the files in spaces/
IMPORTED = "imported"  # attribute of a table of words that were imported: of which file, in which format
PIECES = ("piece_offsets", "pieces")  # datasets that the table of a list of words has, and no other
FAISS, RECORD = ".faiss", ".json"  # an index, and how it was made
MOST_RECORD = 1 << 16  # bytes of the record of an index, or of the list of a tokenizer's files

PART = re.compile(r"\.kotovec-[0-9a-f]{16}\.part")  # a file that is being written, or that a killed process left
PARTS = ".kotovec-*.part"


def part_name() -> str:
    """Return a name for what is being written: random, so that nobody can put a link there before."""
    return PARTS.replace("*", os.urandom(8).hex())


@dataclass(frozen=True)
class Layout:
    """The paths of a store in `folder`."""

    folder: Path

    @property
    def tokens(self) -> Path:
        """The table of the tokens, and where they came from; written first."""
        return self.folder / TOKENS

    @property
    def spaces(self) -> Path:
        """The vectors, one file per space."""
        return self.folder / SPACES

    def space(self, space: Space) -> Path:
        """The vectors of a space."""
        return self.spaces / f"{space.stem}{HDF5}"

    @property
    def contexts(self) -> Path:
        """The sample: which sentences the context spaces are made of."""
        return self.folder / CONTEXTS

    @property
    def former(self) -> Path:
        """The file that holds the tokens and vectors of a store of format 1."""
        return self.folder / FORMER

    @property
    def tokenizer(self) -> Path:
        """The model's own tokenizer."""
        return self.folder / TOKENIZER

    @property
    def indexes(self) -> Path:
        """The faiss indexes."""
        return self.folder / INDEXES

    @property
    def maps(self) -> Path:
        """The maps."""
        return self.folder / MAPS

    @property
    def measures(self) -> Path:
        """What was measured of all rows, and is kept: the nearest of each."""
        return self.folder / MEASURES

    @property
    def shards(self) -> Path:
        """Shard files, while a build is unfinished."""
        return self.folder / SHARDS

    @property
    def plan(self) -> Path:
        """The settings of an unfinished build."""
        return self.shards / PLAN

    @property
    def sample(self) -> Path:
        """The sample with the token ids of its sentences, while they are encoded."""
        return self.shards / CONTEXTS

    @property
    def corpus(self) -> Path:
        """The files of the corpus, while it is scanned."""
        return self.shards / CORPUS

    def piece(self, number: int) -> Path:
        """What was found in a piece of the corpus, while it is scanned."""
        return self.shards / f"{PIECE}{number:06d}{HDF5}"

    @property
    def tokenizer_list(self) -> Path:
        """The names of the tokenizer's files, while a build is unfinished."""
        return self.shards / TOKENIZER_LIST

    @property
    def rebuild(self) -> Path:
        """The folder in which `--overwrite` builds: beside the store, on the same file system."""
        return self._beside("rebuild")

    @property
    def aside(self) -> Path:
        """The folder that holds the old store for a moment during a swap in two steps."""
        return self._beside("old")

    @property
    def lock(self) -> Path:
        """The lock of a build: beside the store, which may be swapped while the lock is held."""
        return self._beside("lock")

    @property
    def fetch(self) -> Path:
        """The folder of an unfinished fetch of this store from a cluster."""
        return self._beside("fetch")

    @property
    def is_store(self) -> bool:
        """Whether there are vectors, so that the store can be opened, even while more is being built."""
        return self.former.is_file() or (self.tokens.is_file() and any(self.spaces.glob(f"*{HDF5}")))

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def _beside(self, what: str) -> Path:
        return self.folder.with_name(f".{self.folder.name}.{what}")
