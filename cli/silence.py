"""`--quiet` for libraries, too: their warnings, logs and progress bars."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence

from kotovec.variables import drop_unreadable

_VARIABLES = {  # read when the libraries are imported
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "PYTHONWARNINGS": "ignore",  # of the workers
    "KMP_WARNINGS": "0",  # of Intel's OpenMP, about variables that it cannot read
}


def is_quiet(arguments: Sequence[str]) -> bool:
    """Return whether a command is given `--quiet`, or KOTOVEC_QUIET is set."""
    named = os.environ.get("KOTOVEC_QUIET", "").lower()
    return bool({"-q", "--quiet"} & set(arguments)) or named in ("1", "true", "yes", "on", "t", "y")


def silence(arguments: Sequence[str]) -> None:
    """Keep libraries quiet if a command is to be; settings of the user's stay."""
    if not is_quiet(arguments):
        return
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    logging.lastResort = None  # prints warnings that no handler takes
    logging.disable(logging.WARNING)


def note_unreadable(arguments: Sequence[str]) -> None:
    """Keep variables that libraries cannot read from them, and say so, unless quiet: in one line, not in theirs."""
    if (found := drop_unreadable()) and not is_quiet(arguments):
        from kotovec.cli.tables import notice

        named = ", ".join(f"{name}={value}" for name, value in found)
        notice(f"note: left out as no library can read it: {named}", quiet=False)


@contextlib.contextmanager
def without_clustering() -> Iterator[None]:
    """Keep faiss' warnings off stderr that a cluster has few vectors: C++ prints them; what else is written stays."""
    from tempfile import TemporaryFile

    with contextlib.ExitStack() as ends:
        try:
            held = ends.enter_context(TemporaryFile())
        except OSError:  # nothing can be written anywhere: the warnings are seen
            yield
            return
        kept = os.dup(2)
        ends.callback(os.close, kept)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            held.seek(0)
            for line in held:
                if not line.startswith(b"WARNING clustering "):
                    os.write(2, line)
