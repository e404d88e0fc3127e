"""Damaged stores by the thousand, and processes that read one after the other.

Run as a script, it reads lines such as `tokens 17` from stdin, damages that file of a small store the 17th way,
opens it, verifies it, asks it, and prints what came of it. `Readers` starts such processes, and watches for crashes
and hangs, which is how HDF5 and faiss, left alone, would meet some of them.
"""

import faulthandler
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kotovec.errors import KotovecError
from kotovec.space import Space
from kotovec.store import Store, index
from kotovec.store import folder as folders
from kotovec.store.layout import Layout
from kotovec.store.nearest import Metric
from kotovec.store.shard import Shard, open_shard, write_shard
from kotovec.store.tokenizer import checksums

import stores
from commands import PROVENANCE, ROOT, SPECIALS, TEXTS, environment, isolated_vectors, make_store, static_vectors

INPUTS = int(os.environ.get("FUZZ_INPUTS", "800"))  # 10,000 take some three minutes
SEED = 20240607
SECONDS = 20  # for one input: they take 4 ms, and the machine may be busy
PROCESSES = 2
MEMORY = 8 << 30  # address space of the process: a damaged size must not take the machine's memory
LONGEST = 4096  # bytes that one mutation changes at most
INTEGERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
FILES = {
    "tokens": "tokens.h5",
    "static": "spaces/static.h5",
    "isolated": "spaces/isolated-2.h5",
    "flat": "indexes/static.l2.faiss",
    "hnsw": "indexes/static.cosine.faiss",
    "ivf": "indexes/static.ip.faiss",
    "record": "indexes/static.l2.json",
    "tokenizer": "tokenizer/tokenizer.json",
    "shard": "shards/000000.h5",
    "plan": "shards/plan.json",
}
KINDS = tuple(FILES)
SPACES = (Space("static"), Space("isolated", 0), Space("isolated", 2))  # of the small store, and of its shard
WAYS = ("bits", "bytes", "zeros", "integer", "cut", "grow", "swap", "copy", "insert", "delete", "splice", "tail")


def make_stores(folder: Path) -> None:
    """Write a small store with all there is to damage, and another to take pieces from."""
    files = checksums(make_store(folder / "first") / "tokenizer")
    store = make_store(folder / "store", provenance={**PROVENANCE, "tokenizer_files": json.dumps(files)})
    opened = Store.open(store).vectors
    index.build(opened, store / "indexes", Space("static"), Metric.COSINE, factory="HNSW8")
    index.build(opened, store / "indexes", Space("static"), Metric.IP, factory="IVF2,Flat")
    layout = Layout(store)
    folders.begin(
        layout, {"settings": {"model": "none", "layers": "0,2"}, "spaces": ["static", "isolated@0", "isolated@2"]}
    )
    write_shard(layout.shards, _shard(), stores.FINGERPRINT)
    # Of another shape in every dataset, and with other tokens.
    stores.write_store(
        folder / "other",
        stores.make_tokens([*TEXTS, "more", "tokens"], special=SPECIALS),
        np.vstack([static_vectors(), np.ones((2, 8))]) + 1,
        layers=(0, 1, 2),
        metrics=["l2"],
        provenance={**PROVENANCE, "model": "another/one"},
    )


def _shard() -> Shard:
    ids = np.arange(len(TEXTS), dtype=np.int64)
    arrays = dict(zip(SPACES, (static_vectors(), *isolated_vectors().astype(np.float32)), strict=True))
    return Shard(0, ids, arrays, "host", "AVX2")


def mutate(whole: bytes, other: bytes, kind: str, recipe: str) -> bytes:
    """Return a file damaged.

    Recipes: a number, the seed of one to three random mutations; `PLACE^BIT` flips one bit; `PLACE=INTEGER` writes
    eight bytes; `:SIZE` cuts.
    """
    data = bytearray(whole)
    if "^" in recipe:
        place, bit = map(int, recipe.split("^"))
        data[place] ^= 1 << bit
    elif "=" in recipe:
        place, value = map(int, recipe.split("="))
        data[place : place + 8] = _integer(value)
    elif recipe.startswith(":"):
        del data[int(recipe[1:]) :]
    else:
        rng = np.random.default_rng((SEED, KINDS.index(kind), int(recipe)))
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            _apply(data, other, str(rng.choice(WAYS)), rng)
    return bytes(data)


def _apply(data: bytearray, other: bytes, way: str, rng: np.random.Generator) -> None:
    """Change the data in place; an earlier cut may have left next to nothing of it."""
    size = len(data)
    grain = int(rng.choice([1, 8, 64, 512]))
    length = min(int(2 ** rng.uniform(0, np.log2(LONGEST))), size // 2)
    first, second = (int(rng.integers(size - length + 1)) // grain * grain for _ in range(2))
    block = bytes(data[first : first + length])
    if way == "bits":
        for place in rng.integers(size, size=rng.choice([1, 1, 2, 8])) if size else ():
            data[place] ^= 1 << int(rng.integers(8))
    elif way == "swap":
        block, data[second : second + length] = bytes(data[second : second + length]), block
        data[first : first + length] = block[: len(data) - first]
    else:
        # Where, and what takes its place.
        start, stop, new = {
            "bytes": (first, first + length, rng.bytes(length)),
            "zeros": (first, first + length, bytes(length)),
            "integer": (first // 4 * 4, first // 4 * 4 + 8, _integer(int(rng.choice(INTEGERS)))),
            "cut": (first, size, b""),
            "grow": (size, size, rng.bytes(length)),
            "copy": (second, second + length, block),
            "insert": (second, second, block),
            "delete": (first, first + length, b""),
            "splice": (first, first + length, other[first : first + length]),
            "tail": (first, size, other[first:]),
        }[way]
        data[start:stop] = new


def _integer(value: int) -> bytes:
    return (value % 2**64).to_bytes(8, "little")


def ask(store: Store) -> list[object]:
    """Ask a store what depends on every part of it; return the answers as plain values."""
    answers = [
        store.search("king - man + woman", k=5),
        store.search("kings", k=5, metric="cosine"),  # through the tokenizer
        store.search("王 - 男 + 女", k=5, metric="ip", exclude_inputs=True, words_only=True),
        store.search("queen", k=5, space="isolated"),
        store.search("girl", k=5, space="isolated@0", metric="cosine"),
    ]
    # So few rows are searched without a Flat index; faiss must be able to work with this one all the same.
    loaded = index.load(store.vectors, Layout(store.path).indexes, Space("static"), Metric.L2)
    if loaded is not None:
        loaded[0].search(np.ones((1, 8), dtype=np.float32), 5)
    found = [[(hit.id, hit.text, hit.token, round(hit.score, 9)) for hit in answer.hits] for answer in answers]
    return [*found, len(json.dumps(store.info()["kinds"])), store.norms("isolated").tolist()]


class Reader:
    """Reads damaged stores in a folder of its own."""

    def __init__(self, source: Path, work: Path) -> None:
        self.whole = {kind: (source / "store" / name).read_bytes() for kind, name in FILES.items()}
        other = source / "other"
        self.other = {
            kind: path.read_bytes() if (path := other / name).exists() else self.whole["record"]
            for kind, name in FILES.items()
        }
        self.folder = work / "store"
        shutil.copytree(source / "store", self.folder)
        store = Store.open(self.folder)
        self.answers, self.made = ask(store), {space: store.vectors.made(space) for space in SPACES}

    def read(self, kind: str, recipe: str) -> str:
        """Damage, read and mend; return `refused`, `found` (by verify), `whole`, or `other answers`."""
        path = self.folder / FILES[kind]
        try:
            # A new file each time: the last one may still be mapped.
            path.unlink()
            path.write_bytes(mutate(self.whole[kind], self.other[kind], kind, recipe))
            if kind == "shard":
                return self._read_shard()
            if kind == "plan":
                folders.read_plan(Layout(self.folder))
                return "whole"
            return self._read_store()
        except KotovecError as error:
            if "\n" in str(error) or not str(error):
                raise ValueError(f"an error of several lines, or none: {error!r}") from error
            return "refused"
        finally:
            path.unlink()
            path.write_bytes(self.whole[kind])

    def _read_shard(self) -> str:
        whole = _shard()
        with open_shard(self.folder / "shards", 0, stores.FINGERPRINT) as reader:
            reader.check(whole.ids, SPACES)
            same = all(np.array_equal(reader.read(space.stem), whole.arrays[space]) for space in SPACES)
        return "whole" if same else "other answers"

    def _read_store(self) -> str:
        store = Store.open(self.folder)
        damaged = store.verify()
        try:
            # The file of a space is parsed when the space is first used.
            same = store.spaces == SPACES and all(store.vectors.made(space) == self.made[space] for space in SPACES)
        except KotovecError:
            if damaged:
                raise
            return "other answers"
        if not same and not damaged:
            return "other answers"
        try:
            answers = ask(store)
        except KotovecError:
            # What verify calls whole must be answered.
            return "found" if damaged else "other answers"
        return "found" if damaged else "whole" if answers == self.answers else "other answers"


class Readers:
    """Processes that read damaged stores; one that crashes or hangs is replaced.

    Attributes:
        source: folder of `make_stores`.
        work: folder for them to work in.
    """

    def __init__(self, source: Path, work: Path) -> None:
        self.source, self.work = source, work
        self._numbers = iter(range(1 << 20))

    def read(self, inputs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return what came of each (kind, recipe)."""
        left, outcomes = deque(inputs), {}
        threads = [threading.Thread(target=self._work, args=(left, outcomes)) for _ in range(PROCESSES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def _work(self, left: deque[tuple[str, str]], outcomes: dict[tuple[str, str], str]) -> None:
        process = None
        while left:
            try:
                kind, recipe = left.popleft()
            except IndexError:  # the other thread took the last one
                break
            process = process or self._start()
            timer = threading.Timer(SECONDS, process.kill)
            timer.start()
            process.stdin.write(f"{kind} {recipe}\n")
            process.stdin.flush()
            outcomes[kind, recipe] = process.stdout.readline().strip()
            timer.cancel()
            if not outcomes[kind, recipe]:
                code = process.wait()
                outcomes[kind, recipe] = f"hung for {SECONDS} s" if code == -9 else f"crashed with {code}"
                process = None
        if process is not None:
            process.communicate()

    def _start(self) -> subprocess.Popen:
        folder = self.work / str(next(self._numbers))
        folder.mkdir()
        command = [sys.executable, __file__, str(self.source), str(folder)]
        paths = environment().get("PYTHONPATH", "")
        variables = environment(PYTHONPATH=f"{ROOT / 'tests'}:{paths}", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        with (folder / "stderr").open("w") as stderr:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, env=variables
            )


def tally(outcomes: dict[tuple[str, str], str]) -> tuple[Counter[str], list[str]]:
    """Return how often each proper outcome came, and the others, each in a line."""
    proper = ("refused", "found", "whole")
    counts = Counter(outcome for outcome in outcomes.values() if outcome in proper)
    return counts, [f"{kind} {recipe}: {said}" for (kind, recipe), said in outcomes.items() if said not in proper]


def main(source: str, work: str) -> None:
    """Answer lines until stdin ends."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    reader = Reader(Path(source), Path(work))
    for line in sys.stdin:
        try:
            said = reader.read(*line.split())
        except BaseException as error:  # noqa: BLE001 — whatever it is, it should have been kotovec's own
            last = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})".replace("\n", " ")
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
