"""The indexes of a store: built by faiss from the merged vectors, written, checked and read.

An index is two files: `NAME.faiss`, and `NAME.json` beside it, which names the checksum of the dataset that it was
built from. An index of any other dataset is not used. While an index replaces another one, its record holds that of the
last one, too: whichever file is there, a record of it is, also if the process is killed between the two.
"""

import errno
import hashlib
import os
import struct
from collections.abc import Callable
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import ACCESS, DamagedError, InputError, KotovecError, StoreError, choices, quoted
from kotovec.space import Space
from kotovec.store import checksum, faiss_files
from kotovec.store.factories import FLAT, check_factory, fitting
from kotovec.store.files import (
    Sink,
    check_replaceable,
    delete_parts,
    open_regular,
    sinking,
    write_text,
    written,
)
from kotovec.store.index_record import IndexRecord, find_record, index_name, records, sha256_of, to_text
from kotovec.store.layout import FAISS, INDEXES, RECORD
from kotovec.store.library import import_faiss, kind, on_gpus, reason
from kotovec.store.metric import Metric
from kotovec.store.nearest import Matrix
from kotovec.store.parameters import set_parameters
from kotovec.store.products import BLOCK, blocks
from kotovec.store.vectors import Vectors

WRITTEN = 4096  # rows of a Flat index that are written at a time: 12 MiB at 768 dimensions
TRIED = 5  # rows that a new index is searched for before it replaces the last one
TRIED_COUNT = 28  # what a query of one token with k=10 takes from an index
Mask = npt.NDArray[np.bool_]


def build(
    vectors: Vectors,
    folder: Path,
    space: Space,
    metric: Metric,
    *,
    factory: str = FLAT,
    parameters: str = "",
    device: str = "cpu",
    check: Callable[[], None] = lambda: None,
) -> IndexRecord:
    """Build an index and write it, completely or not at all; it replaces the last one of its name.

    Args:
        vectors: the open files of the store.
        folder: the folder of its indexes.
        space: the space to search.
        metric: how nearness is measured.
        factory: the index_factory string of faiss.
        parameters: faiss' search-time parameters to set.
        device: `cpu` or `cuda`, where faiss trains and fills the index.
        check: called when the index is complete, just before it replaces the last one; may raise.

    Raises:
        InputError: faiss does not know the factory string, it does not fit the vectors, or a search in the index fails.
        StoreError: a folder, a pipe or a device is in the place of one of its files.
        DiskFullError: no space is left.
    """
    space = space.among(vectors.spaces)
    matrix = Matrix(vectors.array(space), vectors.norms(space))
    # A Flat index is a copy of all vectors; in another one, gaps would take the places of answers.
    answers = None if factory == FLAT else vectors.present(space)
    source = _source(matrix, answers, metric, factory, parameters, device)
    target, note = _prepare(folder, index_name(space, metric))
    last = find_record(folder, target.stem)

    def announce() -> None:
        check()
        if last is not None:
            write_text(note, to_text(record, last))

    # Both files are complete before one of them takes its place: a full disk or an interrupt leaves the last index.
    with sinking(note) as record_sink, sinking(target, before=announce) as sink:
        record = IndexRecord(
            space=str(space),
            metric=metric.value,
            factory=factory,
            parameters=parameters,
            dataset=vectors.checksum(space),
            sha256=source(sink),
            faiss=import_faiss().__version__,
        )
        record_sink.write(to_text(record).encode())
        record_sink.sync()
    return record


def _source(
    matrix: Matrix, answers: Mask | None, metric: Metric, factory: str, parameters: str, device: str
) -> Callable[[Sink], str]:
    """Return a function that writes an index into a file, tries it, and returns its SHA-256.

    What faiss refuses, it refuses here, before there is a file.
    """
    faiss = import_faiss()
    header = _flat_header(faiss, matrix, metric, parameters) if (factory, device) == (FLAT, "cpu") else None
    if header is not None:
        return partial(_copy_flat, header, matrix, metric)
    index = _filled(faiss, matrix, metric, factory, device, answers)
    set_parameters(faiss, index, parameters, len(matrix.vectors))

    def write(sink: Sink) -> str:
        digest = _write(faiss, index, sink, factory)
        _try(faiss, sink.fileno(), matrix, answers, metric, f"{factory} {parameters}".rstrip())
        return digest

    return write


def _copy_flat(header: bytes, matrix: Matrix, metric: Metric, sink: Sink) -> str:
    """Write a Flat index block by block, which faiss would need twice in memory; return its SHA-256."""
    digest = hashlib.sha256(header)
    sink.write(header)
    for _, block in blocks(matrix, metric, WRITTEN):
        digest.update(block.data)
        sink.write(block)
        sink.check()  # a full disk stops the build here, not after the last block
    return digest.hexdigest()


def _prepare(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of an index and of its record, which can be written then."""
    folder.mkdir(exist_ok=True)
    paths = folder / f"{name}{FAISS}", folder / f"{name}{RECORD}"
    for path in paths:
        check_replaceable(path)
    delete_parts(folder)
    return paths


def describe(folder: Path, vectors: Vectors) -> list[dict[str, Any]]:
    """Return what each index searches, how it was built, and whether it is one of these vectors, as JSON-ready data."""
    return [
        {
            "name": record.name,
            "space": record.space,
            "metric": record.metric,
            "factory": record.factory,
            "parameters": record.parameters,
            "usable": vectors.matches(Space.parse(record.space), record.dataset),
            **written(path),
        }
        for record in records(folder)
        if (path := folder / f"{record.name}{FAISS}").is_file()
    ]


def verify(folder: Path, vectors: Vectors) -> list[str]:
    """Return the names of index files that do not match their record or the vectors."""
    damaged = []
    for path in sorted(folder.glob(f"*{FAISS}")):
        record = find_record(folder, path.stem)
        if record is None:
            damaged.append(f"{INDEXES}/{path.name} (without a record; kotovec index builds it again)")
        elif not vectors.matches(Space.parse(record.space), record.dataset):
            damaged.append(f"{INDEXES}/{path.name} (of other vectors; {record.command} builds it again)")
        elif not path.is_file() or checksum.of_file(path) != record.sha256:
            damaged.append(f"{INDEXES}/{path.name} ({record.command} builds it again)")
    return damaged


def load(vectors: Vectors, folder: Path, space: Space, metric: Metric) -> tuple[Any, IndexRecord] | None:
    """Return the index for a space and metric, memory-mapped, or None if none can be used."""
    space = space.among(vectors.spaces)
    path = folder / f"{index_name(space, metric)}{FAISS}"
    record = find_record(folder, path.stem)
    if record is None or record.dataset != vectors.checksum(space):
        return None
    faiss = import_faiss()
    matrix = Matrix(vectors.array(space), vectors.norms(space))
    index = None
    try:
        with open_regular(path) as file:
            # Before faiss reads it: it takes damaged sizes at their word, and gives rows that are none.
            is_flat = _is_flat(faiss, file, matrix, record)
            if is_flat or (sha256_of(file) == record.sha256 and faiss_files.is_alone(file)):
                index = faiss_files.read(faiss, file)
    except FileNotFoundError:
        return None
    except PermissionError as error:  # no damage, and building it again would fail, too
        raise StoreError(f"{path} cannot be read ({error.strerror})", hint=ACCESS) from error
    except (OSError, RuntimeError, MemoryError) as error:
        if os.strerror(errno.EMFILE) in str(error):  # says nothing about the file
            raise
        index = None
    # A build may have replaced the index since its record was read.
    if find_record(folder, path.stem) != record:
        return None
    present = None if record.factory == FLAT else vectors.present(space)
    total = len(matrix.vectors) if present is None else int(present.sum())
    if index is None or (index.ntotal, index.d) != (total, matrix.vectors.shape[1]):
        raise DamagedError(f"{path} is damaged", hint=f"build it again: {record.command}")
    return index, record


def _is_flat(faiss: Any, file: BufferedReader, matrix: Matrix, record: IndexRecord) -> bool:
    """Return whether a file has the size, the header and the first row of a Flat index of these vectors.

    This takes 0.2 ms; the checksum of the file takes 30 ms at 30,522 × 384.
    """
    metric = Metric(record.metric)
    header = _flat_header(faiss, matrix, metric, record.parameters) if record.factory == FLAT else None
    if header is None or file.seek(0, 2) != len(header) + matrix.vectors.size * 4:
        return False
    _, row = next(blocks(Matrix(matrix.vectors[:1], matrix.norms[:1]), metric, 1))
    file.seek(0)
    return file.read(len(header) + row.nbytes) == header + row.tobytes()


def flat(matrix: Matrix, metric: Metric) -> Any:
    """Return a Flat index of the vectors, in memory."""
    return _filled(import_faiss(), matrix, metric, FLAT, "cpu")


def _flat_header(faiss: Any, matrix: Matrix, metric: Metric, parameters: str) -> bytes | None:
    """Return the header that faiss writes before the vectors of a Flat index, or None if it cannot be determined.

    With the header, the vectors are copied from file to file in blocks; faiss itself needs all of them in memory. The
    header is derived from small indexes that faiss serializes: the number of vectors is at the first byte that
    changes when a vector is added, the number of floats at the end.
    """
    index = faiss.IndexFlat(matrix.vectors.shape[1], kind(faiss, metric))
    set_parameters(faiss, index, parameters, len(matrix.vectors))
    zeros = np.zeros((1, index.d), dtype=np.float32)
    samples: list[bytes] = [faiss.serialize_index(index).tobytes()]
    for _ in range(2):
        index.add(zeros)
        samples.append(faiss.serialize_index(index).tobytes())
    head = samples[0]
    offset = next((offset for offset, (a, b) in enumerate(zip(head, samples[1], strict=False)) if a != b), 0)

    def header(rows: int) -> bytes:
        return head[:offset] + struct.pack("=q", rows) + head[offset + 8 : -8] + struct.pack("=q", rows * index.d)

    known = all(header(rows) + rows * zeros.tobytes() == sample for rows, sample in enumerate(samples))
    return header(len(matrix.vectors)) if known else None


def _filled(faiss: Any, matrix: Matrix, metric: Metric, factory: str, device: str, answers: Mask | None = None) -> Any:
    """Return an index of the vectors or, by their rows, of those that may be answers, (V,) bool."""
    check_factory(factory)

    def some(start: int, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return block if answers is None else block[answers[start : start + len(block)]]

    try:
        index = faiss.index_factory(matrix.vectors.shape[1], factory, kind(faiss, metric))
        index = index if answers is None else faiss.IndexIDMap(index)
        index = on_gpus(index) if device == "cuda" else index
        if not index.is_trained:
            index.train(np.concatenate([some(start, block) for start, block in blocks(matrix, metric, BLOCK)]))
        for start, block in blocks(matrix, metric, BLOCK):
            if answers is None:
                index.add(block)
            else:
                rows = start + np.flatnonzero(answers[start : start + len(block)])
                index.add_with_ids(some(start, block), rows)
    except KotovecError:
        raise
    except RuntimeError as error:
        problem = f"faiss cannot build {quoted(factory)} from these vectors ({reason(error)})"
        others = choices(fitting(len(matrix.vectors)))
        raise InputError(problem, hint=f"choose another factory, such as {others}") from error
    return faiss.index_gpu_to_cpu(index) if device == "cuda" else index


def _write(faiss: Any, index: Any, sink: Sink, factory: str) -> str:
    """Let faiss write an index into a file; return its SHA-256."""
    digest = hashlib.sha256()

    def write(data: Any) -> int:
        digest.update(data)
        return sink.write(data)

    try:
        faiss.write_index(index, faiss.PyCallbackIOWriter(write))
    except RuntimeError as error:
        raise InputError(f"faiss cannot write an index {quoted(factory)} ({reason(error)})") from error
    sink.check()
    return digest.hexdigest()


def _try(faiss: Any, descriptor: int, matrix: Matrix, answers: Mask | None, metric: Metric, name: str) -> None:
    """Search a written index as queries will, for some of its own rows.

    faiss accepts parameters with which every search fails (nprobe=0), finds nothing (ht=-5 of a PQ), or which it does
    not read back from the file (k_factor_rf=1001).

    Raises:
        InputError: the index cannot be read or searched, or finds nothing.
    """
    kept, hint = "and the last one is kept", f"choose another factory or other parameters than `{name}`"
    every = np.arange(len(matrix.vectors)) if answers is None else np.flatnonzero(answers)
    rows = every[np.linspace(0, len(every) - 1, TRIED).astype(np.int64)]
    queries = metric.scaled(np.asarray(matrix.vectors[rows]), matrix.norms[rows])
    try:
        index = faiss.read_index(f"/dev/fd/{descriptor}", faiss.IO_FLAG_MMAP_IFC)
        _, found = index.search(queries, min(TRIED_COUNT, len(matrix.vectors)))
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"a search in the new index fails ({reason(error)}), {kept}", hint=hint) from error
    if not (found >= 0).any():
        raise InputError(f"a search in the new index finds nothing, {kept}", hint=hint)
