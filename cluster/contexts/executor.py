"""The contract between a scan and what reads its pieces: Ray tasks (`Tasks`) or this process (`Inline`)."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.scan import Found
from kotovec.cluster.corpus import Piece

Limits = npt.NDArray[np.uint64]  # (2, V), as `Sketches.thresholds` returns them
Thresholds = Callable[[], Limits]
Take = Callable[[Piece, Found], None]


class Executor(Protocol):
    """Reads pieces of a corpus.

    Its user calls `run` any number of times, then `close`, also after an error.
    """

    def run(self, pieces: Sequence[Piece], thresholds: Thresholds, take: Take) -> None:
        """Scan all pieces, in any order, and pass each result to `take` as soon as it arrives.

        Args:
            pieces: the pieces to scan.
            thresholds: called in this process before a piece is read: what has become useless by then.
            take: called in this process, once per piece; what it raises ends the run.

        Raises:
            CorpusError: a file is gone, has changed, or cannot be read.
            WorkerError: workers were lost over one piece, or their code failed.
        """

    def close(self) -> None:
        """Give back what was taken from the cluster."""
