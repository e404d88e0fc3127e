"""Which files a corpus names, and how they are cut into pieces for workers to read."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from kotovec.cluster.corpus.corpus import Corpus, CorpusFile, Piece
from kotovec.cluster.corpus.dumps import index_of, streams
from kotovec.cluster.corpus.kinds import HINT, Form, Packing, check_packages, is_url, kind_of
from kotovec.cluster.corpus.opened import unreadable
from kotovec.cluster.corpus.parquet import row_groups
from kotovec.cluster.corpus.remote import find_url, list_url
from kotovec.errors import InputError, quoted
from kotovec.text import escaped

_LOCAL = "file:///"
_WITH_FIELDS = (Form.JSON, Form.PARQUET)
_ABSENT = "name files, folders or URLs with --corpus"
PIECE_BYTES = 64 << 20  # a piece takes some 30 s to tokenize: short enough to be lost, long enough for Ray


def list_files(corpus: Corpus) -> tuple[CorpusFile, ...]:
    """Return the files of a corpus, each once, by path.

    Of a folder, files of known kinds are taken, at any depth; hidden ones are not.

    Raises:
        InputError: a path names no file, or one of no known kind; or a field is named, and no file has any.
        CorpusError: a file, or a folder that may have some, cannot be read.
        MissingDependencyError: what reads a file is not installed.
    """
    found: dict[str, CorpusFile] = {}
    for path in corpus.paths:
        listed = list(_list(path))
        if not listed:
            raise InputError(f"no file of a corpus is in {quoted(path)}", hint=HINT)
        found |= {file.path: file for file in listed}
    if corpus.field is not None and not any(file.kind.form in _WITH_FIELDS for file in found.values()):
        raise InputError(
            f"no file of this corpus has fields, such as {quoted(corpus.field)}",
            hint="leave out --corpus-field, or name files of JSON lines or Parquet",
        )
    for file in found.values():
        check_packages(file.path, file.kind)
    return tuple(found[path] for path in sorted(found))


def find(path: str) -> CorpusFile | None:
    """Return a file of a corpus as it is now, to be compared with what it was; None where it is gone.

    Raises:
        CorpusError: it cannot be asked for.
    """
    if is_url(path):
        return find_url(path)
    try:
        return _describe(Path(path))
    except FileNotFoundError:
        return None


def _list(path: str) -> Iterator[CorpusFile]:
    if path.startswith(_LOCAL):  # fsspec would leave out folders that cannot be read
        path = path.removeprefix("file://")
    if is_url(path):
        files, is_folder = list_url(path)
        for file in files:
            if not is_folder or (not _is_hidden(file.path) and kind_of(file.path)):
                yield _known(file)
    elif os.path.lexists(path):
        yield from _list_local(Path(path))
    elif glob.has_magic(path):
        _check_searched(path)
        for match in sorted(glob.iglob(path, recursive=True)):  # noqa: PTH207 — a pattern may be absolute
            yield from _list_local(Path(match))
    elif not _exists(path):
        raise InputError(f"there is no file {quoted(path)}", hint=_ABSENT)


def _exists(path: str) -> bool:
    """Return whether there is something at a path, if only a link to nothing.

    Raises:
        CorpusError: a folder on the way to it cannot be entered.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from error
    return True


def _check_searched(pattern: str) -> None:
    """Refuse a pattern for which a folder would be searched that cannot be: `glob` passes over it.

    Raises:
        CorpusError: names the folder.
    """
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    heads = ["".join(f"{each}/" for each in parts[:number]) or "./" for number in range(len(parts))]
    if not _exists(heads[first]):
        return
    listed = {
        f"{head}**/" if part == "**" else head for head, part in zip(heads, parts, strict=True) if glob.has_magic(part)
    }
    for folders in sorted({*heads[first:], *listed}):
        for folder in sorted(glob.iglob(folders, recursive=True)):  # noqa: PTH207 — a pattern may be absolute
            try:
                os.lstat(f"{folder}.")
                if folders in listed:
                    os.scandir(folder).close()
            except OSError as error:
                raise unreadable(folder, error) from error


def _list_local(path: Path) -> Iterator[CorpusFile]:
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise unreadable(path, error) from error
    if not is_folder:
        yield _known(_list_file(path))
        return
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(names):
            if not _is_hidden(name) and kind_of(name):
                yield _list_file(Path(folder, name))


def _refuse(error: OSError) -> None:
    raise unreadable(error.filename, error) from error


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith((".", "_"))


def _known(file: CorpusFile) -> CorpusFile:
    if kind_of(file.path) is None:
        raise InputError(f"{escaped(file.path)} is of no known kind", hint=HINT)
    return file


def _list_file(path: Path) -> CorpusFile:
    try:
        file = _describe(path)
        if not os.access(path, os.R_OK):
            path.open("rb").close()
    except FileNotFoundError as error:
        raise InputError(f"{path} is a link to no file", hint=_ABSENT) from error
    except PermissionError as error:
        raise unreadable(path, error) from error
    return file


def _describe(path: Path) -> CorpusFile:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file", hint=_ABSENT)
    return CorpusFile(os.path.abspath(path), status.st_size, str(status.st_mtime_ns))  # noqa: PTH100 — links stay


def cut(files: Iterable[CorpusFile], piece_bytes: int = PIECE_BYTES, corpus: Corpus | None = None) -> tuple[Piece, ...]:
    """Return the pieces of files, numbered in the order of the files.

    Args:
        files: from `list_files`.
        piece_bytes: most bytes of a piece; a row group, and a compressed file, is never cut.
        corpus: if given, its column must be in the files of Parquet.

    Raises:
        CorpusError: a file of Parquet is damaged, or has changed.
        InputError: it lacks the column.
    """
    cuts = ((file, *each) for file in files for each in _cut(file, piece_bytes, corpus))
    return tuple(Piece(number, *each) for number, each in enumerate(cuts))


def _cut(file: CorpusFile, piece_bytes: int, corpus: Corpus | None) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop and size of each piece."""
    kind = file.kind
    if kind.form is Form.PARQUET:
        yield from _grouped(row_groups(file, None if corpus is None else corpus.text_field), piece_bytes)
    elif not file.size and not file.whole and kind.packing is Packing.NONE:
        return
    elif (index := _index(file)) is not None:
        offsets = streams(file, index)
        sizes = [stop - start for start, stop in pairwise(offsets)]
        yield from ((offsets[first], offsets[last], size) for first, last, size in _grouped(sizes, piece_bytes))
    elif file.whole or kind.packing is not Packing.NONE or kind.form is Form.WIKIPEDIA:
        yield 0, file.size, file.size
    else:
        for start in range(0, file.size, piece_bytes):
            stop = min(start + piece_bytes, file.size)
            yield start, stop, stop - start


def _index(file: CorpusFile) -> CorpusFile | None:
    """Return the index of a dump of Wikipedia in many streams, if it lies beside it."""
    path = None if file.whole else index_of(file.path)
    return None if path is None else find(path)


def _grouped(sizes: list[int], most: int) -> Iterator[tuple[int, int, int]]:
    """Yield runs of row groups of at most so many bytes, or of one."""
    start = total = 0
    for number, size in enumerate(sizes):
        if number > start and total + size > most:
            yield start, number, total
            start, total = number, 0
        total += size
    if sizes:
        yield start, len(sizes), total
