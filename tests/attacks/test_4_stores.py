"""Section 4, stores: indexes, maps and pipes of a stranger's store that reach for other files, time and memory."""

import os
import shutil
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from attacked import GIB, Done, limited, python, run, together
from planted import replace_index
from tiny import SIZE, VOCABULARY

SECONDS = 8
ON_DISK = """
import sys, numpy as np, faiss
vectors = np.random.default_rng(0).standard_normal((int(sys.argv[3]), int(sys.argv[4]))).astype("f4")
index = faiss.index_factory(vectors.shape[1], "IVF2,Flat")
index.train(vectors)
lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, sys.argv[2])
index.replace_invlists(lists, False)
index.add(vectors)
faiss.write_index(index, sys.argv[1])
"""


def small() -> None:
    """Let a command take 4 GiB, of which a query uses one and a half."""
    limited(4 * GIB)


def read(store: Path, *commands: list[str]) -> list[Done]:
    """Run commands that only read a store."""
    commands = commands or (["query", "kings"], ["info"], ["verify"])
    calls = {
        tuple(words): lambda words=words: run(*words, "--store", store, seconds=SECONDS, limits=small)
        for words in commands
    }
    return list(together(calls).values())


def ended(done: Done) -> bool:
    """Return whether a command came to its end by itself: with an answer, or with one error that is not of memory."""
    if "MemoryError" in done.err:
        return False
    return done.code == 0 or (done.code in (1, 2) and (done.one_line or not done.err))


@pytest.fixture(scope="module")
def mapped(built, tmp_path_factory) -> Path:
    """The store with a map."""
    store = tmp_path_factory.mktemp("mapped") / "x.kotovec"
    shutil.copytree(built, store)
    done = run("map", "--method", "pca", "--store", store)
    assert done.code == 0, done.err
    return store


@pytest.fixture
def store(mapped, tmp_path) -> Path:
    return Path(shutil.copytree(mapped, tmp_path / "x.kotovec"))


def test_an_index_with_on_disk_lists_maps_no_other_file(store, tmp_path):
    """faiss files with on-disk lists map any path (SIGBUS, exit 135)."""
    index, lists = tmp_path / "index", tmp_path / "lists"
    done = python("-c", ON_DISK, index, lists, len(VOCABULARY), SIZE)
    assert done.code == 0, done.err
    replace_index(store, index.read_bytes(), "IVF2,Flat")
    os.truncate(lists, 1)
    (done,) = read(store, ["query", "king"])
    assert (done.code, done.one_line) == (1, True), done.err
    assert "static.l2.faiss is damaged" in done.err


@pytest.mark.held("faiss 1.15.1, of both, compares such sizes with the file")
def test_sizes_of_an_index_are_checked_against_its_file(store):
    """Sizes are checked against the file before memory is taken: an HNSW of 2 KB that claims 24 GB."""
    header = struct.pack("<iqqqBi", SIZE, len(VOCABULARY), 1 << 20, 1 << 20, 1, 1)
    replace_index(store, b"IHNf" + header + struct.pack("<Q", 3 * GIB) + bytes(2000), "HNSW8")
    (done,) = read(store, ["query", "king"])
    assert (done.code, done.one_line) == (1, True), done.err


def test_a_record_of_an_index_asks_for_no_memory(store):
    """`indexes/*.json` of a few KB ask for 75 GB: a sparse file."""
    note = store / "indexes" / "static.l2.json"
    note.write_text("{")
    os.truncate(note, 75 * GIB)
    for done in read(store):
        assert ended(done), done.err


def bomb(file: h5py.File, _: Path) -> None:
    file.create_dataset("coordinates", shape=(10**10, 2), dtype="f4", chunks=(1 << 16, 2), compression="gzip")


def other_file(file: h5py.File, other: Path) -> None:
    os.mkfifo(other)
    file["coordinates"] = h5py.ExternalLink(str(other), "/secret")


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout(shape=(len(VOCABULARY), 2), dtype="f4")
    layout[:] = h5py.VirtualSource(str(other), "secret", shape=(len(VOCABULARY), 2))
    file.create_virtual_dataset("coordinates", layout)


def stored_elsewhere(file: h5py.File, other: Path) -> None:
    other = other.with_suffix(".bytes")
    shape = (len(VOCABULARY), 2)
    file.create_dataset("coordinates", shape=shape, dtype="f4", external=[(str(other), 0, 8 * shape[0])])


def spoil(store: Path, how, other: Path) -> None:
    """Replace the coordinates of a map; another file has those that its checksum is of."""
    with h5py.File(store / "maps" / "static.pca.h5", "r+") as file:
        coordinates, sha256 = file["coordinates"][()], file["coordinates"].attrs["sha256"]
        if how is not other_file:
            with h5py.File(other, "w") as secret:
                secret["secret"] = coordinates
            other.with_suffix(".bytes").write_bytes(coordinates.tobytes())
        del file["coordinates"]
        how(file, other)
        if how is not other_file:
            file["coordinates"].attrs["sha256"] = np.bytes_(sha256)


@pytest.mark.parametrize("how", [bomb, other_file])
def test_a_map_asks_for_no_memory_and_waits_for_no_pipe(store, tmp_path, how):
    """`maps/*.h5` of a few KB ask for 75 GB or hang on external links to FIFOs."""
    spoil(store, how, tmp_path / "other.h5")
    assert (store / "maps" / "static.pca.h5").stat().st_size < 20_000
    for done in read(store, ["map", "--method", "pca"], ["verify"]):
        assert ended(done), done.err


@pytest.mark.parametrize("how", [virtual, stored_elsewhere])
def test_the_reader_of_a_map_is_as_strict_as_that_of_vectors(store, tmp_path, how):
    """The reader of a map is as strict as that of vectors: it reads no byte of another file."""
    spoil(store, how, tmp_path / "other.h5")
    (done,) = read(store, ["verify"])
    assert done.code == 1
    assert "maps/static.pca.h5" in done.out + done.err


ATTACKS = [
    ("pipe", "tokens.h5"),
    ("pipe", "spaces/static.h5"),
    ("pipe", "indexes/static.l2.faiss"),
    ("pipe", "indexes/static.l2.json"),
    ("pipe", "maps/static.pca.h5"),
    ("device", "indexes/static.l2.faiss"),
    ("device", "indexes/static.l2.json"),
]
HELD = [("device", "tokens.h5"), ("device", "spaces/static.h5"), ("device", "maps/static.pca.h5")]
HELD += [("pipe", "tokenizer/tokenizer.json"), ("device", "tokenizer/tokenizer.json")]
withstood = pytest.mark.held("HDF5 found no file of its own there, and a tokenizer was no regular file")


@pytest.mark.parametrize(("kind", "path"), [*ATTACKS, *(pytest.param(*each, marks=withstood) for each in HELD)])
def test_no_command_waits_for_a_pipe_or_reads_a_device(store, kind, path):
    """FIFOs and devices inside a store hang `query`, `info`, `verify`: only regular files are opened. The device is
    one that gives zeros for ever.
    """
    target = store / path
    if not target.exists():  # the stores of 9eee200 have one file of tokens and vectors
        target = store / "vectors.h5"
    target.unlink()
    if kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to("/dev/zero")
    for done in read(store):
        assert ended(done), done.err
