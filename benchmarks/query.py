"""Queries, cold and hot: against the article's way, gensim, raw faiss and the memory's bandwidth.

    python benchmarks/query.py [--rounds N] [--hot-rounds N] [--only cold|hot]

On 32,000 x 768 random vectors with the article's vocabulary. Cold, each a process of its own that answers 王 - 男 + 女:
`kotovec query`; the article's way (its tokenizer by transformers, the vectors out of a pickle, a new IndexFlatL2);
gensim (a KeyedVectors that is mapped into memory, and `most_similar`). Hot, in one process that has all of it open:
`Store.search` of one expression, and of 1,000 in a list, against a faiss IndexFlatL2 in memory that is given finished
vectors and asked for as many neighbours; on all cores and on one. Exits 1 if a promise does not hold:

- cold, less than the article's way and gensim take (startup.py holds it against the imports that it needs),
- hot, one query at most 1.3 times as long as in raw faiss, 1,000 in a batch at most 1.1 times.
"""

import argparse
import importlib.util
import json
import os
import pickle
import sys
import tempfile
from pathlib import Path

from startup import EXPRESSION, KOTOVEC, VOCABULARY, keep_compiled, make_store
from turns import (
    Measure,
    Measured,
    Promise,
    call,
    digits,
    find_kotovec,
    median,
    print_measured,
    print_promises,
    process,
    take_turns,
    whole_process,
    write,
)

K = 10
BATCH = 1000
ONE_AT_MOST, BATCH_AT_MOST = 1.3, 1.1  # times raw faiss
SPACES = ("static", "isolated")
TERMS = EXPRESSION.split()[::2]

ARTICLE = """
import pickle, sys
import faiss, numpy
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], mecab_kwargs={"mecab_dic": "ipadic"}, trust_remote_code=False)
with open(sys.argv[2], "rb") as file:
    vectors = pickle.load(file)
index = faiss.IndexFlatL2(vectors.shape[1])
index.add(vectors)
one, minus, plus = (vectors[tokenizer.convert_tokens_to_ids(term)] for term in sys.argv[3:])
distances, rows = index.search((one - minus + plus)[numpy.newaxis], 10)
for token, distance in zip(tokenizer.convert_ids_to_tokens(rows[0]), distances[0]):
    print(token, distance)
"""
GENSIM = """
import sys
from gensim.models import KeyedVectors
vectors = KeyedVectors.load(sys.argv[1], mmap="r")
one, minus, plus = sys.argv[2:]
for token, cosine in vectors.most_similar(positive=[one, plus], negative=[minus], topn=10):
    print(token, cosine)
"""


def main() -> int:
    """Measure everything and print it; return 0 if the promises hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="how often each cold query runs [11]")
    parser.add_argument(
        "--hot-rounds", type=int, default=11, help="how often each batch runs, and ten single ones [11]"
    )
    parser.add_argument("--only", choices=["cold", "hot"], help="one half, and no file of results")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)  # of the hot half, in a process of its own
    options = parser.parse_args()
    find_kotovec()
    if options.store:
        print(json.dumps(hot(options.store, options.hot_rounds)))
        return 0
    measured: Measured = {}
    promises: list[Promise] = []
    with tempfile.TemporaryDirectory() as folder:
        keep_compiled(Path(folder))
        store = make_store(Path(folder) / "synthetic.kotovec")
        if options.only != "hot":
            measured |= take_turns(cold(store, Path(folder)), options.rounds, warm_up=1)
            print_measured(measured, title="seconds, cold")
            promises += promises_cold(measured)
        if options.only != "cold":
            for threads in sorted({1, os.cpu_count() or 1}):
                found = hot_process(store, threads, options.hot_rounds)
                print_measured(found, title="seconds, hot")
                print_bandwidth(found, store)
                measured |= found
                promises += promises_hot(found)
    if options.only is None:
        write("query", measured, promises)
    return print_promises(promises)


def cold(store: Path, folder: Path) -> dict[str, Measure]:
    """Return the cold queries: processes that start with nothing and end with ten tokens on stdout."""
    import numpy as np

    from kotovec import Store

    opened = Store.open(store)
    vectors = np.array(opened.array("static"))
    pickled = folder / "vectors.pkl"
    pickled.write_bytes(pickle.dumps(vectors))
    python = [sys.executable, "-c"]
    measures = {
        "kotovec query": whole_process([*KOTOVEC, "query", "--store", store, EXPRESSION]),
        "the article's way": whole_process([*python, ARTICLE, VOCABULARY, pickled, *TERMS]),
    }
    if importlib.util.find_spec("gensim"):
        from gensim.models import KeyedVectors

        saved = folder / "vectors.kv"
        words = KeyedVectors(vectors.shape[1])
        words.add_vectors(opened.tokens.texts.at(np.arange(len(vectors))), vectors)
        words.save(str(saved), sep_limit=0)
        measures["gensim"] = whole_process([*python, GENSIM, saved, *TERMS])
    return measures


def promises_cold(measured: Measured) -> list[Promise]:
    """Return what is promised of a cold query."""
    ours = median(measured, "kotovec query")
    return [
        Promise(f"cold: kotovec query / {label}", ours, median(measured, label), at_most=1)
        for label in ("the article's way", "gensim")
        if label in measured
    ]


def hot_process(store: Path, threads: int, rounds: int) -> Measured:
    """Measure hot queries in a process that has so many threads, for faiss and for numpy alike."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    words = [sys.executable, __file__, "--store", str(store), "--hot-rounds", str(rounds)]
    found: Measured = json.loads(process(words, env=os.environ | limits))
    return {f"{label}, {threads} threads": numbers for label, numbers in found.items()}


def hot(store: Path, rounds: int) -> Measured:
    """Return how long queries take in this process, by `SPACE: WHO, HOW MANY`."""
    import faiss
    import numpy as np

    from kotovec import Store

    opened = Store.open(store)
    words = [token for token in opened.tokens.surfaces.at(np.arange(5, len(opened.tokens))) if token.isalnum()]
    chosen = np.random.default_rng(0).choice(words, (BATCH, len(TERMS)))
    expressions = [f'"{one}" - "{minus}" + "{plus}"' for one, minus, plus in chosen.tolist()]
    measured: Measured = {}
    for space in SPACES:
        vectors = np.ascontiguousarray(opened.array(space), dtype=np.float32)
        queries = np.stack([opened.vector(expression, space) for expression in expressions]).astype(np.float32)
        index = faiss.IndexFlatL2(vectors.shape[1])
        index.add(vectors)
        single = {
            f"{space}: raw faiss, one": call(lambda index=index, one=queries[:1]: index.search(one, K)),
            f"{space}: kotovec, one": call(lambda space=space: opened.search(expressions[0], space=space, k=K)),
            f"{space}: reading the vectors": call(vectors.view(np.int32).max),
        }
        batch = {
            f"{space}: raw faiss, {BATCH}": call(lambda index=index, all_=queries: index.search(all_, K)),
            f"{space}: kotovec, {BATCH}": call(lambda space=space: opened.search_many(expressions, space=space, k=K)),
        }
        measured |= take_turns(single, 10 * rounds, warm_up=3, quiet=True)
        measured |= take_turns(batch, rounds, warm_up=1, quiet=True)
    return measured


def promises_hot(measured: Measured) -> list[Promise]:
    """Return what is promised of hot queries."""
    pairs = [
        (label, label.replace("kotovec", "raw faiss"), most)
        for label in measured
        for many, most in (("kotovec, one,", ONE_AT_MOST), (f"kotovec, {BATCH},", BATCH_AT_MOST))
        if many in label
    ]
    return [
        Promise(f"{ours} / raw faiss", median(measured, ours), median(measured, theirs), at_most=most)
        for ours, theirs, most in pairs
    ]


def print_bandwidth(measured: Measured, store: Path) -> None:
    """Print how fast a single query reads the vectors, against reading them and nothing else on one thread."""
    from kotovec import Store

    size = Store.open(store).array("static").nbytes
    for label in measured:
        if "reading the vectors" in label:
            ours = median(measured, label.replace("reading the vectors", "kotovec, one"))
            bare = median(measured, label)
            speeds = f"{digits(size / ours / 1e9)} GB/s / {digits(size / bare / 1e9)} GB/s"
            print(f"{label}, by one query against bare: {speeds} = {bare / ours:.2f} of the bandwidth")
    print()


if __name__ == "__main__":
    sys.exit(main())
