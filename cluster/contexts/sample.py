"""The sample of a corpus: its pieces scanned, what was found in each kept as a file, and the sentences gathered."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from kotovec.cluster import resources
from kotovec.cluster.contexts import manifest
from kotovec.cluster.contexts.executor import Executor, Limits
from kotovec.cluster.contexts.gather import gather
from kotovec.cluster.contexts.inline import Inline
from kotovec.cluster.contexts.pieces import Pieces
from kotovec.cluster.contexts.scan import Found
from kotovec.cluster.contexts.sketch import Sketches
from kotovec.cluster.contexts.spec import ScanSpec
from kotovec.cluster.contexts.tasks import Tasks
from kotovec.cluster.corpus import Counts, Piece, cut, list_files, locate
from kotovec.cluster.corpus import counts as faults
from kotovec.cluster.events import Notice, Phase, Progress, Report, ignore
from kotovec.cluster.pool import object_store_bytes
from kotovec.cluster.where import Resources
from kotovec.errors import DamagedError, InputError
from kotovec.store.contexts import Sample, offsets_of, read_contexts
from kotovec.store.layout import Layout
from kotovec.store.tokens import KINDS, Tokens
from kotovec.text import counted

WORKER_BYTES = 1 << 30  # of memory that a worker takes
RESULT_BYTES = 64 << 20  # of what is found in a piece, at the most


def scan(spec: ScanSpec, layout: Layout, executor: Executor, report: Report = ignore) -> Sample:
    """Scan a corpus, or what an interrupted scan left of it, and gather its sample.

    The sample is in the folder of the shards, with the token ids of its sentences. Its datasets do not depend on the
    order, the files or the format of the corpus, on the executor, or on interruptions.

    Args:
        spec: what decides the sample.
        layout: the paths of the store, whose folder of shards exists.
        executor: what reads the pieces; closed by the caller.
        report: called with each event.

    Raises:
        CorpusError: a file is gone, has changed since the scan began, or cannot be read.
        InputError: the corpus names no file, or has no sentence that can be used.
        WorkerError: workers were lost, or failed.
        DiskFullError: no space is left; what is there already is kept.
    """
    if (sample := finished(spec, layout, report)) is None:
        report(Phase("scan"))
        files = list_files(spec.corpus)
        pieces = Pieces(layout, manifest.begin(spec, layout, files))
        run = _Scan(spec, pieces, cut(files, spec.piece_bytes, spec.corpus), report)
        missing = run.resume()
        run.progress()
        executor.run(missing, run.thresholds, run.take)
        manifest.check_unchanged(files)
        run.report_faults()
        report(Phase("gather"))
        try:
            chosen = run.sample()
        except InputError:  # other files or settings are needed, for which no piece is of use
            manifest.end(layout)
            raise
        gather(layout.sample, chosen, spec.fingerprint, pieces, len(run.pieces), keep_text=spec.keep_text)
        sample = read_contexts(layout.sample, spec.fingerprint, checked=False)
    else:
        manifest.check_gathered(spec, layout)
    manifest.end(layout)
    return sample


def finished(spec: ScanSpec, layout: Layout, report: Report = ignore) -> Sample | None:
    """Return the sample that an earlier run gathered; None without one, or where it is damaged or another one."""
    try:
        return read_contexts(layout.sample, spec.fingerprint)
    except FileNotFoundError:
        return None
    except DamagedError:
        report(Notice("the sample of the corpus is damaged, or another one: the corpus is scanned again"))
        return None


@contextlib.contextmanager
def open_executor(spec: ScanSpec, where: Resources, report: Report = ignore) -> Iterator[Executor]:
    """Yield what reads the pieces of a corpus: this process with 0 workers, else tasks of a Ray that is held meanwhile.

    Args:
        spec: what decides the sample.
        where: workers and cluster.
        report: called with each notice.

    Raises:
        InputError: no cluster answers at the address.
        WorkerError: Ray does not start.
    """
    if where.workers == 0:
        yield Inline(spec.scanner, spec.corpus)
        return
    from kotovec.cluster.session import session

    cores = where.workers or max(1, min(resources.cores(), resources.available_memory() // WORKER_BYTES))
    with contextlib.ExitStack() as stack:
        size = object_store_bytes(cores, RESULT_BYTES)
        check = stack.enter_context(session(where.address, cores, size, where.folder))
        workers = where.workers if where.workers is not None or where.address is not None else cores
        tasks = Tasks(spec.scanner, spec.corpus, workers, report, check, where.stall_seconds)
        yield stack.enter_context(contextlib.closing(tasks))


def tally(sample: Sample, tokens: Tokens) -> dict[str, dict[str, int]]:
    """Return, by kind, how many items have all contexts, fewer or none, and how many have them inside of words."""
    counts, found = sample.counts, {}
    for number, kind in enumerate(KINDS):
        of_kind = counts[tokens.kinds == number]
        if len(of_kind):
            full, none = int((of_kind >= sample.limit).sum()), int((of_kind == 0).sum())
            inside = int(sample.inside[tokens.kinds == number].sum())
            found[kind] = {"complete": full, "fewer": len(of_kind) - full - none, "none": none, "inside": inside}
    return found


class _Scan:
    """One run of a scan."""

    def __init__(self, spec: ScanSpec, files: Pieces, pieces: Sequence[Piece], report: Report) -> None:
        self.spec, self.pieces, self._files, self._report = spec, pieces, files, report
        self.sketches = Sketches(spec.scanner.matcher.items, spec.scanner.limit)
        self._counts: dict[int, Counts] = {}  # by number of the piece
        self._done, self._total = 0, sum(piece.size for piece in pieces)
        self._sentences = self._complete = 0

    def resume(self) -> list[Piece]:
        """Take what earlier runs found; return the pieces that are still to be read."""
        missing, damaged = [], 0
        for piece in self.pieces:
            try:
                self._add(piece, self._files.read(piece.number))
            except FileNotFoundError:
                missing.append(piece)
            except DamagedError:
                missing.append(piece)
                damaged += 1
        if damaged:
            self._report(Notice(f"reading {counted(damaged, 'damaged piece')} of the corpus again"))
        if whole := len(self.pieces) - len(missing):
            total = counted(len(self.pieces), "piece")
            self._report(Notice(f"resuming with {whole:,} of {total} of the corpus from an earlier run"))
        return missing

    def take(self, piece: Piece, found: Found) -> None:
        """Keep what was found in a piece."""
        self._files.write(piece.number, found)
        self._add(piece, found)
        if self._done == self._total:  # no threshold is asked for any more
            self._count()
        self.progress()

    def _add(self, piece: Piece, found: Found) -> None:
        self.sketches.add(found.rows, found.sentences.hashes[found.sentence], found.inside)
        self._counts[piece.number] = found.counts
        self._done += piece.size
        self._sentences += found.counts.sentences

    def thresholds(self) -> Limits:
        """Return from which hashes on a sentence is of no use to each item."""
        limits = self.sketches.thresholds()
        self._count()
        return limits

    def _count(self) -> None:
        """Count the items that have all of their contexts."""
        counts = np.maximum(self.sketches.whole.counts(), self.sketches.inside.counts())
        self._complete = int((counts == self.spec.scanner.limit).sum())

    def progress(self) -> None:
        """Report how far the scan is."""
        complete = f"{self._complete:,} of {counted(self.sketches.whole.items, 'item')} complete"
        note = f"{counted(self._sentences, 'sentence')}, {complete}"
        self._report(Progress(self._done, self._total, "byte", note))

    @property
    def counts(self) -> Counts:
        """What was read in all pieces."""
        return sum((self._counts[piece.number] for piece in self.pieces), start=Counts())

    def report_faults(self) -> None:
        """Report what could not be read, each kind in a line with the first place where it is."""
        counted_in = [(piece.file.path, piece.start, self._counts[piece.number]) for piece in self.pieces]
        first = {fault.kind: fault for fault in reversed(locate(counted_in))}
        for kind, number in self.counts.faults.items():
            where = f", the first in {first[kind].path}:{first[kind].line}" if kind in first else ""
            self._report(Notice(f"the corpus has {kind}: {number:,}{where}"))

    def sample(self) -> Sample:
        """Return the sample, without texts and ids.

        Raises:
            InputError: no item has any context.
        """
        whole, inside, fraction = self.sketches.whole, self.sketches.inside, self.spec.scanner.fraction
        within = inside.counts() > 0
        counts = whole.counts() + inside.counts()
        if not counts.any():
            raise self._unusable()
        chosen = np.empty(counts.sum(), dtype=np.uint64)
        is_inside = np.repeat(within, counts)
        chosen[~is_inside], chosen[is_inside] = whole.sample()[1], inside.sample()[1]
        hashes, sentences = np.unique(chosen, return_inverse=True)
        numbers = {name: value for name, value in self.counts.as_json().items() if name != "examples"}
        return Sample(
            hashes,
            offsets_of(counts),
            sentences.astype(np.int32),
            within,
            np.where(within, inside.estimate(fraction), whole.estimate(fraction)),
            self.spec.scanner.limit,
            {**self.spec.cutting, "counts": numbers},
        )

    def _unusable(self) -> InputError:
        """Return the error that says why there is no sentence."""
        counts, corpus = self.counts, self.spec.corpus
        found = f"{counted(counts.lines, 'line')}, {counted(counts.sentences, 'sentence')}"
        outside = f"{counts.too_short:,} too short, {counts.too_long:,} too long"
        number, fraction = self.sketches.whole.items, self.spec.scanner.fraction
        items = "the one item" if number == 1 else f"any of the {number:,} items"
        if counts.sentences and fraction < 1:
            return InputError(
                f"none of the sentences that --fraction {fraction:g} draws has {items} ({found})",
                hint="choose a larger --fraction",
            )
        if counts.sentences:
            return InputError(
                f"no sentence of the corpus has {items} ({found})", hint="name a corpus in the language of the model"
            )
        excluded = counts.too_short + counts.too_long
        kind = max(counts.faults, key=counts.faults.__getitem__, default=None)
        hint = "name other files with --corpus"
        if kind is not None and counts.faults[kind] >= excluded:
            hint = faults.cure(kind, hint)
        elif excluded:
            hint = f"they must have {corpus.min_chars} to {corpus.max_chars} characters: see --min-chars, --max-chars"
        return InputError(f"the corpus has no usable sentence ({found}, {outside})", hint=hint)
