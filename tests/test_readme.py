"""The README keeps its word: its tree names every file, its table every command, and its Python runs."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kotovec.cli.app import COMMANDS

from commands import environment
from stores import make_tokens, write_store

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = (
    "kotovec",
    "cluster",
    "workers",
    "store",
    "cli",
    "cli/page",
    "tests",
    "tests/faults",
    "benchmarks",
    "benchmarks/peers",
    "docs",
)


def tree():
    """Yield the paths that the README's tree names, each with its line."""
    block = re.search(r"## The house\n.*?```text\n(.*?)```", README, re.DOTALL)[1]
    folder = ""
    for line in block.splitlines():
        name, _, said = line.strip().partition(" ")
        if name.endswith("/") and not line.startswith(" "):
            folder = name
        elif line.startswith(" "):
            yield folder + name, said.strip()
        else:
            yield name, said.strip()


def test_the_tree_names_every_file_and_no_other_with_a_line_each():
    named = dict(tree())
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).iterdir()
        if path.suffix in (".py", ".md", ".typed", ".yaml", ".sh", ".html", ".css", ".js")
    }
    assert {path for path in named if "/" in path and not path.endswith("/") and not path.startswith(".")} == there
    assert all((ROOT / path).exists() for path in named)
    assert all(said for said in named.values())


def test_the_table_has_every_command():
    table = re.search(r"## Commands\n(.*?)\n\n", README.replace("\n\n| command", "\n| command"), re.DOTALL)[1]
    assert set(re.findall(r"\| `kotovec (\w+)", table)) == set(COMMANDS)


def test_the_python_of_the_readme_runs(tmp_path):
    words = ["[UNK]", "king", "man", "woman", "queen", *(f"word{number}" for number in range(10))]
    vectors = np.random.default_rng(0).standard_normal((len(words), 384), dtype=np.float32)
    vectors[4] = vectors[1] - vectors[2] + vectors[3]
    write_store(tmp_path / "demo.kotovec", make_tokens(words, special=["[UNK]"]), vectors, layers=(6,))
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name, score = done.stdout.split()
    assert name == "queen"
    assert float(score) == pytest.approx(0, abs=1e-9)
