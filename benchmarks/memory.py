"""Peak memory of a whole build: proportional set size over all of its processes, shared memory counted once.

Builds the full 32,000-token Japanese vocabulary with a seeded, random BERT-base (the memory and the speed are
those of the real model; the meaning is not), and holds the peak against what the project promises.

    python benchmarks/memory.py --workers 2 --promise 6.0
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

TOKENIZER = Path(__file__).parents[1] / "tests" / "data" / "bert-base-japanese-whole-word-masking"
SAMPLE_SECONDS = 0.5


def make_model(folder: Path) -> None:
    """Write a BERT-base with seeded random weights and the real Japanese tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig.from_pretrained(TOKENIZER)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)


def proportional_bytes(process: psutil.Process) -> int:
    """Return a process's proportional set size; 0 where it has just ended."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), 0)


def name_of(process: psutil.Process) -> str:
    """Return what a process is, in a few letters."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return "ended"
    known = ("ray::Encoder", "ray::IDLE", "gcs_server", "raylet/raylet", "dashboard", "monitor", "kotovec")
    return next((name for name in known if name in line), line[:40])


def watch(command: list[str], folder: Path) -> tuple[int, dict[str, int], float, str]:
    """Run a command; return its peak in bytes, the processes at the peak, its seconds, and its output."""
    begin = time.monotonic()
    peak, parts = 0, {}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as child:
        root = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                processes = [root, *root.children(recursive=True)]
            except psutil.Error:
                break
            sizes = [(name_of(process), proportional_bytes(process)) for process in processes]
            total = sum(size for _, size in sizes)
            if total > peak:
                peak = total
                parts = {}
                for name, size in sizes:
                    parts[name] = parts.get(name, 0) + size
            time.sleep(SAMPLE_SECONDS)
        output = child.stdout.read() if child.stdout else ""
    if child.returncode:
        sys.exit(f"{' '.join(command)} exited with {child.returncode}")
    return peak, parts, time.monotonic() - begin, output


def main() -> None:
    """Build, watch, print; exit 1 if the promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--promise", type=float, default=6.0, help="GB that the peak must stay within")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kotovec-memory-") as name:
        folder = Path(name)
        make_model(folder / "bert-base")
        kotovec = Path(sys.executable).with_name("kotovec")
        command = [str(kotovec), "build", "bert-base", "--workers", str(arguments.workers), "--json"]
        peak, parts, seconds, output = watch(command, folder)
        summary = json.loads(output)
        print(f"{summary['tokens']:,} tokens, {arguments.workers} workers, {seconds:.0f} s as a whole")
        print("phases: " + ", ".join(f"{phase} {value:.1f} s" for phase, value in summary["seconds"].items()))
        for part, size in sorted(parts.items(), key=lambda item: -item[1]):
            print(f"{size / 1e6:10,.0f} MB  {part}")
        print(f"{peak / 1e6:10,.0f} MB  peak of all processes; promised {arguments.promise * 1e3:,.0f} MB")
        assert summary["tokens"] == 32000
        if peak > arguments.promise * 1e9:
            sys.exit("the peak is above the promise")


if __name__ == "__main__":
    main()
