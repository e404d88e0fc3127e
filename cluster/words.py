"""The words of a list as the rows of a store: the tokens that each consists of, and what is pooled of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.store.tokens import Pieces, Tokens
from kotovec.store.writer import Rows
from kotovec.workers import pooling as poolings
from kotovec.workers.inputs import Inputs
from kotovec.workers.tokenizer import Template


@dataclass(frozen=True, eq=False)
class Words:
    """The words of a list that a model can encode.

    Attributes:
        tokens: the V words, as the table of the store.
        pooling: how the vectors of a word's pieces become its own: `mean`, `first` or `last`.
        digest: SHA-256 of all words of the list.
        about: where the words came from and how many were left out, JSON-ready.
    """

    tokens: Tokens
    pooling: str
    digest: str
    about: dict[str, Any]

    @property
    def pieces(self) -> Pieces:
        """The tokens that each word consists of."""
        assert self.tokens.pieces is not None  # noqa: S101 — for the type checker
        return self.tokens.pieces

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the table, beside the settings that a vocabulary has, too."""
        return {"words": self.digest, "pooling": self.pooling}

    def inputs(self, start: int, stop: int, template: Template) -> Inputs:
        """Return the inputs of a worker for the words from `start` to `stop`."""
        pieces = self.pieces.slice(start, stop)
        return Inputs.words(pieces.ids, pieces.offsets, template, self.pooling)

    def pooled(self, read: Callable[[npt.NDArray[np.int64]], Iterator[Rows]]) -> Iterator[Rows]:
        """Yield what is pooled of the rows of each word's pieces in a matrix, in blocks of (n, D).

        Args:
            read: yields the rows of these numbers, in their order and in blocks.
        """
        wanted = self.pieces.ids[poolings.chosen(self.pieces.offsets, self.pooling)].astype(np.int64)
        blocks = read(wanted)
        return poolings.mean_blocks(blocks, self.pieces.offsets) if self.pooling == "mean" else blocks
