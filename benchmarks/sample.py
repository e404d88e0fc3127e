"""The scan of a corpus: its rate against the tokenizer's own, and the memory of driver and workers as corpora grow.

    python benchmarks/sample.py [--megabytes 256,1024] [--contexts 50] [--workers 2] [--model demo]

Writes English of made-up sentences, all distinct, whose words follow Zipf's law: a corpus that repeats itself would
cost less. Each scan runs in a process of its own. Memory is what a process has for itself (`RssAnon`): pages of files
that it maps are the system's, which takes them back.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

SAMPLE_SECONDS = 0.1
WORKER = "ray::scan_here"
WORDS = 100_000  # of the made-up language, of which the vocabulary has a part
BLOCK = 10_000  # sentences that are made at a time
SEED = 15
RATE_MEGABYTES = 8  # of text, on which the tokenizer's own rate is measured


def main() -> None:
    """Make the corpora, scan them, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", default="256,1024", help="sizes of the corpora [256,1024]")
    parser.add_argument("--contexts", type=int, default=50, help="contexts of each token [50]")
    parser.add_argument("--workers", type=int, default=2, help="tasks at the same time; 0 without Ray [2]")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the sentences [1]")
    parser.add_argument("--model", default="demo", help="whose tokenizer [demo]")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(scan_once(options, *options.child)))
        return
    with tempfile.TemporaryDirectory(prefix="kotovec-scan-") as name:
        for megabytes in map(int, options.megabytes.split(",")):
            corpus = Path(name, f"{megabytes}.txt")
            write_corpus(corpus, megabytes * 10**6, words_of(options.model))
            print(json.dumps(watch(options, corpus, Path(name, str(megabytes)))), flush=True)
            corpus.unlink()


# The corpus


def words_of(model: str) -> list[str]:
    """Return the words of a model's vocabulary, the most frequent ones of BERT's first, and made-up ones."""
    from kotovec.cluster.plan import Request, make_plan

    tokens = make_plan(Request(model=model, device="cpu")).tokens
    known = [text for text, kind in zip(tokens.texts, tokens.kinds, strict=True) if kind == 0 and text.isalpha()]
    made = (f"{first}{second}" for first in known[2000:2600] for second in known[3000:3400])
    return [*known, *(next(made) for _ in range(max(0, WORDS - len(known))))]


def write_corpus(path: Path, size: int, words: list[str]) -> None:
    """Write so many bytes of sentences of 5 to 40 words, a paragraph of four per line."""
    random = np.random.default_rng(SEED)
    shares = 1 / np.arange(1, len(words) + 1)
    steps = np.cumsum(shares / shares.sum())
    table = np.array(words, dtype=object)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            lengths = random.integers(5, 41, BLOCK)
            chosen = table[np.searchsorted(steps, random.random(lengths.sum()) * steps[-1])].tolist()
            stops = np.cumsum(lengths).tolist()
            texts = [" ".join(chosen[stop - length : stop]) for stop, length in zip(stops, lengths, strict=True)]
            lines = (". ".join(text.capitalize() for text in texts[at : at + 4]) for at in range(0, BLOCK, 4))
            file.write(".\n".join(lines) + ".\n")


# One scan


def scan_once(options: argparse.Namespace, corpus: Path, folder: Path) -> dict[str, Any]:
    """Scan a corpus; return how long it took, what was found, and the tokenizer's own rate in MB/s."""
    from kotovec.cluster.contexts.matching import make_matcher
    from kotovec.cluster.contexts.sample import open_executor, scan
    from kotovec.cluster.contexts.scan import Scanner
    from kotovec.cluster.contexts.spec import ScanSpec
    from kotovec.cluster.corpus import Corpus
    from kotovec.cluster.plan import Request, make_plan
    from kotovec.cluster.where import Resources
    from kotovec.store.layout import Layout
    from kotovec.workers.splitter import Splitter
    from kotovec.workers.tokenizer import list_vocabulary

    plan = make_plan(Request(model=options.model, device="cpu"))
    splitter, matcher = Splitter(plan.tokenizer), make_matcher(list_vocabulary(plan.tokenizer), plan.tokens)
    scanner = Scanner(splitter, matcher, limit=options.contexts, fraction=options.fraction)
    spec = ScanSpec(Corpus((str(corpus),)), scanner, "benchmark", keep_text=True)
    layout = Layout(folder)
    layout.shards.mkdir(parents=True)
    moments: dict[str, float] = {}
    written = 0

    def tell(event: object) -> None:
        nonlocal written
        if name := getattr(event, "name", None):
            moments[name] = time.monotonic()
            written = sum(path.stat().st_size for path in layout.shards.glob("piece-*"))

    with open_executor(spec, Resources(workers=options.workers), tell) as executor:
        begin = time.monotonic()
        sample = scan(spec, layout, executor, tell)
        end = time.monotonic()
    size, scanned = corpus.stat().st_size, moments["gather"] - begin
    return {
        "megabytes": round(size / 1e6),
        "scan s": round(scanned, 1),
        "gather s": round(end - moments["gather"], 1),
        "MB/s a core": round(size / 1e6 / scanned / max(1, options.workers), 2),
        "tokenizer MB/s": round(tokenizer_rate(splitter, corpus), 2),
        "pieces MB": round(written / 1e6, 1),
        "sample MB": round(layout.sample.stat().st_size / 1e6, 1),
        "sentences": len(sample.hashes),
        "contexts": len(sample.sentences),
        "complete": int((sample.counts == options.contexts).sum()),
    }


def tokenizer_rate(splitter: Any, corpus: Path) -> float:
    """Return how many MB of sentences a second the tokenizer alone takes, in one thread."""
    with corpus.open("rb") as file:
        lines = file.read(RATE_MEGABYTES * 10**6).decode(errors="ignore").splitlines()
    texts = [sentence for line in lines for sentence in line.split(". ")]
    size = sum(map(len, texts))
    begin = time.monotonic()
    for start in range(0, len(texts), 4096):
        splitter.split(texts[start : start + 4096])
    return size / 1e6 / (time.monotonic() - begin)


def watch(options: argparse.Namespace, corpus: Path, folder: Path) -> dict[str, Any]:
    """Scan in a process of its own; return what it says, and the peak of its memory and of a worker's, in MB."""
    command = [sys.executable, __file__, "--child", str(corpus), str(folder), "--model", options.model]
    command += [f"--{name}={getattr(options, name)}" for name in ("contexts", "workers", "fraction")]
    peaks = {"driver MB": 0.0, "worker MB": 0.0}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        root = psutil.Process(child.pid)
        while child.poll() is None:
            for name, size in sizes(root):
                peaks[name] = max(peaks[name], round(size / 1e6))
            time.sleep(SAMPLE_SECONDS)
        assert child.stdout is not None
        return {**json.loads(child.stdout.read()), **peaks}


def sizes(root: psutil.Process) -> Iterator[tuple[str, int]]:
    """Yield the private memory of the driver and of each worker."""
    with contextlib.suppress(psutil.Error, OSError):
        yield "driver MB", private_bytes(root.pid)
        for process in root.children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if WORKER in " ".join(process.cmdline()):
                    yield "worker MB", private_bytes(process.pid)


def private_bytes(pid: int) -> int:
    """Return the size of a process's anonymous memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), 0)


if __name__ == "__main__":
    main()
