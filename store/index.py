"""faiss: the indexes of a store, built from the merged vectors, and exact search without one.

An index is two files: `NAME.faiss`, and `NAME.json` beside it, written last, which names the checksum of the
dataset that it was built from. An index of any other dataset is not used.
"""

import contextlib
import hashlib
import json
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError, KotovecError, MissingDependencyError
from kotovec.store import checksum
from kotovec.store.files import sinking, sync, write_text
from kotovec.store.nearest import Candidates, Matrix, Metric, Rows
from kotovec.store.products import FEWEST, blocks, search_products
from kotovec.store.vectors import SPACES, Vectors

FOLDER = "indexes"
FLAT = "Flat"
WHEELS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs", "faiss-gpu-cu12", "faiss-gpu-cu11")
BLOCK = 65536  # rows that are searched or added at a time: 200 MB at 768 dimensions
WRITTEN = 4096  # rows of a Flat index that are written at a time: 12 MiB at 768 dimensions
GPU_MOST = 2048  # candidates that faiss finds on a GPU at most


@dataclass(frozen=True)
class IndexRecord:
    """What an index file is.

    Attributes:
        space, layer, metric: what it searches; `layer` is −1 for static.
        factory: faiss' index_factory string.
        parameters: faiss' search-time parameters that were set, such as `nprobe=16`; may be empty.
        dataset: SHA-256 of the dataset that it was built from.
        sha256: of the .faiss file.
        faiss: version that wrote it.
    """

    space: str
    layer: int
    metric: str
    factory: str
    parameters: str
    dataset: str
    sha256: str
    faiss: str

    @property
    def name(self) -> str:
        """File name without ending."""
        return index_name(self.space, self.layer, Metric(self.metric))

    @property
    def command(self) -> str:
        """The command that builds it anew."""
        import shlex

        words = ["kotovec", "index", "--space", self.space, "--metric", self.metric]
        words += ["--layer", str(self.layer)] if self.space != "static" else []
        words += ["--factory", self.factory] if self.factory != FLAT else []
        return shlex.join(words + (["--parameters", self.parameters] if self.parameters else []))


def index_name(space: str, layer: int, metric: Metric) -> str:
    """Return an index's file name, without ending."""
    return f"static.{metric}" if space == "static" else f"isolated-{layer}.{metric}"


def import_faiss() -> Any:
    """Return the module faiss.

    Raises:
        MissingDependencyError: none of its wheels is installed, two are, or the one does not load.
    """
    installed = [name for name in WHEELS if _is_installed(name)]
    if len(installed) > 1:
        raise MissingDependencyError(
            f"{' and '.join(installed)} are both installed and overwrite each other: "
            f"pip uninstall -y {' '.join(installed)}, then pip install --force-reinstall the one you want"
        )
    try:
        import faiss
    except (ImportError, RuntimeError, OSError) as error:
        cure = "pip install 'kotovec[cpu]' (with a GPU: 'kotovec[gpu]' for CUDA 12, 'kotovec[gpu-cu13]' for CUDA 13)"
        reason = f"does not load ({error})" if installed else "is not installed"
        raise MissingDependencyError(f"faiss {reason}: {cure}") from error
    return faiss


def _is_installed(name: str) -> bool:
    return name in _distributions()


@cache
def _distributions() -> frozenset[str]:
    """Return the names of faiss' wheels by what pip wrote beside them.

    importlib.metadata knows more, but imports email, sockets and zip files: 14 ms of a query's 250.
    """
    found = set()
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            found |= {
                entry.name.partition("-")[0].replace("_", "-").lower()
                for entry in entries
                if entry.name.startswith("faiss") and entry.name.endswith((".dist-info", ".egg-info"))
            }
    return frozenset(found)


def gpus() -> int:
    """Return how many GPUs faiss can use; 0 with faiss-cpu."""
    return int(import_faiss().get_num_gpus())


def build(
    vectors: Vectors,
    folder: Path,
    space: str,
    layer: int,
    metric: Metric,
    *,
    factory: str = FLAT,
    parameters: str = "",
    device: str = "cpu",
) -> IndexRecord:
    """Build an index and write it, whole or not at all; it takes the place of the last one of its name.

    Raises:
        InputError: faiss does not know the factory string, or it does not fit the vectors.
        DiskFullError: no space is left.
    """
    faiss = import_faiss()
    record_layer = -1 if space == "static" else vectors.layer_number(layer)
    matrix = Matrix(vectors.array(space, layer), vectors.norms(space, layer))
    header = _flat_header(faiss, matrix, metric, parameters) if (factory, device) == (FLAT, "cpu") else None
    if header is None:
        index = _filled(faiss, matrix, metric, factory, device)
        _set_parameters(faiss, index, parameters)
    folder.mkdir(exist_ok=True)
    stem = index_name(space, record_layer, metric)
    target, note = folder / f"{stem}.faiss", folder / f"{stem}.json"
    note.unlink(missing_ok=True)  # until the new record is written, no index of this name is used
    sync(folder)
    digest = hashlib.sha256()
    with sinking(target) as sink:

        def write(data: Any) -> int:
            digest.update(data)
            return sink.write(data)

        if header is None:
            faiss.write_index(index, faiss.PyCallbackIOWriter(write))
        else:
            write(header)
            for _, block in blocks(matrix, metric, WRITTEN):
                write(block)
                sink.check()  # a full disk ends it here, not after the last block
    record = IndexRecord(
        space=space,
        layer=record_layer,
        metric=metric.value,
        factory=factory,
        parameters=parameters,
        dataset=vectors.checksums[space],
        sha256=digest.hexdigest(),
        faiss=faiss.__version__,
    )
    write_text(note, json.dumps(asdict(record), indent=1) + "\n")
    return record


def records(folder: Path) -> Iterator[IndexRecord]:
    """Yield the records of a store's indexes, in the order of their names; unreadable ones are passed over."""
    for path in sorted(folder.glob("*.json")):
        try:
            record = IndexRecord(**json.loads(path.read_text(encoding="utf-8")))
            if record.space in SPACES and record.name == path.stem:
                yield record
        except (OSError, ValueError, TypeError):
            continue


def verify(folder: Path, vectors: Vectors) -> list[str]:
    """Return the names of index files that do not match their record or the vectors."""
    damaged = []
    for path in sorted(folder.glob("*.faiss")):
        record = _record(folder, path.stem)
        if record is None:
            damaged.append(f"{FOLDER}/{path.name} (without a record; kotovec index builds it anew)")
        elif record.dataset != vectors.checksums[record.space]:
            damaged.append(f"{FOLDER}/{path.name} (of other vectors; {record.command} builds it anew)")
        elif not path.is_file() or checksum.of_file(path) != record.sha256:
            damaged.append(f"{FOLDER}/{path.name} ({record.command} builds it anew)")
    return damaged


def load(vectors: Vectors, folder: Path, space: str, layer: int, metric: Metric) -> tuple[Any, IndexRecord] | None:
    """Return the index for a space, layer and metric, memory-mapped, or None where there is none to use."""
    number = -1 if space == "static" else vectors.layer_number(layer)
    path = folder / f"{index_name(space, number, metric)}.faiss"
    record = _record(folder, path.stem)
    if record is None or record.dataset != vectors.checksums[space]:
        return None
    faiss = import_faiss()
    matrix = Matrix(vectors.array(space, layer), vectors.norms(space, layer))
    index = None
    try:
        with path.open("rb") as file:
            # Before faiss reads it: it takes damaged sizes at their word, and gives rows that are none.
            if _is_flat(faiss, file, matrix, record) or _sha256(file) == record.sha256:
                # By the open file: it is the one that was checked, and faiss takes no path that is not UTF-8.
                index = faiss.read_index(f"/dev/fd/{file.fileno()}", faiss.IO_FLAG_MMAP_IFC)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, MemoryError):
        index = None
    # A build that writes this index now has deleted the record first: the file may be the new one.
    if _record(folder, path.stem) != record:
        return None
    if index is None or (index.ntotal, index.d) != matrix.vectors.shape:
        raise DamagedError(f"{path} is damaged: {record.command} builds it anew")
    return index, record


def _record(folder: Path, name: str) -> IndexRecord | None:
    return next((record for record in records(folder) if record.name == name), None)


def _sha256(file: BufferedReader) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _is_flat(faiss: Any, file: BufferedReader, matrix: Matrix, record: IndexRecord) -> bool:
    """Tell whether a file has the size, the header and the first row of a Flat index of these vectors.

    It takes 0.2 ms; the checksum of the file takes 30 at 30,522 × 384.
    """
    metric = Metric(record.metric)
    header = _flat_header(faiss, matrix, metric, record.parameters) if record.factory == FLAT else None
    if header is None or file.seek(0, 2) != len(header) + matrix.vectors.size * 4:
        return False
    _, row = next(blocks(Matrix(matrix.vectors[:1], matrix.norms[:1]), metric, 1))
    file.seek(0)
    return file.read(len(header) + row.nbytes) == header + row.tobytes()


def on_gpus(index: Any) -> Any:
    """Return a copy of an index on all GPUs.

    Raises:
        InputError: faiss sees no GPU.
    """
    faiss = import_faiss()
    if gpus() == 0:
        raise InputError("faiss sees no GPU: take --device cpu, or install the extra 'gpu' or 'gpu-cu13'")
    return faiss.index_cpu_to_all_gpus(index)


def flat(matrix: Matrix, metric: Metric) -> Any:
    """Return a Flat index of the vectors, in memory."""
    return _filled(import_faiss(), matrix, metric, FLAT, "cpu")


def search_index(index: Any) -> Candidates:
    """Return the candidates that an index finds."""

    def candidates(queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], Rows]:
        with _threads_for(queries):
            scores, rows = index.search(queries, count)
        return scores, rows

    return candidates


def search_flat(index: Any, matrix: Matrix, metric: Metric) -> Candidates:
    """Return the candidates that a Flat index of the vectors finds for few queries, and their products for many."""
    for_few, for_many = search_index(index), search_products(matrix, metric)
    return lambda queries, count: (for_few if len(queries) < FEWEST else for_many)(queries, count)


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Let faiss (and torch, where it is in this process: they share OpenMP) work on one thread for the block."""
    faiss = import_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _threads_for(queries: npt.NDArray[np.float32]) -> contextlib.AbstractContextManager[None]:
    """Search a lone query on one thread.

    faiss deals out whole queries, so more threads do nothing but wake up and wait: 8 ms then become up to 40.
    """
    return single_thread() if len(queries) == 1 else contextlib.nullcontext()


def search_gpu(index: Any, on_cpu: Candidates) -> Candidates:
    """Return the candidates of an index on GPUs; those of `on_cpu` where faiss' GPU code finds too few."""
    on_gpu = search_index(index)

    def candidates(queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], Rows]:
        return (on_gpu if count <= GPU_MOST else on_cpu)(queries, count)

    return candidates


def search_vectors(matrix: Matrix, metric: Metric) -> Candidates:
    """Return the candidates that are found in the vectors themselves, with no index, block by block."""
    faiss = import_faiss()
    kind = _kind(faiss, metric)
    for_many = search_products(matrix, metric)

    def candidates(queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], Rows]:
        if len(queries) >= FEWEST:
            return for_many(queries, count)
        scores = np.empty((len(queries), 0), dtype=np.float32)
        rows = np.empty((len(queries), 0), dtype=np.int64)
        for start, block in blocks(matrix, metric, BLOCK):
            with _threads_for(queries):
                block_scores, block_rows = faiss.knn(queries, block, min(count, len(block)), metric=kind)
            if start == 0:
                scores, rows = block_scores, block_rows
                continue
            # Merged block by block: all blocks' candidates at once would be as many times more memory.
            scores, rows = np.hstack([scores, block_scores]), np.hstack([rows, block_rows + start])
            order = np.argsort(scores if metric is Metric.L2 else -scores, axis=1, kind="stable")[:, :count]
            scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        return scores, rows

    return candidates


def _flat_header(faiss: Any, matrix: Matrix, metric: Metric, parameters: str) -> bytes | None:
    """Return what faiss writes before the vectors of a Flat index, or None where that cannot be told.

    With it the vectors go from file to file in blocks; faiss' own way needs all of them in memory. The header is
    taken from small indexes of faiss' own: the number of vectors stands where the first of them makes a
    difference, the number of floats at the end.
    """
    index = faiss.IndexFlat(matrix.vectors.shape[1], _kind(faiss, metric))
    _set_parameters(faiss, index, parameters)
    zeros = np.zeros((1, index.d), dtype=np.float32)
    samples: list[bytes] = [faiss.serialize_index(index).tobytes()]
    for _ in range(2):
        index.add(zeros)
        samples.append(faiss.serialize_index(index).tobytes())
    head = samples[0]
    place = next((place for place, (a, b) in enumerate(zip(head, samples[1], strict=False)) if a != b), 0)

    def header(rows: int) -> bytes:
        return head[:place] + struct.pack("=q", rows) + head[place + 8 : -8] + struct.pack("=q", rows * index.d)

    known = all(header(rows) + rows * zeros.tobytes() == sample for rows, sample in enumerate(samples))
    return header(len(matrix.vectors)) if known else None


def _kind(faiss: Any, metric: Metric) -> Any:
    return faiss.METRIC_L2 if metric is Metric.L2 else faiss.METRIC_INNER_PRODUCT


def _filled(faiss: Any, matrix: Matrix, metric: Metric, factory: str, device: str) -> Any:
    try:
        index = faiss.index_factory(matrix.vectors.shape[1], factory, _kind(faiss, metric))
        index = on_gpus(index) if device == "cuda" else index
        if not index.is_trained:
            index.train(np.concatenate([block for _, block in blocks(matrix, metric, BLOCK)]))
        for _, block in blocks(matrix, metric, BLOCK):
            index.add(block)
    except KotovecError:
        raise
    except RuntimeError as error:
        reason = str(error).rsplit(":", 1)[-1].strip() or "unknown"
        raise InputError(f"faiss cannot build {factory!r} from these vectors ({reason})") from error
    return faiss.index_gpu_to_cpu(index) if device == "cuda" else index


def _set_parameters(faiss: Any, index: Any, parameters: str) -> None:
    if not parameters:
        return
    try:
        faiss.ParameterSpace().set_index_parameters(index, parameters)
    except RuntimeError as error:
        raise InputError(f"faiss does not take the parameters {parameters!r} for this index") from error
