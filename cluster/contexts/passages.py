"""What replicas read of a sample: sentences in the model's template, and the positions that make each item's mean."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.matching import Matcher, Occurrences
from kotovec.cluster.shards import ShardPlan
from kotovec.store.contexts import Numbers, Sample, offsets_of, take_ragged
from kotovec.workers.inputs import Inputs, framed
from kotovec.workers.tokenizer import Template


@dataclass(frozen=True, eq=False)
class Passages:
    """The sentences of a sample, in the order in which they are encoded: the shortest first.

    Attributes:
        sample: the sample, with the token ids of its sentences.
        matcher: finds the items in them.
        template: ids around each sentence.
        longest: most ids of a sentence that the model takes; of a longer one, a window around each item is read.
        pooling: how the vectors of an item's pieces become its own.
    """

    sample: Sample
    matcher: Matcher
    template: Template
    longest: int
    pooling: str = "mean"

    @property
    def load(self) -> float:
        """How many items have a sentence as a context, on average."""
        return len(self.sample.sentences) / max(1, len(self.sample.hashes))

    def shards(self, entries: int, positions: int) -> tuple[ShardPlan, ...]:
        """Cut the sentences into shards.

        Args:
            entries: most items of a shard that have its sentences as a context.
            positions: most positions of a shard, template included. A single sentence may exceed both.
        """
        lengths = np.diff(self._offsets)[self._order] + self.template.length - 1
        ends = [np.cumsum(self._loads[self._order]), np.cumsum(lengths)]
        shards: list[ShardPlan] = []
        start, total = 0, len(self._order)
        while start < total:
            before = [end[start - 1] if start else 0 for end in ends]
            stops = (
                int(np.searchsorted(end, first + most, side="right"))
                for end, first, most in zip(ends, before, (entries, positions), strict=True)
            )
            stop = min(max(min(stops), start + 1), total)
            shards.append(ShardPlan(len(shards), start, stop, ((0, stop - start),)))
            start = stop
        return tuple(shards)

    def inputs(self, start: int, stop: int) -> Inputs:
        """Return the inputs of a worker for the sentences from `start` to `stop` in their order."""
        numbers = self._order[start:stop]
        ids, offsets = take_ragged(self._ids, self._offsets, numbers)
        found = self._wanted(self.matcher.find(ids, offsets), numbers)
        ids, offsets, found = windows(ids, offsets, found, self.longest)
        ids, bounds, indices = framed(ids, offsets, self.template)
        first = indices[offsets[found.sentences] + found.positions]
        rows = found.rows.astype(np.int64)
        if self.pooling == "last":
            return Inputs(ids, bounds, first + found.lengths - 1, rows=rows)
        if self.pooling == "first" or (found.lengths == 1).all():
            return Inputs(ids, bounds, first, rows=rows)
        means = offsets_of(found.lengths)
        wanted = np.arange(means[-1]) + np.repeat(first - means[:-1], found.lengths)
        return Inputs(ids, bounds, wanted, means=means, rows=rows)

    def _wanted(self, found: Occurrences, numbers: Numbers) -> Occurrences:
        """Return the occurrences of items whose context the sentence is, whole or inside words as the sample says."""
        keys = numbers[found.sentences] * len(self.sample.inside) + found.rows
        at = np.minimum(np.searchsorted(self._entries, keys), len(self._entries) - 1)
        return found.keep((self._entries[at] == keys) & (found.inside == self.sample.inside[found.rows]))

    @property
    def _ids(self) -> npt.NDArray[np.int32]:
        assert self.sample.ids is not None  # noqa: S101 — for the type checker
        return self.sample.ids

    @property
    def _offsets(self) -> Numbers:
        assert self.sample.id_offsets is not None  # noqa: S101 — for the type checker
        return self.sample.id_offsets

    @cached_property
    def _order(self) -> Numbers:
        """Numbers of the sentences, by length; of equally long ones by hash."""
        return np.argsort(np.diff(self._offsets), kind="stable")

    @cached_property
    def _loads(self) -> Numbers:
        """How many items have each sentence as a context, (S,) int64."""
        return np.bincount(self.sample.sentences, minlength=len(self.sample.hashes))

    @cached_property
    def _entries(self) -> Numbers:
        """Sentence times V plus row of each context, (E,) int64 ascending."""
        rows = np.repeat(np.arange(len(self.sample.inside)), self.sample.counts)
        return np.sort(self.sample.sentences.astype(np.int64) * len(self.sample.inside) + rows)


def windows(
    ids: npt.NDArray[np.int32], offsets: Numbers, found: Occurrences, longest: int
) -> tuple[npt.NDArray[np.int32], Numbers, Occurrences]:
    """Replace sentences that are too long for a model by windows around the occurrences in them.

    A window has `longest` ids with the occurrence in the middle, moved so far that it does not reach over an end of the
    sentence. Occurrences with the same window share it.

    Args:
        ids: (t,) ids of s sentences, one behind the other.
        offsets: (s + 1,), where each begins.
        found: the occurrences, each of at most `longest` ids.
        longest: most ids of a sequence.

    Returns:
        The same three for sentences and windows.
    """
    sizes = np.diff(offsets)
    if sizes.max(initial=0) <= longest:
        return ids, offsets, found
    size = sizes[found.sentences]
    starts = np.clip(found.positions + found.lengths // 2 - longest // 2, 0, np.maximum(size - longest, 0))
    starts = np.where(size > longest, starts, 0)
    pairs, number = np.unique(np.stack((found.sentences, starts)), axis=1, return_inverse=True)
    taken = np.minimum(sizes[pairs[0]], longest)
    cut, first = offsets_of(taken), offsets[pairs[0]] + pairs[1]
    where = np.arange(cut[-1]) + np.repeat(first - cut[:-1], taken)
    moved = replace(
        found,
        sentences=number.reshape(-1).astype(np.int32),
        positions=(found.positions - starts).astype(np.int32),
    )
    return ids[where], cut, moved
