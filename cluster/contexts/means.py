"""The sentences of a sample in a build: their sums are written and folded, and become the means of each item.

Where prototypes are wanted, the vectors of the contexts are kept, too, in files of their own, and divided at the end.
"""

from typing import Any

from kotovec.cluster.contexts.encode import Sentences
from kotovec.cluster.job import Shards, machine_of, read_shards
from kotovec.cluster.plan import Plan
from kotovec.cluster.results import check_summed
from kotovec.cluster.shards import ShardPlan
from kotovec.errors import DamagedError
from kotovec.space import PROTOTYPES, Space
from kotovec.store import means
from kotovec.store.contexts import write_contexts
from kotovec.store.division import merge_prototypes
from kotovec.store.layout import FOLD, Layout
from kotovec.store.points import Points
from kotovec.store.shard import Shard, ShardReader, energy_name, path_of, write_shard
from kotovec.text import counted
from kotovec.workers.encoder import Encoded


class Averaged:
    """A `Job`: the sentences that are the contexts of the items."""

    unit = "sentence"

    def __init__(self, plan: Plan, sentences: Sentences, layout: Layout) -> None:
        self._plan, self._sentences, self._layout = plan, sentences, layout
        self._sums = means.Folder(layout.shards, plan.fingerprint, plan.encoded, len(plan.tokens), ())
        self._points: Points | None = None
        if plan.prototypes:
            offsets = sentences.sample.offsets
            self._points = Points.of(layout.shards, plan.fingerprint, plan.encoded, offsets, plan.size)
        self._loose_bytes = 0
        self._width = 0
        self._is_sample_written = False

    @property
    def notices(self) -> tuple[str, ...]:
        """Messages for the user."""
        count, most = self._sentences.long, self._sentences.most
        if not count:
            return ()
        return (f"{counted(count, 'sentence')} longer than {most} tokens: windows around the items are encoded",)

    def find(self) -> Shards:
        """Return the shards that no earlier run encoded; delete those that are in the fold, too."""
        plan, folder = self._plan, self._layout.shards
        damaged, folded = 0, frozenset[int]()
        try:
            folded = means.read_folded(folder, plan.fingerprint)
        except DamagedError:
            (folder / FOLD).unlink()
            damaged = 1
        for number in folded:  # killed after it wrote the fold, before it deleted what is in it
            path_of(folder, number).unlink(missing_ok=True)
        found = read_shards(plan, folder, self._check)
        missing = [shard for shard in found.missing if shard.number not in folded]
        loose = {shard.number for shard in plan.shards} - {shard.number for shard in missing} - folded
        lost = [plan.shards[number] for number in sorted(folded) if not self._has_points(plan.shards[number])]
        missing, damaged = sorted((*missing, *lost), key=lambda shard: shard.number), damaged + len(lost)
        self._sums = means.Folder(
            folder, plan.fingerprint, plan.encoded, len(plan.tokens), tuple(sorted(loose)), folded
        )
        self._loose_bytes = sum(path_of(folder, number).stat().st_size for number in loose)
        machine = found.machine
        if folded:
            for source in self._sums.sources:
                machine = machine_of(source)
                break
        return Shards(missing, damaged + found.damaged, machine)

    def _check(self, shard: ShardPlan, reader: ShardReader) -> None:
        """Check that a shard can be read."""
        if self._points is not None:
            self._points.check(shard.number, self._sentences.pairs(shard))
        for space in self._plan.encoded:
            for name in ("ids", "counts", space.stem, energy_name(space)):
                reader.read(name)

    def _has_points(self, shard: ShardPlan) -> bool:
        """Return whether what is wanted of a shard beside its sums can be read."""
        try:
            if self._points is not None:
                self._points.check(shard.number, self._sentences.pairs(shard))
        except DamagedError:
            return False
        return True

    def check(self, shard: ShardPlan, encoded: Encoded) -> None:
        """Check the sums of a shard."""
        self._width = check_summed(self._plan, shard, encoded, self._width)

    def write(self, shard: ShardPlan, encoded: Encoded) -> None:
        """Write the sums of a shard; fold the shards where they are larger than the sums of all rows."""
        plan, folder, tally = self._plan, self._layout.shards, encoded.tally
        assert tally is not None  # noqa: S101 — checked
        arrays = {Space.parse(name): array for name, array in encoded.arrays.items()}
        energies = {Space.parse(name): array for name, array in tally.energies.items()}
        found = Shard(
            shard.number, tally.rows, arrays, encoded.host, encoded.cpu, tally.counts, encoded.products, energies
        )
        if self._points is not None:  # before the sums, which say that a shard is complete
            points = {Space.parse(name): array for name, array in tally.points.items()}
            self._points.write(found, self._sentences.pairs(shard), points)
        if shard.number in self._sums.folded:  # of which these were lost
            return
        write_shard(folder, found, plan.fingerprint)
        self._loose_bytes += path_of(folder, shard.number).stat().st_size
        self._sums = self._sums.with_loose(shard.number)
        if self._loose_bytes > plan.sum_bytes:
            self._sums = means.fold(self._sums)
            self._loose_bytes = 0

    def merge(self, space: Space, identity: str, made: dict[str, Any]) -> None:
        """Write the file of a space and, before the first one, which sentences it is made of."""
        sample = self._sentences.sample
        if not self._is_sample_written:
            write_contexts(self._layout.contexts, sample, identity, keep_text=sample.texts is not None)
            self._is_sample_written = True
        plan, layout, dtype = self._plan, self._layout, self._plan.spec.store_dtype
        if space.name != PROTOTYPES:
            means.merge_means(layout, space, self._sums, identity, made, sample.counts, dtype)
        elif self._points is not None:
            shards, most = len(plan.shards), plan.prototypes
            merge_prototypes(layout, space, self._points, shards, sample, most, identity, made, dtype)
