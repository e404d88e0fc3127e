"""The sentences of a sample as a build encodes them: in shards, with the positions of the items that they are for."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kotovec.cluster import settings as settings_of
from kotovec.cluster.contexts.matching import Matcher, Occurrences
from kotovec.cluster.plan import Plan
from kotovec.cluster.replica import BATCH_POSITIONS, MOST_SENTENCES, SHARD_POSITIONS, SUM_BYTES
from kotovec.cluster.shards import ShardPlan
from kotovec.cluster.spelling import most_pieces
from kotovec.errors import InputError
from kotovec.space import TABLES, Space
from kotovec.store.contexts import Sample, offsets_of, take_ragged
from kotovec.workers.inputs import Inputs
from kotovec.workers.pooling import POOLINGS
from kotovec.workers.tokenizer import Template

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sentences:
    """The S sentences of a sample, in the order in which they are encoded: by length, then by hash.

    Attributes:
        sample: the sample, with token ids.
        matcher: finds the items in it again.
        template: ids around each sentence.
        most: most ids of a sentence that the model takes; of a longer one, windows around its items are encoded.
        pooling: what the vector of an item of several tokens is: `mean`, `first` or `last`.
        order: (S,) int64, numbers of the sentences.
        shards: `start` and `stop` are positions in `order`.
        with_points: whether workers return a vector for each context, too, and not only sums of items.
    """

    sample: Sample
    matcher: Matcher
    template: Template
    most: int
    pooling: str
    order: Numbers
    shards: tuple[ShardPlan, ...]
    with_points: bool = False

    @classmethod
    def of(
        cls, sample: Sample, matcher: Matcher, template: Template, most: int, pooling: str, row_bytes: int, device: str
    ) -> "Sentences":
        """Cut the sentences of a sample into shards.

        Args:
            sample: see the attributes; so are the next four.
            matcher: finds the items.
            template: ids around each sentence.
            most: most ids of a sentence.
            pooling: of an item of several tokens.
            row_bytes: size in bytes of the sums of a row, in all layers.
            device: `cpu` or `cuda`.

        Raises:
            InputError: the sample has no sentence, or was drawn from other items.
        """
        if sample.ids is None or sample.id_offsets is None or len(sample.offsets) - 1 != matcher.items:
            raise InputError("the sample has no token ids, or is of other items")
        if not len(sample.sentences):
            raise InputError("no item has a context", hint="give more, or other text with --corpus")
        lengths = np.diff(sample.id_offsets)
        used = np.bincount(sample.sentences, minlength=len(lengths))
        order = np.argsort(lengths, kind="stable")  # equal ones stay in the order of their hashes
        order = order[used[order] > 0]
        costs = np.stack(
            [
                np.full(len(order), 1 / MOST_SENTENCES),
                (lengths[order] + template.length) / SHARD_POSITIONS[device],
                used[order] * (row_bytes / SUM_BYTES[device]),
            ]
        )
        return cls(sample, matcher, template, most, pooling, order, _cut(costs))

    @property
    def long(self) -> int:
        """How many of the sentences are longer than the model takes."""
        assert self.sample.id_offsets is not None  # noqa: S101 — for the type checker
        return int((np.diff(self.sample.id_offsets)[self.order] > self.most).sum())

    @cached_property
    def _entries(self) -> tuple[Numbers, Numbers, Numbers]:
        """Keys of all pairs of a sentence's place in `order` and an item's row, ascending; where each place begins.

        Of each key also the position of the pair in `Sample.sentences`.
        """
        sample, items = self.sample, self.matcher.items
        rank = np.empty(len(sample.hashes), dtype=np.int64)
        rank[self.order] = np.arange(len(self.order))
        rows = np.repeat(np.arange(items), sample.counts)
        keys = rank[sample.sentences] * items + rows
        pairs = np.argsort(keys)
        keys = keys[pairs]
        return keys, np.searchsorted(keys, np.arange(len(self.order) + 1) * items), pairs

    def contexts(self, shard: ShardPlan) -> int:
        """Return how many pairs of a sentence and an item a shard has: no more rows have sums in it."""
        starts = self._entries[1]
        return int(starts[shard.stop] - starts[shard.start])

    def pairs(self, shard: ShardPlan) -> Numbers:
        """Return the positions in `Sample.sentences` of the contexts of a shard, as its inputs number them."""
        _, starts, pairs = self._entries
        return pairs[starts[shard.start] : starts[shard.stop]]

    def inputs(self, shard: ShardPlan) -> Inputs:
        """Return the inputs of a shard.

        Raises:
            InputError: an item is not in its context: the sample was drawn with another tokenizer.
        """
        sample = self.sample
        assert sample.ids is not None and sample.id_offsets is not None  # noqa: S101, PT018 — for the type checker
        ids, offsets = take_ragged(sample.ids, sample.id_offsets, self.order[shard.start : shard.stop])
        found, contexts = self._wanted(shard, self.matcher.find(ids, offsets))
        starts, lengths = offsets[found.sentences] + found.positions, found.lengths.astype(np.int64)
        begins, ends, owners = offsets[:-1], offsets[1:], found.sentences.astype(np.int64)
        if (ends - begins).max() > self.most:
            begins, ends, owners = windows(offsets, owners, starts, lengths, self.most)
        cut = offsets_of(ends - begins)
        positions = np.arange(cut[-1]) + np.repeat(begins - cut[:-1], ends - begins)
        starts = starts - begins[owners] + cut[owners]
        rows = found.rows.astype(np.int64)
        of_each = contexts if self.with_points else None
        return Inputs.of_contexts(ids[positions], cut, self.template, starts, lengths, rows, self.pooling, of_each)

    def _wanted(self, shard: ShardPlan, found: Occurrences) -> tuple[Occurrences, Numbers]:
        """Return the occurrences of items in the sentences that are their contexts, and which context each is of."""
        every, starts, _ = self._entries
        keys = every[starts[shard.start] : starts[shard.stop]]
        mine = (found.sentences.astype(np.int64) + shard.start) * self.matcher.items + found.rows
        at = np.minimum(np.searchsorted(keys, mine), len(keys) - 1)
        wanted = (keys[at] == mine) & (found.inside == self.sample.inside[found.rows])
        if len(np.unique(at[wanted])) < len(keys):
            raise InputError("an item is not in its context: the sample was drawn with another tokenizer")
        kept = found.keep(wanted)
        order = np.lexsort((kept.lengths, kept.positions, kept.sentences))
        return Occurrences(*(each[order] for each in vars(kept).values())), at[wanted][order]


def windows(
    offsets: Numbers, sentences: Numbers, starts: Numbers, lengths: Numbers, most: int
) -> tuple[Numbers, Numbers, Numbers]:
    """Cut windows of `most` ids out of the sentences that are longer, around the occurrences of items in them.

    Occurrences share a window as long as a quarter of it is left on either side, so that each has context.

    Args:
        offsets: (n + 1,) where each sentence begins.
        sentences: (q,) the sentence of each occurrence, ascending.
        starts: (q,) where it begins.
        lengths: (q,) how many ids it has, at most `most`.
        most: most ids of a window.

    Returns:
        Begins and ends of all sequences, and the sequence of each occurrence (q,).
    """
    cut: list[tuple[int, int]] = []
    owners = np.empty(len(sentences), dtype=np.int64)
    bounds = np.searchsorted(sentences, np.arange(len(offsets)))
    for sentence, (begin, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        first, last = int(bounds[sentence]), int(bounds[sentence + 1])
        if end - begin <= most:
            owners[first:last] = len(cut)
            cut.append((begin, end))
            continue
        while first < last:
            stop, span = first + 1, int(lengths[first])
            while stop < last:
                wider = max(span, int(starts[stop] + lengths[stop] - starts[first]))
                if wider > most // 2:
                    break
                stop, span = stop + 1, wider
            left = min(max(int(starts[first]) - (most - span) // 2, begin), end - most)
            owners[first:stop] = len(cut)
            cut.append((left, left + most))
            first = stop
    begins, ends = np.array(cut, dtype=np.int64).T
    return begins, ends, owners


def _cut(costs: npt.NDArray[np.float64]) -> tuple[ShardPlan, ...]:
    """Cut sentences into shards none of whose costs, (C, S), exceeds 1 unless it is one sentence."""
    sums = np.concatenate([np.zeros((len(costs), 1)), np.cumsum(costs, axis=1)], axis=1)
    shards: list[ShardPlan] = []
    start, total = 0, costs.shape[1]
    while start < total:
        stop = min(int(np.searchsorted(each, each[start] + 1, side="right")) - 1 for each in sums)
        stop = min(max(stop, start + 1), total)
        shards.append(ShardPlan(len(shards), start, stop, ()))
        start = stop
    return tuple(shards)


def plan_sentences(plan: Plan, sample: Sample, matcher: Matcher) -> Plan:
    """Return a plan whose hidden states are means over the contexts of a sample; see `Plan.with_sample`."""
    model, spec, device = plan.model, plan.spec, plan.spec.device
    prefix, suffix = plan.settings["template"]  # the model's own, also where the plan has a sentence
    template = Template(tuple(prefix), tuple(suffix))
    most = most_pieces(model, spec.architecture, template)
    pooling = POOLINGS[0] if plan.words is None else plan.words.pooling
    sentences = Sentences.of(sample, matcher, template, most, pooling, plan.sum_row_bytes, device)
    sentences = replace(sentences, with_points=plan.prototypes > 0)
    spec = replace(spec, space="context", template=template, positions=BATCH_POSITIONS[device])
    layers = tuple(Space(spec.space, layer) for layer in spec.layers)
    settings = settings_of.sentences(plan.settings, device) | {"contexts": sample.limit, "sample": sample.digest}
    plan = replace(plan, spec=spec, shards=sentences.shards, settings=settings, sentences=sentences)
    return replace(plan, wanted=(*(space for space in plan.wanted if space.name in TABLES), *layers, *plan.divided))
