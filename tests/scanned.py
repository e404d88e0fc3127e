"""Corpora for tests of scans: sentences in files of any form, and what a scan of them is made with."""

import bz2
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kotovec.cluster.contexts.matching import make_matcher
from kotovec.cluster.contexts.sample import open_executor, scan
from kotovec.cluster.contexts.scan import Scanner
from kotovec.cluster.contexts.spec import ScanSpec
from kotovec.cluster.corpus import Corpus, hash_sentences, normalise
from kotovec.cluster.events import ignore
from kotovec.cluster.where import Resources
from kotovec.store.layout import Layout
from kotovec.workers.splitter import Splitter
from kotovec.workers.tokenizer import list_vocabulary

from rays import CHECKOUT, Listener, plan_of

DATA = Path(__file__).parent / "data"
TABLES = ("hashes", "offsets", "sentences", "inside", "occurrences", "ids", "id_offsets")


@pytest.fixture(scope="session")
def scanner(tiny_models):
    """What finds the tokens of the tiny English model."""
    return scanner_of(plan_of(tiny_models["bert"]))


@pytest.fixture(scope="session")
def reference(scanner, tmp_path_factory):
    """Return the bytes of the sample of the English corpus, in one piece, read by this process."""
    folder = tmp_path_factory.mktemp("reference")
    path = write_lines(folder / "a.txt", english())
    sample, _ = run_scan(spec_of(scanner, path, piece_bytes=1 << 30), folder / "x.kotovec")
    return bytes_of(sample)


@pytest.fixture
def on_ray(one_ray):
    """Let the tests' Ray take the classes of this module along."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def names(layout):
    """Return the names of the files of an unfinished build."""
    return sorted(path.name for path in layout.shards.iterdir())


def english():
    """Return 2,000 sentences of the Brown corpus."""
    return (DATA / "brown" / "english.txt").read_text(encoding="utf-8").splitlines()


def scanner_of(plan, **options):
    """Return what a plan's tokens are found with."""
    matcher = make_matcher(list_vocabulary(plan.tokenizer), plan.tokens)
    return Scanner(Splitter(plan.tokenizer), matcher, **{"limit": 5} | options)


def spec_of(scanner, *paths, keep_text=True, piece_bytes=16 << 10, **options):
    """Return what decides the sample of some files, a sentence a line, in small pieces."""
    corpus = Corpus(tuple(map(str, paths)), **{"split": "line", "max_chars": 2000} | options)
    return ScanSpec(corpus, scanner, "i" * 64, keep_text=keep_text, piece_bytes=piece_bytes)


def run_scan(spec, folder, workers=0):
    """Scan in this process or on the tests' Ray; return the sample and what was told."""
    layout, listener = Layout(folder), Listener()
    layout.shards.mkdir(parents=True, exist_ok=True)
    with open_executor(spec, Resources(workers=workers), listener) as executor:
        return scan(spec, layout, executor, listener), listener


def bytes_of(sample):
    """Return the bytes of a sample's arrays and texts, by name."""
    found = {
        name: (str(array.dtype), array.tobytes()) for name in TABLES if (array := getattr(sample, name)) is not None
    }
    return found | ({} if sample.texts is None else {"text": list(sample.texts)})


def by_force(sentences, scanner):
    """Return the contexts of each item, {row: texts by hash}, and how many distinct sentences have it.

    All sentences in memory, each looked at alone, and sorted.
    """
    distinct = sorted({normalise(sentence) for sentence in sentences})
    distinct = [text for text in distinct if 8 <= len(text) <= 2000]
    order = np.argsort(hash_sentences(distinct, scanner.seed))
    whole, inside = {}, {}
    for text in (distinct[index] for index in order):
        ids, offsets = scanner.splitter.split([text])
        found = scanner.matcher.find(ids, offsets)
        for row in sorted(set(found.rows.tolist())):
            is_whole = not found.inside[found.rows == row].all()
            (whole if is_whole else inside).setdefault(row, []).append(text)
    chosen = inside | whole
    return {row: texts[: scanner.limit] for row, texts in chosen.items()}, {
        row: len(texts) for row, texts in chosen.items()
    }


def write_lines(path, sentences):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    return path


def write_jsonl(path, sentences, field="text"):
    return write_lines(path, [json.dumps({"n": number, field: text}) for number, text in enumerate(sentences)])


def write_parquet(path, sentences, field="text", rows=150):
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"n": range(len(sentences)), field: sentences}), path, row_group_size=rows)
    return path


def packed(path, ending):
    """Return the path of a compressed copy of a file."""
    import zstandard

    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}[ending]
    target = path.with_name(path.name + ending)
    target.write_bytes(compress(path.read_bytes()))
    return target


def executor_of(spec, workers=0, report=ignore):
    """Return what reads the pieces, in this process or on the tests' Ray."""
    return open_executor(spec, Resources(workers=workers), report)


class Slow:
    """A splitter that takes its time, so that a signal meets it at work."""

    def __init__(self, splitter, at_work=None):
        self.splitter = splitter
        self.at_work = at_work  # a folder: of each process that is at work, a file of that name

    def split(self, texts):
        mark = None if self.at_work is None else self.at_work / str(os.getpid())
        if mark is not None:
            mark.touch()
        time.sleep(0.3)
        if mark is not None:
            mark.unlink()
        return self.splitter.split(texts)


class Killer(Slow):
    """A splitter that one text kills."""

    def split(self, texts):
        if "the end of all workers" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.splitter.split(texts)


class Hanging(Slow):
    """A splitter that hangs the first time."""

    def __init__(self, splitter, mark):
        super().__init__(splitter)
        self.mark = mark

    def split(self, texts):
        if not self.mark.exists():
            self.mark.touch()
            time.sleep(600)
        return self.splitter.split(texts)


def slowed(scanner, at_work=None):
    """Return what finds items in pieces that take 0.3 s each, or more."""
    return replace(scanner, splitter=Slow(scanner.splitter, at_work))


def arguments_of(spec, folder):
    """Return arguments for a script: this folder, what decides a sample, as a file, and the folder of a store."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    folder.parent.mkdir(exist_ok=True)
    pickled = folder.with_name("spec.pickle")
    pickled.write_bytes(ray.cloudpickle.dumps(spec))
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    return list(map(str, (Path(__file__).parent, pickled, folder)))


def run_killed(code, spec, folder, *arguments):
    """Run a script that kills its scans; return what it printed, a number."""
    environment = os.environ | ({"PYTHONPATH": str(CHECKOUT)} if CHECKOUT else {})
    command = [sys.executable, "-c", code, *arguments_of(spec, folder), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
