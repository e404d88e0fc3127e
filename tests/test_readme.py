"""The README and the guides keep their word: commands exist, links lead somewhere, Python runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from kotovec.cli.app import COMMANDS, make_app

from commands import environment
from stores import make_tokens, write_store

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md")))
HOUSE = ("cluster", "workers", "store", "cli", "tests")
TREE = get_command(make_app()).commands


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def console(page):
    """The words of every command that a page shows after a `$`."""
    for block in re.findall(r"```console\n(.*?)```", read(page), re.DOTALL):
        for line in re.findall(r"^ *\$ (.*(?:kotovec|make).*)$", block, re.MULTILINE):
            # What follows `&&` is a command of its own, and so is what `ray exec` is given in quotes.
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                yield shlex.split(words[-1]) if words[:2] == ["ray", "exec"] else words


def shown(page):
    """The commands of kotovec that a page shows."""
    return [words for words in console(page) if words[0] == "kotovec"]


def test_the_readme_is_short_and_names_the_house():
    readme = read("README.md")
    assert len(readme.splitlines()) <= 130
    assert [folder for folder in HOUSE if f"`{folder}/`" not in readme or not (ROOT / folder).is_dir()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if "```console" in read(page)])
def test_every_command_that_a_page_shows_exists_with_its_options(page):
    for command in shown(page):
        assert command[1] in COMMANDS, command
        known = {name for option in TREE[command[1]].params for name in option.opts}
        used = [word for word in command[2:] if re.fullmatch(r"--?[a-z][a-z-]*", word)]
        assert [option for option in used if option not in known] == [], command


def test_the_readme_shows_the_commands_that_matter():
    assert {words[1] for words in shown("README.md")} >= {"build", "query", "map"}
    assert {words[1] for words in shown("README.ja.md")} >= {"build", "query", "norms"}
    assert {words[1] for words in shown("docs/cluster.md")} >= {"build", "submit", "verify"}


@pytest.mark.parametrize("page", [page for page in PAGES if "make " in read(page)])
def test_every_make_target_that_a_page_shows_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {words[1] for words in console(page) if words[0] == "make"} <= targets


def test_every_extra_that_a_page_shows_exists():
    import tomllib

    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = {
        extra
        for page in PAGES
        for names in re.findall(r"pip install '(?:kotovec|\.)\[([\w,-]+)\]'", read(page))
        for extra in names.split(",")
    }
    assert {"cpu", "gpu", "map", "cluster"} <= named <= extras


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


def test_the_table_of_the_reference_has_every_command():
    table = read("docs/cli.md").partition("\n\nResults go")[0]
    assert re.findall(r"^\| `kotovec (\w+)", table, re.MULTILINE) == list(COMMANDS)


def test_the_python_of_the_guide_runs_block_after_block(tmp_path):
    words = ["[UNK]", "king", "man", "woman", "queen", *(f"word{number}" for number in range(10))]
    vectors = np.random.default_rng(0).standard_normal((len(words), 384), dtype=np.float32)
    vectors[4] = vectors[1] - vectors[2] + vectors[3]
    write_store(tmp_path / "demo.kotovec", make_tokens(words, special=["[UNK]"]), vectors, layers=(6,))
    code = "".join(re.findall(r"```python\n(.*?)```", read("docs/python.md"), re.DOTALL))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "1 queen 1.0"
    assert lines[3:5] == ["UnknownTokenError", "15 True False"]
    assert lines[5:9] == ["['queen', 'king']", "king - man + woman isolated@6 6 cosine", "queen", "queen"]
    norm = np.linalg.norm(vectors[1].astype(np.float64))
    shape, _, printed = lines[9].rpartition(" ")
    assert shape == "(15, 384) (6,)"
    assert float(printed) == pytest.approx(norm, rel=1e-12)
    cosine = vectors[1].astype(np.float64) @ vectors[4] / norm / np.linalg.norm(vectors[4].astype(np.float64))
    assert float(lines[10]) == pytest.approx(cosine, abs=1e-12)
    assert lines[11:] == ["queen", "3 False"]
