"""`kotovec index`: indexes for any space, layer, metric and factory, with what an approximate one loses."""

import json
import os
import random
import re
import subprocess
import sys

import faiss
import numpy as np
import pytest

from kotovec.cli.silence import without_clustering
from kotovec.space import Space
from kotovec.store import factories as factories_of
from kotovec.store import index
from kotovec.store.metric import Metric
from kotovec.store.vectors import Vectors

import stores
from commands import call, environment, start

COUNT, SIZE = 3000, 16
VECTORS = np.random.default_rng(2).standard_normal((COUNT, SIZE)).astype(np.float32)
KEYS = ["space", "metric", "factory", "parameters", "dataset", "sha256", "faiss", "name", "measured"]
MEASURED = [
    "recall_at_10",
    "recall_at_10_of_sums",
    "nearest",
    "nearest_of_sums",
    "filled",
    "queries_per_second",
    "flat_queries_per_second",
    "queries",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "random.kotovec"
    isolated = np.stack([VECTORS[::-1], VECTORS * 2])
    return stores.write_store(folder, stores.numbered(COUNT), VECTORS, isolated, layers=(0, 2))


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize(
    ("place", "name", "vectors"),
    [
        (["--space", "static"], "static", VECTORS),
        (["--space", "isolated", "--layer", "0"], "isolated-0", VECTORS[::-1]),
        (["--space", "isolated"], "isolated-2", VECTORS * 2),
    ],
)
def test_a_flat_index_holds_the_vectors_in_their_order(capsys, store, metric, place, name, vectors):
    answer = call(capsys, "index", "--store", store, "--metric", metric, *place)
    read = faiss.read_index(str(store / "indexes" / f"{name}.{metric}.faiss"))
    stored = read.reconstruct_n(0, read.ntotal)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True) if metric == "cosine" else 1
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f" index  {Space.of_stem(name).title}; {metric} Flat\n"
    assert read.metric_type == (faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
    assert np.allclose(stored, vectors / lengths, rtol=1e-6, atol=0)


def test_an_approximate_index_prints_its_recall_and_both_speeds(capsys, store):
    answer = call(capsys, "index", "--store", store, "--factory", "IVF16,Flat", "--parameters", "nprobe=2")
    table = {line.split()[0]: line.split(maxsplit=1)[1].rstrip() for line in answer.out.splitlines()}
    assert answer.code == 0
    assert table["index"] == "static; l2 IVF16,Flat nprobe=2"
    assert table["recall@10"].endswith("of the neighbours of 1,000 tokens")
    assert 0.2 < float(table["of"].split()[1]) < 0.99
    assert "too" not in table
    assert 0.2 < float(table["recall@10"].split()[0]) < 0.99
    assert "Flat" in table["queries/s"]


def share(found, true):
    """The mean share of the true rows that are among those found."""
    return np.mean([len(set(mine) & set(theirs)) / 10 for mine, theirs in zip(found, true, strict=True)])


@pytest.mark.parametrize(("factory", "parameters"), [("IVF16,Flat", "nprobe=3"), ("PQ4x4", "")])
def test_the_recall_is_that_of_queries_without_the_asked_tokens_themselves(capsys, store, factory, parameters):
    answer = call(capsys, "index", "--store", store, "--factory", factory, "--parameters", parameters, "--json")
    data = json.loads(answer.out)
    assert list(data) == KEYS
    assert list(data["measured"]) == MEASURED
    random = np.random.default_rng(0)
    first = random.choice(COUNT, size=1000, replace=False)
    steps = np.stack([random.choice(COUNT - 1, size=2, replace=False) for _ in first])
    second, third = ((first[:, np.newaxis] + steps + 1) % COUNT).T
    index = faiss.read_index(str(store / "indexes" / "static.l2.faiss"))
    wide = VECTORS.astype(np.float64)
    sums = wide[first] - wide[second] + wide[third]
    for name, queries, own, taken in (
        ("recall_at_10", wide[first], [first], 28),
        ("recall_at_10_of_sums", sums, [first, second, third], 30),
    ):
        distances = ((queries[:, np.newaxis] - wide) ** 2).sum(axis=2)
        for rows in own:
            distances[np.arange(1000), rows] = np.inf
        candidates = index.search(queries.astype(np.float32), taken)[1]
        order = np.take_along_axis(distances, candidates, axis=1).argsort(axis=1)[:, :10]
        found = np.take_along_axis(candidates, order, axis=1).tolist()
        expected = share(found, np.argsort(distances, axis=1)[:, :10].tolist())
        assert data["measured"][name] == pytest.approx(expected, abs=1e-4)
        assert 0.2 < expected < 0.99
    assert (data["measured"]["queries"], data["measured"]["filled"]) == (1000, 0)
    assert (data["measured"]["nearest"], data["measured"]["nearest_of_sums"]) == (10, 10)
    assert data["measured"]["queries_per_second"] > 0


def test_an_index_that_finds_too_few_is_measured_with_what_is_filled_up(capsys, store):
    answer = call(capsys, "index", "--store", store, "--factory", f"IVF{COUNT},Flat")
    assert "of 2,000 queries: every vector was searched instead" in answer.out
    assert "1.0000 of the neighbours of 1,000 tokens" in answer.out


def test_a_new_index_takes_the_place_of_the_last_one(capsys, store):
    for factory in ("HNSW8", "Flat"):
        assert call(capsys, "index", "--store", store, "--factory", factory, "--quiet").out.startswith(" index  ")
    info = json.loads(call(capsys, "index", "--store", store, "--json").out)
    assert (info["factory"], info["measured"]) == ("Flat", None)
    assert sum(path.name == "static.l2.faiss" for path in (store / "indexes").iterdir()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--factory", "Nonsense17"], "Nonsense17"),
        (["--factory", "IVF999999,Flat"], "IVF999999,Flat"),
        (["--factory", "PQ5"], "PQ5"),
        (["--factory", "IVF4,Flat", "--parameters", "nonsense=1"], "nonsense=1"),
        (["--factory", "IVF4,Flat", "--parameters", "nprobe=0"], "faiss cannot search with `nprobe=0`"),
        (["--metric", "manhattan"], "manhattan"),
        (["--space", "contextual"], "contextual"),
        (["--space", "isolated", "--layer", "1"], "layer 1 is not in this store: it holds 0, 2"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_nonsense_is_one_line_and_leaves_the_old_index(capsys, store, arguments, said):
    assert call(capsys, "index", "--store", store, "--quiet").code == 0
    before = {path.name: path.read_bytes() for path in (store / "indexes").iterdir()}
    answer = call(capsys, "index", "--store", store, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)
    assert {path.name: path.read_bytes() for path in (store / "indexes").iterdir()} == before


def test_faiss_itself_prints_no_warning_about_few_vectors(tmp_path, capfd):
    store = stores.write_store(tmp_path / "few.kotovec", stores.numbered(4), VECTORS[:4])
    answer = call(capfd, "index", "--store", store, "--factory", "IVF1,Flat")
    assert (answer.code, answer.err) == (0, "")


def test_the_recall_of_a_small_store_is_named_by_the_neighbours_that_there_are(tmp_path, capsys):
    """It was called recall@10, of a store with seven other tokens."""
    store = stores.write_store(tmp_path / "few.kotovec", stores.numbered(8), VECTORS[:8])
    answer = call(capsys, "index", "--store", store, "--factory", "IVF2,Flat", "--parameters", "nprobe=2")
    table = {line.split()[0]: line.split() for line in answer.out.splitlines()}
    assert " ".join(table["recall@7"][1:]) == "1.0000 of the neighbours of 8 tokens"
    assert " ".join(table["of"]) == "of sums 1.0000 of the 5 of as many sums a - b + c"


def test_other_lines_of_a_library_stay(capfd):
    with without_clustering():
        os.write(2, b"WARNING clustering 4 points to 1 centroids\nanother\n")
    assert capfd.readouterr().err == "another\n"


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        ("HNSW0", "HNSW0 is too few links"),
        ("HNSW1", "HNSW1 is too few links"),
        ("HNSW0_Flat", "HNSW0 is too few links"),
        ("HNSW1_SQ8", "HNSW1 is too few links"),
        ("IVF4_HNSW1,Flat", "HNSW1 is too few links"),
        ("IVF256_HNSW0,Flat", "HNSW0 is too few links"),
        ("IVF4(HNSW1)", "HNSW1 is too few links"),
        ("PQ4x0", "one of its numbers is 0"),
        ("PQ48x00", "one of its numbers is 0"),
        ("RR0,Flat", "one of its numbers is 0"),
        ("PCAW0,PQ4", "one of its numbers is 0"),
        ("PRQ1x2x0", "one of its numbers is 0"),
        ("IVF0_HNSW64,SQfp16", "one of its numbers is 0"),
    ],
)
def test_a_number_that_ends_the_process_in_faiss_is_refused(store, factory, why):
    """Each was SIGSEGV, SIGABRT or SIGFPE without a word."""
    done = start("index", "--store", store, "--factory", factory)
    hint = "write HNSW2 or more, such as HNSW32" if why.startswith("HNSW") else "write numbers from 1"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: faiss cannot build `{factory}`: {why}\nhint: {hint}\n"


CODES = (
    "Flat",
    "SQ{}",
    "SQfp16",
    "PQ{}",
    "PQ{}x{}",
    "PQ{}x4fs",
    "RQ{}x{}",
    "PRQ{}x{}x{}",
    "LSH",
    "HNSW{}",
    "HNSW{}_Flat",
)
CODES += ("HNSW{}_SQ8", "HNSW{}_PQ{}", "RaBitQ", "ZnLattice{}x{}_{}", "HNSW{}_{}+PQ{}", "PQ{}x4fs_{}")
COARSE = ("", "", "", "IVF{}", "IVF{}_HNSW{}", "IMI{}x{}", "IVF{}(PQ{}x{})", "IVF{}(HNSW{})", "Residual{}x{}")
FIRST = ("", "", "", "PCA{}", "PCAW{}", "OPQ{}_{}", "RR{}", "ITQ{}", "Pad{}", "L2norm", "IDMap")
LAST = ("", "", "", "RFlat", "Refine(SQ{})", "Refine(HNSW{})")
FUZZ = """
import sys, numpy as np
from kotovec.errors import KotovecError
from kotovec.store import index, library
from kotovec.store.metric import Metric
from kotovec.store.nearest import Matrix
faiss = library.import_faiss()
rows = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
matrix, built = Matrix(rows, np.linalg.norm(rows, axis=1)), 0
for factory in sys.stdin.read().split():
    print(factory, file=sys.stderr)
    try:
        index._filled(faiss, matrix, Metric("l2"), factory, "cpu").search(rows[:2], 28)
        built += 1
    except (KotovecError, RuntimeError, MemoryError):
        pass
print(built)
"""


def test_no_factory_ends_the_process():
    drawn = random.Random(13)

    def part(parts):
        return re.sub(r"\{\}", lambda _: str(drawn.choice((0, 1, 1, 2, 2, 3, 4, 4, 8, 8, 16, 64))), drawn.choice(parts))

    factories = [",".join(filter(None, map(part, (FIRST, COARSE, CODES, LAST)))) for _ in range(300)]
    done = subprocess.run(
        [sys.executable, "-c", FUZZ],
        input="\n".join(factories),
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) > 20


DYING = """
import os, signal
from kotovec.store import index
index._filled = lambda *_: os.kill(os.getpid(), signal.{})
"""


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("SIGSEGV", 2, "\nhint: choose another factory or other parameters"),
        ("SIGFPE", 2, "\nhint: choose another factory or other parameters"),
        ("SIGABRT", 2, "\nhint: choose another factory or other parameters"),
        ("SIGKILL", 1, " (out of memory?)"),
    ],
)
def test_whatever_else_ends_faiss_is_one_line_and_leaves_the_old_index(capsys, store, name, code, told):
    assert call(capsys, "index", "--store", store, "--quiet").code == 0
    before = {path.name: path.read_bytes() for path in (store / "indexes").iterdir()}
    done = start("index", "--store", store, "--factory", "HNSW8", prepare=DYING.format(name))
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"error: the process that computes was killed by {name}{told}\n"
    assert {path.name: path.read_bytes() for path in (store / "indexes").iterdir()} == before
    assert call(capsys, "query", "--store", store, "t1").code == 0


@pytest.mark.parametrize(
    ("rows", "factories"),
    [
        (2, ("Flat", "HNSW32", "IVF1,Flat", "SQ8")),
        (56, ("Flat", "HNSW32", "IVF4,Flat", "SQ8")),
        (255, ("Flat", "HNSW32", "IVF8,Flat", "SQ8")),
        (256, ("Flat", "HNSW32", "IVF256,Flat", "SQ8")),
    ],
)
def test_a_hint_names_factories_that_a_store_of_this_size_can_have(capsys, tmp_path, rows, factories):
    few = stores.write_store(tmp_path / "few.kotovec", stores.numbered(rows), VECTORS[:rows])
    answer = call(capsys, "index", "--store", few, "--factory", "IVF999,Flat")
    assert answer.code == 2
    assert all(f"`{factory}`" in answer.err for factory in factories)
    holders = [factories_of.holder(name, rows, SIZE) for name in factories_of.HOLDERS]
    assert holders[3] == {2: "PQ16x1", 56: "PQ16x5", 255: "PQ16x7", 256: "PQ16"}[rows]
    for factory in {*factories, *(each for each in holders if "PQ" not in each)}:  # PQ: seconds on a busy machine
        index.build(Vectors(few), few / "indexes", Space("static"), Metric("l2"), factory=factory)
