"""Scan pieces of a corpus in Ray tasks: two in flight per core, lost ones again, what workers do not see sent along."""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kotovec.cluster.contexts.executor import Limits, Take, Thresholds
from kotovec.cluster.contexts.inline import scan
from kotovec.cluster.contexts.manifest import check_sent
from kotovec.cluster.contexts.scan import Found, Scanner
from kotovec.cluster.corpus import Corpus, Piece, read_piece
from kotovec.cluster.crew import TRIES, failure
from kotovec.cluster.events import Notice, Report
from kotovec.cluster.pool import WAIT_SECONDS
from kotovec.errors import RESUME, CorpusError, KotovecError, WorkerError, first_line
from kotovec.ownership import drop_public_paths

IN_FLIGHT = 2  # pieces per core: one is read, one waits, so that the core never idles
MOST_SENT = 16  # pieces in flight whose bytes were sent along: a gigabyte
LOOK_SECONDS = 5.0  # cores join and leave over minutes
REFRESH_SECONDS, REFRESH_SHARE = 1.0, 0.1  # thresholds are computed no more often, and in no more of the time


@dataclass(frozen=True)
class Unseen:
    """What a task returns whose machine does not see the file of its piece."""

    reason: str


@lru_cache(maxsize=1)
def _received(reference: Any) -> Scanner:
    """Return what pieces are read with; a worker process takes it once, as building a tokenizer takes seconds."""
    import ray

    found: Scanner = ray.get(reference)
    return found


def scan_here(scanner: list[Any], piece: Piece, corpus: Corpus, thresholds: Limits, data: bytes | None) -> Any:
    """Return what is found in a piece, as a Ray task.

    Args:
        scanner: Ray's reference to what the piece is read with, in a list: Ray would resolve it for every task.
        piece: the piece.
        corpus: how it is cut into sentences.
        thresholds: as for `scan`.
        data: the bytes of the piece, where a machine did not see its file.

    Raises:
        KotovecError: as `scan`, where the bytes were sent along.
    """
    drop_public_paths()  # before transformers is imported: workers of a cluster start in any folder
    try:
        return scan(piece, corpus, _received(scanner[0]), thresholds, data)
    except CorpusError as error:
        if data is not None:
            raise
        return Unseen(str(error))


class Tasks:
    """An `Executor` of Ray tasks.

    Args:
        scanner: what the pieces are read with.
        corpus: how they are cut into sentences.
        workers: how many tasks run at the same time; None for as many as the cluster has cores, as they come and go.
        report: called with each notice.
        check: called once per round; raises where Ray itself has died, as Ray's own calls would hang then.
    """

    def __init__(
        self,
        scanner: Scanner,
        corpus: Corpus,
        workers: int | None,
        report: Report,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        import ray as untyped_ray

        self._ray: Any = untyped_ray
        self._corpus, self._workers, self._report, self._check = corpus, workers, report, check
        self._scanner = [self._ray.put(scanner)]
        # Each loss is a notice, and is tried again with newer thresholds: not by Ray.
        self._task = self._ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(scan_here)
        self._running: dict[Any, tuple[Piece, bool]] = {}  # by reference; whether the bytes were sent along
        self._deaths: Counter[int] = Counter()  # by number of the piece
        self._unseen: set[str] = set()  # files that some machine does not see
        self._most, self._looked = 1, float("-inf")
        self._limits, self._next_limits = None, float("-inf")

    def run(self, pieces: Sequence[Piece], thresholds: Thresholds, take: Take) -> None:
        """Scan all pieces; see `Executor.run`."""
        # The longest first, which would else be waited for at the end: compressed files are one piece each.
        queue = deque(sorted(pieces, key=lambda piece: (-piece.size, piece.number)))
        try:
            while queue or self._running:
                self._fill(queue, thresholds)
                ready, _ = self._ray.wait(list(self._running), timeout=WAIT_SECONDS)
                self._check()
                for reference in ready:
                    self._took(queue, reference, take)
        except ConnectionError as error:  # raised by Ray's client
            raise WorkerError(f"Ray no longer answers ({first_line(error)})", hint=RESUME) from error

    def close(self) -> None:
        """End the tasks that still run."""
        for reference in self._running:
            with contextlib.suppress(Exception):  # Ray may have ended: its client raises bare exceptions
                self._ray.cancel(reference, force=True)
        self._running.clear()

    def _fill(self, queue: deque[Piece], thresholds: Thresholds) -> None:
        self._look_around()
        sent = sum(was_sent for _, was_sent in self._running.values())
        waiting: list[Piece] = []
        while queue and len(self._running) < self._most:
            piece = queue.popleft()
            if not (is_sent := piece.file.path in self._unseen):
                self._submit(piece, None, thresholds)
            elif sent < MOST_SENT:
                sent += is_sent
                self._submit(piece, self._ray.put(read_piece(piece, self._corpus)), thresholds)
            else:
                waiting.append(piece)
        queue.extendleft(reversed(waiting))

    def _submit(self, piece: Piece, data: Any, thresholds: Thresholds) -> None:
        now = time.monotonic()
        if now >= self._next_limits:
            self._limits = self._ray.put(thresholds())
            took = time.monotonic() - now
            self._next_limits = now + max(REFRESH_SECONDS, took / REFRESH_SHARE)
        reference = self._task.remote(self._scanner, piece, self._corpus, self._limits, data)
        self._running[reference] = piece, data is not None

    def _took(self, queue: deque[Piece], reference: Any, take: Take) -> None:
        piece, _ = self._running.pop(reference)
        try:
            found: Found | Unseen = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, KotovecError):
                raise cause from None
            raise WorkerError(f"a worker failed: {failure(cause)}") from error
        except self._ray.exceptions.RayError as error:
            queue.appendleft(self._lost(piece, error))
            return
        if isinstance(found, Unseen):
            check_sent(piece.file)  # else it is gone everywhere
            if piece.file.path not in self._unseen:
                self._report(Notice(f"a worker cannot read {piece.file.path}: it is sent from here ({found.reason})"))
            self._unseen.add(piece.file.path)
            queue.appendleft(piece)
        else:
            take(piece, found)

    def _lost(self, piece: Piece, error: Exception) -> Piece:
        """Return the piece of a task that was lost, to be read again.

        Raises:
            WorkerError: it has cost as many workers as would be a coincidence.
        """
        reason = first_line(error)
        if not isinstance(error, self._ray.exceptions.NodeDiedError):
            self._deaths[piece.number] += 1
        if self._deaths[piece.number] >= TRIES:
            raise WorkerError(
                f"piece {piece.number} of the corpus, in {piece.file.path}, lost {TRIES} workers, the last one so: "
                f"{reason}"
            )
        self._report(Notice(f"a worker was lost ({reason}): its piece of {piece.file.path} is read again"))
        return piece

    def _look_around(self) -> None:
        """Adjust how many tasks are in flight to the cores that there are."""
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        self._check()  # Ray's own call would hang
        cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        # Where there are more cores than workers are wanted, those that wait would run.
        self._most = self._workers if self._workers is not None and self._workers < cores else IN_FLIGHT * cores
