"""docs/house.md: it is what the sources say now, it describes every file, and no import in it runs back up."""

import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
FOLDERS = (
    "cli",
    "cli/page",
    "cluster",
    "cluster/contexts",
    "cluster/corpus",
    "workers",
    "store",
    "store/evaluation",
    "store/exchange",
    "kotovec",
    "tests",
    "tests/attacks",
    "tests/faults",
    "benchmarks",
    "docs",
)
# From the top to the bottom; what stands on one line knows nothing of its neighbour.
FLOORS = [{"front"}, {"cli"}, {"cluster"}, {"workers", "store"}, {"kotovec"}]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def arrows(text):
    """The arrows of a Mermaid diagram, as pairs of names."""
    return re.findall(r"^    (\w+) (?:-->|-\.->)(?:\|\d+\|)? (\w+)$", text, re.MULTILINE)


def section(folder):
    """What the page says about a folder."""
    return PAGE.partition(f"\n## {folder}/\n")[2].partition("\n## ")[0]


def test_the_page_is_up_to_date():
    script = ROOT / "docs" / "generate_house.py"
    made = subprocess.run(
        [sys.executable, str(script), "--print"], capture_output=True, text=True, check=True, timeout=60
    )
    assert made.stdout == PAGE, "run python docs/generate_house.py"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_described(folder):
    described = dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", section(folder), re.MULTILINE))
    sources = {path.name for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".md", ".js", ".yaml", ".sh")}
    assert sources
    assert sources <= set(described)
    assert all(described.values())


def test_no_import_runs_back_up_between_the_folders():
    between = arrows(PAGE.partition("\n## ")[0])
    assert {("cli", "cluster"), ("cluster", "workers"), ("cli", "store"), ("cluster", "store")} <= set(between)
    assert [(above, below) for above, below in between if LEVEL[above] >= LEVEL[below]] == []


@pytest.mark.parametrize("folder", ["cli", "cluster", "workers", "store"])
def test_no_import_runs_back_up_within_a_folder(folder):
    within = arrows(section(folder))
    assert len(within) >= 5
    order = TopologicalSorter()
    for above, below in within:
        order.add(above, below)
    order.prepare()  # raises CycleError, which names the modules that import each other
