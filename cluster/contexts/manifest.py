"""The files of a corpus as they were when its scan began: one that has changed since is refused, and named."""

import json
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from kotovec.cluster.contexts.spec import ScanSpec, fingerprint_of
from kotovec.cluster.corpus import CorpusFile, find, list_files
from kotovec.cluster.corpus.kinds import is_url
from kotovec.errors import CorpusError
from kotovec.store.files import read_regular, write_text
from kotovec.store.layout import HDF5, PIECE, Layout

MOST_BYTES = 1 << 28  # a million files with long names
_AFRESH = "delete the folder `shards` of the store to scan again"
AGAIN = f"restore it as it was, or {_AFRESH}"


def begin(spec: ScanSpec, layout: Layout, files: Sequence[CorpusFile]) -> str:
    """Begin the scan of some files, or resume the one that was interrupted; return the fingerprint of its pieces.

    Raises:
        CorpusError: the interrupted scan read a file that is gone or has changed, or did not know one.
        DiskFullError: no space is left.
    """
    begun = _read(layout)
    task = {
        "settings": spec.settings,
        "piece_bytes": spec.piece_bytes,
        "files": [list(astuple(file)) for file in files],
    }
    if begun != task:
        if begun is not None and begun.get("settings") == spec.settings and _has_pieces(layout):
            _compare(begun["files"], files)
        write_text(layout.corpus, json.dumps(task))
    return fingerprint_of(task)


def end(layout: Layout) -> None:
    """Delete the pieces of a scan whose sample is gathered."""
    for path in layout.shards.glob(f"{PIECE}*{HDF5}"):
        path.unlink()


def check_gathered(spec: ScanSpec, layout: Layout) -> None:
    """Make sure that the corpus is still what the sample was gathered from.

    Raises:
        InputError: the corpus names no file.
        CorpusError: a file is gone, has changed, or is new.
    """
    begun = _read(layout)
    if begun is not None and begun.get("settings") == spec.settings:
        _compare(begun["files"], list_files(spec.corpus))


def check_unchanged(files: Sequence[CorpusFile]) -> None:
    """Make sure that no file has changed while it was read; those behind URLs are compared as they are opened.

    Raises:
        CorpusError: one is gone, or has changed.
    """
    for file in files:
        if not is_url(file.path):
            _check(file, find(file.path), "it was scanned")


def check_sent(file: CorpusFile) -> None:
    """Make sure that a file which a worker does not see is still what it was when it was listed.

    Raises:
        CorpusError: it is gone, or has changed.
    """
    _check(file, find(file.path), "the scan began")


def _has_pieces(layout: Layout) -> bool:
    return any(layout.shards.glob(f"{PIECE}*{HDF5}"))


def _compare(recorded: Sequence[Any], files: Sequence[CorpusFile]) -> None:
    before = {file.path: file for file in (CorpusFile(*each) for each in recorded)}
    now = {file.path: file for file in files}
    for path, file in before.items():
        _check(file, now.get(path), "the scan began")
    for path in now.keys() - before.keys():
        raise CorpusError(
            f"{path} is new since the scan began",
            hint=f"take it away, or {_AFRESH}",
        )


def _check(file: CorpusFile, now: CorpusFile | None, moment: str) -> None:
    if now is None:
        raise CorpusError(f"{file.path} is gone since {moment}", hint=AGAIN)
    if now != file:
        raise CorpusError(f"{file.path} has changed since {moment}", hint=AGAIN)


def _read(layout: Layout) -> dict[str, Any] | None:
    try:
        found = json.loads(read_regular(layout.corpus, MOST_BYTES))
        found["files"] = [list(astuple(CorpusFile(*each))) for each in found["files"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # damaged: pieces of other files are read again
        return None
    return dict(found)
