"""The build: encode missing shards, merge them, copy the table, index; every step resumes from an earlier run."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kotovec.cluster.contexts.drawn import describe
from kotovec.cluster.contexts.sample import tally
from kotovec.cluster.crew import Order
from kotovec.cluster.events import Notice, Phase, Progress, Report, ignore
from kotovec.cluster.executor import Executor
from kotovec.cluster.inline import Inline
from kotovec.cluster.job import Job, open_job
from kotovec.cluster.plan import Plan
from kotovec.cluster.pool import Pool, object_store_bytes
from kotovec.cluster.provenance import Machine, check_begun, check_products, made, provenance
from kotovec.cluster.remaining import missing_indexes, missing_spaces, of_store, unsampled
from kotovec.cluster.replica import SUM_BYTES
from kotovec.cluster.rows import check_rows, copy_table
from kotovec.cluster.session import Check, session
from kotovec.cluster.shards import ShardPlan
from kotovec.cluster.tables import TABLES
from kotovec.cluster.where import ANYWHERE, Resources, count_workers
from kotovec.errors import DamagedError, DiskFullError, SettingsDifferError
from kotovec.space import Space
from kotovec.store import contents
from kotovec.store import folder as folders
from kotovec.store import index as indexes
from kotovec.store.files import disk_full, is_disk_full
from kotovec.store.layout import Layout
from kotovec.store.library import single_thread
from kotovec.store.lock import locked
from kotovec.store.nearest import Metric
from kotovec.store.tokenizer import checksums
from kotovec.store.vectors import Vectors
from kotovec.store.writer import identity_of, write_tokens
from kotovec.text import counted
from kotovec.workers.encoder import Encoded
from kotovec.workers.tokenizer import save_tokenizer


@dataclass
class Summary:
    """What a build did.

    Attributes:
        store: path of the store's folder.
        tokens: number of tokens in the store.
        encoded: number of tokens that this run encoded; earlier runs encoded the others.
        sentences: number of sentences that this run encoded.
        contexts: how many tokens have all contexts, fewer or none, by kind; empty where none were drawn.
        seconds: duration of each phase, by its name.
        bytes: size of the store.
        finished_before: whether the store was complete before this run, which had nothing to do.
    """

    store: Path
    tokens: int
    unit: str = "token"
    encoded: int = 0
    sentences: int = 0
    contexts: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: int = 0
    finished_before: bool = False

    def then(self, later: "Summary") -> "Summary":
        """Return the summary of this build and a later one of the same store."""
        seconds = self.seconds | {name: value + self.seconds.get(name, 0.0) for name, value in later.seconds.items()}
        encoded, finished = self.encoded + later.encoded, self.finished_before and later.finished_before
        return replace(later, encoded=encoded, seconds=seconds, finished_before=finished)


def build(
    plan: Plan,
    store: Path,
    where: Resources = ANYWHERE,
    *,
    overwrite: bool = False,
    report: Report = ignore,
    ray: contextlib.ExitStack | None = None,
) -> Summary:
    """Build a store, or resume one that an earlier run began.

    Args:
        plan: the plan, from `make_plan`.
        store: path of the store's folder.
        where: workers and cluster.
        overwrite: build again beside a complete store, and swap the two when the new one is complete.
        report: called with each event.
        ray: a stack that ends the Ray session of this process; closed when all shards are encoded.

    Raises:
        SettingsDifferError: the store was begun or completed with other settings.
        StoreBusyError: another process is building this store.
        StoreError, DiskFullError: the path cannot be used, or the disk is full.
        NonFiniteError: the model gave NaN or Inf.
        WorkerError: workers died or failed.
    """
    layout = Layout(store.resolve())  # a link stays a link: its target is built, and swapped
    folders.check_usable(layout, overwrite=overwrite)
    with locked(layout):
        folders.recover(layout)
        finished = layout.is_store
        if finished and not overwrite:
            plan = of_store(plan, layout)
        target = _rebuild(layout, plan) if finished and overwrite else layout
        try:
            with _naming_full_disks(target):
                summary = _Build(plan, target, where, report, ray or contextlib.ExitStack(), discard=overwrite).run()
        except BaseException:
            folders.tidy(target)
            raise
        if target is not layout:
            folders.swap(layout, target)
            summary.finished_before = False
        if not _is_begun(layout):
            folders.delete_plan(layout)
        summary.store = store
        summary.bytes = layout.size
        return summary


def _rebuild(layout: Layout, plan: Plan) -> Layout:
    """Return the layout where `--overwrite` builds; it keeps the shards of an interrupted run with the same plan."""
    folders.delete_plan(layout)  # once swapped out, the old store must not look like an unfinished one
    target = Layout(layout.rebuild)
    if target.folder.is_dir() and (folders.read_plan(target) or {}).get("settings") != plan.settings:
        contents.delete(target.folder)
    return target


class _Build:
    """One run of a build in one folder."""

    def __init__(
        self,
        plan: Plan,
        layout: Layout,
        where: Resources,
        report: Report,
        ray: contextlib.ExitStack,
        *,
        discard: bool,
    ) -> None:
        self.plan, self.layout, self.where, self.report = plan, layout, where, report
        self.ray, self.discard = ray, discard
        self.summary = Summary(store=layout.folder, tokens=len(plan.tokens), unit=plan.noun)
        self.started = datetime.now(UTC)
        self.machine: Machine | None = None

    def run(self) -> Summary:
        todo = missing_spaces(self.plan, self.layout)
        if todo:
            self.plan = self.plan.only(todo)
            with contextlib.ExitStack() as stack:
                stack.enter_context(self.ray)
                self._open()
                self._draw(stack)
                missing = self._find()
                self._check_disk(missing)
                self._encode(missing, stack)
            with self._phase("merge" if self.plan.encoded else "copy"):
                self._check_tables()
                self._merge()
        if not _is_begun(self.layout):
            folders.delete_shards(self.layout)  # the indexes take the space that the shards had on the disk
        built = self._index()
        self.summary.finished_before = not todo and not built
        return self.summary

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.report(Phase(name))
        with self._timed(name):
            yield

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.summary.seconds[name] = self.summary.seconds.get(name, 0.0) + time.monotonic() - begin

    def _open(self) -> None:
        """Begin the folder, or resume from its contents."""
        begun = folders.read_plan(self.layout)
        is_ours = begun is not None and unsampled(begun, self.plan) == self.plan.task
        if begun is not None and not is_ours:
            if not self.discard:
                check_begun(self.layout.folder, unsampled(begun, self.plan).get("settings", begun), self.plan)
            folders.clear(self.layout)
        elif begun is None and not self.layout.is_store:
            folders.clear(self.layout)  # the remains of a store may belong to another model
        folders.begin(self.layout, begun if begun is not None and is_ours else self.plan.task)
        self._write_tokens()

    def _draw(self, stack: contextlib.ExitStack) -> None:
        """Draw the contexts, where the build is of any; the stack ends Ray, which reads them and then encodes."""
        if (drawn := self.plan.drawn) is None:
            return
        if self.where.workers != 0:
            with self._phase("start"):
                self._hold_ray(stack, SUM_BYTES[self.plan.spec.device])
        try:
            with self._timed("scan"):
                sample = drawn.draw(self.layout, self._identity, self.where, self.report)
        except SettingsDifferError:  # the sample is of no use to any later run
            folders.delete_shards(self.layout)
            raise
        self.summary.contexts = tally(sample, self.plan.tokens)
        self.report(Notice(describe(self.summary.contexts)))
        self.plan = self.plan.with_sample(sample, drawn.scanner.matcher)
        folders.begin(self.layout, self.plan.task)

    def _find(self) -> list[ShardPlan]:
        """Return the shards that are still to be encoded."""
        self.job: Job = open_job(self.plan, self.layout)
        found = self.job.find()
        self.machine = found.machine
        if found.damaged:
            self.report(Notice(f"encoding {counted(found.damaged, 'damaged shard')} again"))
        whole = len(self.plan.shards) - len(found.missing)
        if whole:
            self.report(
                Notice(f"resuming with {whole} of {counted(len(self.plan.shards), 'shard')} from an earlier run")
            )
        return found.missing

    def _check_disk(self, missing: list[ShardPlan]) -> None:
        """Refuse a build that cannot fit: shards beside the merged file, later the indexes in place of the shards."""
        most = self.plan.peak_bytes(sum(shard.stop - shard.start for shard in missing))
        free = shutil.disk_usage(self.layout.folder).free
        if free < most:
            raise DiskFullError(
                f"{self.layout.folder} needs {most / 1e6:,.0f} MB more for a while, and the disk has "
                f"{free / 1e6:,.0f} MB free",
                hint="free some space, or name another path with --store",
            )

    def _encode(self, missing: list[ShardPlan], stack: contextlib.ExitStack) -> None:
        """Encode the missing shards; the stack ends the workers and Ray."""
        total, unit = sum(shard.stop - shard.start for shard in self.plan.shards), self.job.unit
        done = total - sum(shard.stop - shard.start for shard in missing)
        if not missing:
            return
        with self._phase("start"):
            inline = self.where.workers == 0
            pool: Executor = Inline(self.plan.spec) if inline else self._pool(len(missing), stack)
            stack.enter_context(contextlib.closing(pool))
        with self._phase("load"):
            pool.open()
        for text in self.job.notices:
            self.report(Notice(text))
        with self._phase("contexts" if self.plan.sentences is not None else "encode"):
            self.report(Progress(done, total, unit))

            def take(shard: ShardPlan, encoded: Encoded) -> None:
                nonlocal done
                self._write(shard, encoded)
                done += shard.stop - shard.start
                if self.plan.sentences is None:
                    self.summary.encoded += shard.stop - shard.start
                else:
                    self.summary.sentences += shard.stop - shard.start
                self.report(Progress(done, total, unit))

            pool.run(missing, self.plan.inputs, take)

    def _pool(self, most: int, stack: contextlib.ExitStack) -> Pool:
        check = self._hold_ray(stack, max(map(self.plan.result_bytes, self.plan.shards)))
        return Pool(self._order(most), self.plan.checkpoint, self.report, check)

    def _hold_ray(self, stack: contextlib.ExitStack, most: int) -> Check:
        """Start or join Ray, unless it is held already, until the stack ends it; return what checks that it lives.

        Args:
            stack: what ends it.
            most: most bytes of a result.
        """
        workers = self._order(len(self.plan.shards)).wanted or 1  # None only on a cluster, which has its own store
        cpus = workers * self.plan.spec.threads
        size = object_store_bytes(workers, most)
        return stack.enter_context(session(self.where.address, cpus, size, self.where.folder))

    def _order(self, most: int) -> Order:
        """Return what kind of workers are wanted, and how many: no more than `most`."""
        spec, where = self.plan.spec, self.where
        wanted = count_workers(self.plan, where, self.report)
        gpus = where.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if spec.device == "cuda" else 0.0
        takes = {"CPU": float(spec.threads), "GPU": gpus}
        if wanted is None and spec.device == "cpu":
            takes["memory"] = float(self.plan.worker_bytes)  # a node's cores may need more memory than it has
        return Order(
            spec=spec,
            takes=takes,
            wanted=None if wanted is None else min(wanted, most),
            most=most,
            may_grow=where.address is not None,
            stall_seconds=where.stall_seconds,
        )

    def _write(self, shard: ShardPlan, encoded: Encoded) -> None:
        """Check a shard that a worker returned, and write it."""
        self.job.check(shard, encoded)
        machine = Machine(encoded.host, encoded.cpu, encoded.products)
        self.machine = check_products(self.layout.folder, machine, self.machine)
        self.job.write(shard, encoded)

    def _write_tokens(self) -> None:
        """Write the first files of a store: the model's tokenizer and the table of tokens."""
        if self.layout.is_store:
            return
        if not self.layout.tokenizer.is_dir():
            folders.save_tokenizer(self.layout, partial(save_tokenizer, self.plan.tokenizer))
        files = checksums(self.layout.tokenizer)
        write_tokens(self.layout, self.plan.tokens, provenance(self.plan, self.started, files))

    def _check_tables(self) -> None:
        """Refuse tables of other weights beside those that an earlier run copied."""
        for space in TABLES:
            if self.plan.in_part and self.layout.space(space).is_file():
                check_rows(self.plan, space, self.layout)

    def _merge(self) -> None:
        plan, layout = self.plan, self.layout
        identity = self._identity
        try:
            for space in plan.added:
                if layout.space(space).is_file():
                    continue
                how = made(plan, space, self.started)
                if space in TABLES:
                    copy_table(plan, space, layout, identity, how)
                else:
                    self.job.merge(space, identity, how)
        except DamagedError as error:
            raise DamagedError(str(error), hint="run the same command again, which encodes it again") from error

    @property
    def _identity(self) -> str:
        return identity_of(self.plan.tokens, self.plan.settings["weights"])

    def _index(self) -> bool:
        """Build the default indexes that are missing; return whether any was."""
        missing = missing_indexes(self.plan, self.layout)
        if not missing:
            return False
        # torch is in this process, and shares OpenMP with faiss: one thread, which a Flat index is copied with.
        with (
            self._phase("index"),
            single_thread(),
            contextlib.closing(Vectors(self.layout.folder)) as vectors,
        ):
            for space in missing:
                indexes.build(vectors, self.layout.indexes, space, Metric.L2)
        return True


def _is_begun(layout: Layout) -> bool:
    """Return whether the shards are still needed: a build, perhaps another one, has not merged all of its spaces."""
    spaces = (folders.read_plan(layout) or {}).get("spaces", ())
    return not all(layout.space(Space.parse(name)).is_file() for name in spaces)


@contextlib.contextmanager
def _naming_full_disks(layout: Layout) -> Iterator[None]:
    """Turn every exception that a full disk causes into one error."""
    try:
        yield
    except Exception as error:  # tokenizers raises a plain Exception
        if is_disk_full(error) and not isinstance(error, DiskFullError):
            raise disk_full(layout.folder) from error
        raise
