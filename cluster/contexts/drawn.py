"""The contexts of a build: sentences that are drawn from a corpus, or taken from another store."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kotovec.cluster.contexts import sample as samples
from kotovec.cluster.contexts.matching import make_matcher
from kotovec.cluster.contexts.reuse import describe_others, reuse
from kotovec.cluster.contexts.sampling import Sampling, read_other
from kotovec.cluster.contexts.scan import Scanner
from kotovec.cluster.contexts.spec import ScanSpec
from kotovec.cluster.contexts.spellings import spell_within
from kotovec.cluster.corpus import Corpus
from kotovec.cluster.events import Notice, Phase, Report
from kotovec.cluster.where import Resources
from kotovec.errors import SettingsDifferError
from kotovec.store.contexts import Sample, read_contexts
from kotovec.store.layout import Layout
from kotovec.store.sentences import digests, read_sample
from kotovec.store.tokens import Tokens
from kotovec.store.vectors import Vectors
from kotovec.workers.splitter import Splitter
from kotovec.workers.tokenizer import Vocabulary

_SAID = {"complete": "complete", "fewer": "with fewer", "none": "without any", "inside": "inside words alone"}


@dataclass(frozen=True, eq=False)
class Drawn:
    """What decides the contexts of a build.

    Attributes:
        sampling: what is wanted.
        tokens: the V items.
        vocabulary: all tokens of the model.
        tokenizer: its tokenizer.
        tokenizer_hash: SHA-256 of its files.
        rows: number of rows of the model's input embedding matrix: it reads no sentence with another token.
    """

    sampling: Sampling
    tokens: Tokens
    vocabulary: Vocabulary
    tokenizer: Any
    tokenizer_hash: str
    rows: int

    @cached_property
    def scanner(self) -> Scanner:
        """What finds the items in sentences."""
        splitter = Splitter(self.tokenizer)
        spellings = spell_within(splitter, self.vocabulary, self.tokens) if self.tokens.pieces is not None else None
        matcher = make_matcher(self.vocabulary, self.tokens, spellings)
        sampling = self.sampling
        return Scanner(splitter, matcher, sampling.most, sampling.seed, sampling.fraction, self.rows)

    def draw(self, layout: Layout, identity: str, where: Resources, report: Report) -> Sample:
        """Return the sample, with the ids of its sentences, and their texts where they are kept.

        Args:
            layout: the layout of the store, whose folder of shards exists.
            identity: the identity of the store's tokens.
            where: workers and cluster.
            report: called with each event.

        Raises:
            CorpusError, InputError, WorkerError, DiskFullError: as `sample.scan`.
            SettingsDifferError: the store has contexts, and they are others.
        """
        kept, digest = _read_kept(layout, identity)
        keep_text = self.sampling.keep_text
        if kept is not None and kept.texts is not None:
            keep_text = True
            sample = self._reused(kept, self.tokens, report)
        elif isinstance(self.sampling.source, Path):
            sample = self._reused(*read_other(self.sampling.source), report)
        else:
            sample = self._scanned(self.sampling.source, layout, identity, where, report)
        if digest is not None and digest != sample.digest:
            raise SettingsDifferError(
                f"{layout.folder} has contexts of other sentences than the corpus gives now",
                hint="use --overwrite to build again, or --store to name another path",
            )
        return sample if keep_text else replace(sample, texts=None)

    def _scanned(self, corpus: Corpus, layout: Layout, identity: str, where: Resources, report: Report) -> Sample:
        spec = ScanSpec(corpus, self.scanner, identity, self.tokenizer_hash, self.sampling.keep_text)
        with samples.open_executor(spec, where, report) as executor:
            return samples.scan(spec, layout, executor, report)

    def _reused(self, other: Sample, tokens: Tokens, report: Report) -> Sample:
        report(Phase("gather"))
        if (others := describe_others(tokens, self.tokens)) is not None:
            report(Notice(others))
        return reuse(other, tokens, self.tokens, self.scanner)


def describe(tallies: Mapping[str, Mapping[str, int]]) -> str:
    """Return how many items of each kind have all of their contexts, fewer, or none, for a person.

    Args:
        tallies: the result of `sample.tally`.
    """
    parts = []
    for kind, found in tallies.items():
        numbers = [f"{found[name]:,} {said}" for name, said in _SAID.items() if found[name]]
        parts.append(f"{kind} {', '.join(numbers)}")
    return f"contexts: {'; '.join(parts)}"


def _read_kept(layout: Layout, identity: str) -> tuple[Sample | None, str | None]:
    """Return the sample that a store has already, and its digest; of a sample that was lost, what its spaces record.

    Raises:
        DamagedError: the sample cannot be read, or is not the one that the spaces are made of.
    """
    if not layout.is_store:
        try:
            kept = read_contexts(layout.contexts, identity, checked=False)
        except FileNotFoundError:
            return None, None
        return kept, kept.digest
    with contextlib.closing(Vectors(layout.folder)) as vectors:
        if not layout.contexts.is_file():
            return None, next(iter(digests(vectors).values()), None)
        kept = read_sample(layout, vectors)
    return kept, kept.digest
