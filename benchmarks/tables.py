"""The table of a large model: 256,000 × 4,096 in bfloat16 into a store, against copying the bytes.

    python benchmarks/tables.py [--rows 256000] [--width 4096] [--rounds 1] [--folder FOLDER]

- build: `kotovec build FOLDER --spaces static` in a process of its own: seconds of the whole process and of its
  phases, and the most memory that was resident in it.
- copy of the store: the store's file of vectors, read and written to the same disk, with fsync: the bytes that the
  build writes, float32, twice as many as it reads.
- copy of the checkpoint: the same with the checkpoint's file.

The checkpoint is made in a temporary folder of some 10 GB, and deleted.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from turns import KOTOVEC, Promise, find_kotovec, median, print_measured, print_promises, take_turns, write

BLOCK = 8 << 20  # bytes at a time, as the build's own
MOST_MEMORY = 1_500  # MB: torch, transformers, 256,000 tokens, and no matrix
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "num_attention_heads": 32,
}


def main() -> int:
    """Measure, print, and write a file of results; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256_000, help="of the matrix [256,000]")
    parser.add_argument("--width", type=int, default=4_096, help="of the matrix [4,096]")
    parser.add_argument("--rounds", type=int, default=1, help="of each measure [1]")
    parser.add_argument("--folder", type=Path, help="where the files are made [the temporary folder]")
    options = parser.parse_args()
    find_kotovec()
    with tempfile.TemporaryDirectory(prefix="kotovec-tables-", dir=options.folder) as folder:
        model, store = Path(folder, "model"), Path(folder, "model.kotovec")
        make(model, options.rows, options.width)
        static = store / "spaces" / "static.h5"
        measures = {
            "build": lambda: build(model, store),
            "copy of the store": lambda: copy(static),
            "copy of the checkpoint": lambda: copy(model / "model.safetensors"),
        }
        measured = take_turns(measures, options.rounds)
    bound = median(measured, "copy of the store")
    megabytes = median(measured, "build", "peak")
    promises = [
        Promise("copying the rows / copying the store's file", median(measured, "build", "copy"), bound, at_most=1.5),
        Promise("memory of the build's process", megabytes, at_most=MOST_MEMORY, unit="MB"),
    ]
    print_measured(measured, "seconds")
    write("tables", measured, promises, notes=[f"{options.rows:,} × {options.width:,} in bfloat16."])
    return print_promises(promises)


def make(folder: Path, rows: int, width: int) -> None:
    """Write a checkpoint with seeded rows, block by block, and as many words as rows."""
    from tokenizers import Tokenizer, models

    folder.mkdir()
    sizes = {"vocab_size": rows, "hidden_size": width, "intermediate_size": width, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(CONFIG | sizes))
    words = {"<unk>": 0, "<s>": 1} | {f"word{number}": number for number in range(2, rows)}
    Tokenizer(models.WordLevel(words, unk_token="<unk>")).save(str(folder / "tokenizer.json"))  # noqa: S106 — no secret
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "unk_token": "<unk>"}))
    total = rows * width * 2
    tensor = {"dtype": "BF16", "shape": [rows, width], "data_offsets": [0, total]}
    header = json.dumps({"model.embed_tokens.weight": tensor}).encode()
    header += b" " * (-len(header) % 8)
    generator = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, total, BLOCK):
            count = min(BLOCK, total - start) // 4
            # The upper halves of float32 numbers: two of them in each.
            numbers = generator.standard_normal(count * 2, dtype=np.float32)
            file.write((numbers.view(np.uint32) >> 16).astype("<u2").tobytes())
        os.fsync(file.fileno())


def build(model: Path, store: Path) -> Mapping[str, float]:
    """Build the store anew in a process; return its seconds, those of its phases, and its peak of memory in MB."""
    command = [*KOTOVEC, "build", str(model), "--spaces", "static", "--store", str(store), "--json"]
    shutil.rmtree(store, ignore_errors=True)
    os.sync()  # what earlier rounds left to write
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    begin = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    seconds = time.monotonic() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest process so far
    phases = json.loads(done.stdout)["seconds"]
    return {"seconds": seconds, "plan": phases["plan"], "copy": phases["copy"], "peak": max(peak, before) * 1024 / 1e6}


def copy(path: Path) -> Mapping[str, float]:
    """Copy a file beside itself, in blocks, with fsync; return the seconds."""
    target = path.with_suffix(".copy")
    begin = time.monotonic()
    with path.open("rb") as source, target.open("wb") as file:
        while block := source.read(BLOCK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.monotonic() - begin
    target.unlink()
    return {"seconds": seconds}


if __name__ == "__main__":
    sys.exit(main())
