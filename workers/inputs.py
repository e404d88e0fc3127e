"""The inputs of a replica: sequences of token ids, and the wanted positions of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError
from kotovec.workers.pooling import chosen
from kotovec.workers.tokenizer import Template


@dataclass(frozen=True, eq=False)
class Batch:
    """b sequences of one length T, of which k positions are wanted; without padding, they need no mask.

    Attributes:
        ids: (b, T) int64 token ids.
        rows, positions: (k,) int64: the i-th wanted state is that of sequence `rows[i]` at `positions[i]`.
        index: (k,) int64, index of each wanted state in `Inputs.wanted`.
        position: position of the token where each sequence is one token in the same template; else None.
        is_fixed: whether a plan decides which sequences are together, so that bits may depend on it.
    """

    ids: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    position: int | None = None
    is_fixed: bool = False


@dataclass(frozen=True, eq=False)
class Inputs:
    """n sequences of any length, template included, and m wanted positions of them.

    Attributes:
        ids: (N,) int64 token ids, one sequence after the other; the model receives these ids, never text.
        offsets: (n + 1,) int64, ascending: sequence i is `ids[offsets[i]:offsets[i + 1]]`, never empty.
        wanted: (m,) int64 indices into `ids`, in the order of the returned vectors. A sequence may have any
            number of them; one that has none is not computed.
        template: template where each sequence is one token in it and only that token is wanted; the parts that all
            sequences share are then computed once. None for sentences.
        means: (r + 1,) int64, ascending from 0 to m, where vectors are means: vector i is that of the wanted positions
            from `means[i]` to `means[i + 1]`, one or more, of one sequence. None where each wanted position has a
            vector of its own.
        rows: (r,) int64, the row that each vector belongs to, where only the sums of each row's vectors are wanted;
            else None.
        contexts: (r,) int64, from 0, the context that each vector is of, where the mean of each context's is wanted,
            too; else None.

    Raises:
        InputError: the arrays do not match, or no position is wanted.
    """

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]
    template: Template | None = None
    means: npt.NDArray[np.int64] | None = None
    rows: npt.NDArray[np.int64] | None = None
    contexts: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        lengths = np.diff(self.offsets)
        if len(lengths) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.ids) or lengths.min() < 1:
            raise InputError(f"offsets do not cut {len(self.ids)} ids into sequences of one or more")
        if len(self.wanted) == 0 or self.wanted.min() < 0 or self.wanted.max() >= len(self.ids):
            raise InputError(
                "no position is wanted, or one that no id has",
                hint=f"give one or more, each from 0 to {len(self.ids) - 1}",
            )
        if self.template is not None and not self._is_isolated(self.template):
            raise InputError("not every sequence is one wanted token in the template")
        if self.means is not None and not _cuts(self.means, len(self.wanted)):
            raise InputError(f"means do not cut {len(self.wanted)} wanted positions into one or more each")
        vectors = len(self.wanted) if self.means is None else len(self.means) - 1
        if self.rows is not None and len(self.rows) != vectors:
            raise InputError(f"rows name {len(self.rows)} owners of {vectors} vectors")
        if self.contexts is not None and (self.rows is None or len(self.contexts) != vectors):
            raise InputError(f"contexts are named for {len(self.contexts)} of {vectors} vectors, or without rows")

    @classmethod
    def isolated(cls, ids: npt.NDArray[np.int64], template: Template) -> "Inputs":
        """Return one sequence for each token: the token alone in a template.

        Args:
            ids: (n,) int64 token ids, n at least 1.
            template: ids around each token.
        """
        rows = np.empty((len(ids), template.length), dtype=np.int64)
        position = len(template.prefix)
        rows[:, :position] = template.prefix
        rows[:, position] = ids
        rows[:, position + 1 :] = template.suffix
        offsets = np.arange(len(ids) + 1) * rows.shape[1]
        return cls(rows.ravel(), offsets, offsets[:-1] + position, template)

    @classmethod
    def words(
        cls, pieces: npt.NDArray[np.integer[Any]], offsets: npt.NDArray[np.int64], template: Template, pooling: str
    ) -> "Inputs":
        """Return one sequence for each word: its pieces in a template.

        Args:
            pieces: (N,) token ids of n words, one word after the other.
            offsets: (n + 1,) int64, ascending from 0: word i is `pieces[offsets[i]:offsets[i + 1]]`, never empty.
            template: ids around each word.
            pooling: what the vector of each word is: the `mean` over its pieces, or that of the `first` or `last`.
        """
        ids, bounds, positions = _framed(pieces, offsets, template)
        return cls(ids, bounds, positions[chosen(offsets, pooling)], means=offsets if pooling == "mean" else None)

    @classmethod
    def of_contexts(
        cls,
        ids: npt.NDArray[np.integer[Any]],
        offsets: npt.NDArray[np.int64],
        template: Template,
        starts: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        pooling: str,
        contexts: npt.NDArray[np.int64] | None = None,
    ) -> "Inputs":
        """Return one sequence for each sentence, in a template, and a vector for each of q occurrences of some items.

        Args:
            ids: (N,) token ids of n sentences, one sentence after the other.
            offsets: (n + 1,) int64, ascending from 0: sentence i is `ids[offsets[i]:offsets[i + 1]]`, never empty.
            template: ids around each sentence.
            starts: (q,) int64 positions in `ids` of the first piece of each occurrence.
            lengths: (q,) int64 numbers of its pieces, all of one sentence.
            rows: (q,) int64 rows of the items.
            pooling: what the vector of each is: the `mean` over its pieces, or that of the `first` or `last`.
            contexts: (q,) int64 numbers of their contexts, where the mean of each is wanted.
        """
        framed, bounds, positions = _framed(ids, offsets, template)
        if pooling == "mean" and lengths.max(initial=1) > 1:
            cuts = np.concatenate(([0], np.cumsum(lengths)))
            pieces = np.arange(cuts[-1]) + np.repeat(starts - cuts[:-1], lengths)
            return cls(framed, bounds, positions[pieces], means=cuts, rows=rows, contexts=contexts)
        wanted = starts + lengths - 1 if pooling == "last" else starts
        return cls(framed, bounds, positions[wanted], rows=rows, contexts=contexts)

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """(m,) int64, the ids at the wanted positions."""
        return self.ids[self.wanted]

    def batches(self, positions: int) -> Iterator[Batch]:
        """Cut the sequences into batches of one length each, the shortest first, otherwise in their order.

        Args:
            positions: upper limit of rows times length of a batch, except that a batch has at least one sequence.
        """
        lengths = np.diff(self.offsets)
        owners = np.searchsorted(self.offsets, self.wanted, side="right") - 1
        by_owner = np.argsort(owners, kind="stable")
        ends = np.searchsorted(owners[by_owner], np.arange(len(lengths) + 1))
        position = None if self.template is None else len(self.template.prefix)
        asked = np.flatnonzero(np.diff(ends))
        for length in np.unique(lengths[asked]).tolist():
            members = asked[lengths[asked] == length]
            for start, stop in pairwise(_bounds(len(members), max(1, positions // length))):
                some = members[start:stop]
                counts = ends[some + 1] - ends[some]
                rows = np.repeat(np.arange(len(some)), counts)
                before = ends[some] - (np.cumsum(counts) - counts)
                index = by_owner[before[rows] + np.arange(len(rows))]
                yield Batch(
                    ids=self.ids[self.offsets[some, np.newaxis] + np.arange(length)],
                    rows=rows,
                    positions=self.wanted[index] - self.offsets[owners[index]],
                    index=index,
                    position=position,
                    is_fixed=self.rows is not None,
                )

    def _is_isolated(self, template: Template) -> bool:
        position, length = len(template.prefix), template.length
        if len(self.ids) != length * len(self.wanted):
            return False
        rows, starts = self.ids.reshape(-1, length), np.arange(len(self.wanted)) * length
        return (
            np.array_equal(self.offsets[:-1], starts)
            and np.array_equal(self.wanted, starts + position)
            and bool((rows[:, :position] == template.prefix).all())
            and bool((rows[:, position + 1 :] == template.suffix).all())
        )


def _framed(
    pieces: npt.NDArray[np.integer[Any]], offsets: npt.NDArray[np.int64], template: Template
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ids of sequences with a template around each, their bounds, and where each of the N pieces stands."""
    before, around = len(template.prefix), template.length - 1
    counts, sequences = np.diff(offsets), np.arange(len(offsets))
    bounds = offsets + around * sequences
    ids = np.empty(bounds[-1], dtype=np.int64)
    for index, token_id in enumerate(template.prefix):
        ids[bounds[:-1] + index] = token_id
    for index, token_id in enumerate(reversed(template.suffix), start=1):
        ids[bounds[1:] - index] = token_id
    positions = np.arange(len(pieces)) + before + np.repeat(around * sequences[:-1], counts)
    ids[positions] = pieces
    return ids, bounds, positions


def _cuts(offsets: npt.NDArray[np.int64], count: int) -> bool:
    """Return whether offsets cut a number of positions into parts of one or more."""
    return len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == count and bool(np.diff(offsets).min() >= 1)


def _bounds(total: int, size: int) -> list[int]:
    """Return the bounds of batches of one size; the last one has the rest, but a single row only where unavoidable.

    The plan cuts a vocabulary in the same way: transformers' forward pass uses another kernel for a single sequence,
    with other last bits.
    """
    bounds = [*range(0, total, size), total]
    if total > size > 2 and total % size == 1:  # noqa: PLR2004 — a batch of two cannot give one away
        bounds[-2] -= 1
    return bounds
