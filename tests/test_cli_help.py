"""The help: groups, choices, nothing cut, and a terminal of 40 columns."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from rich.cells import cell_len
from typer.main import get_command

from kotovec.cli.arguments import COMMANDS
from kotovec.cli.declare import PANELS
from kotovec.cli.tree import make_app

from commands import MAIN, ROOT, call, environment, on_terminal

TREE = get_command(make_app()).commands


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = call(capsys, *([command] if command else []), "--help").out
    assert [line for line in shown.splitlines() if cell_len(line) > columns] == []
    assert "..." not in shown.replace("[ARGS]...", "")
    assert "env var" not in shown
    assert "`kotovec help environment`" in " ".join(shown.split())


def in_backticks(text):
    return re.findall(r"`(kotovec [^`]+)`", text)


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_an_example_that_is_continued_is_the_same_command_to_a_shell(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    arguments = [command] if command else []
    shown = in_backticks(call(capsys, *arguments, "--help").out)
    assert all(line.endswith(" \\") for text in shown for line in text.split("\n")[:-1])
    monkeypatch.setenv("COLUMNS", "200")
    whole = in_backticks(call(capsys, *arguments, "--help").out)
    bash = shutil.which("bash")
    assert shown
    for text, expected in zip(shown, whole, strict=True):
        assert "\n" not in expected or command == "submit"
        code = f'kotovec() {{ printf "%s\\n" "$@"; }}; {text}'
        read = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True).stdout
        assert read.splitlines() == shlex.split(expected)[1:]


EXAMPLE = """
  Example:
  `kotovec submit demo \\
    --address http://head:8265 \\
    --store /data/demo.kotovec \\
    --workers 8`
"""
DEFAULT = """
        [default: tohoku-nlp/bert-
        base-japanese-whole-word-
        masking]
"""


def test_a_long_example_and_a_long_default_are_continued(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = call(capsys, "submit", "--help").out
    assert EXAMPLE in shown
    assert DEFAULT in shown


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("arguments", [["help", "environment"], ["help", "submit"], ["--help"]])
def test_the_help_fits_a_terminal(columns, arguments):
    shown = on_terminal([sys.executable, "-c", MAIN, *arguments], columns, named=False)
    assert (shown.code, [line for line in shown.out.splitlines() if cell_len(line) > columns]) == (0, [])


def test_the_summary_of_every_command_is_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = " ".join(call(capsys, "--help").out.split())
    for name in COMMANDS:
        assert f"{name} {' '.join(TREE[name].help.partition(chr(10) + chr(10))[0].split())}" in shown


def test_the_options_of_a_build_stand_in_groups(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = call(capsys, "build", "--help").out
    groups = dict(re.findall(r"^(\w[\w ]*):\n((?:  .*\n)+)", shown, re.MULTILINE))
    named = {name: re.findall(r"^  (?:-\w, )?--([\w-]+)", text, re.MULTILINE) for name, text in groups.items()}
    assert named == {
        "Arguments": [],
        "Model": [
                "spaces", "layers", "dtype", "store-dtype", "token-filter", "mecab-dic",
                "words", "words-column", "pooling", "template", "no-bos", "revision",
            ],
        "Contexts": [
            "corpus", "corpus-field", "contexts", "split", "min-chars", "max-chars", "fraction", "seed", "keep-text",
            "contexts-from", "prototypes",
        ],
        "Workers": [
            "workers", "gpus-per-worker", "cpus-per-worker", "device", "shard-tokens", "stall-seconds"
        ],
        "Cluster": ["address", "config"],
        "Output": ["store", "overwrite", "dry-run", "json", "quiet", "help"],
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_quiet(command):
    assert {"-q", "--quiet"} in [set(each.opts) for each in TREE[command].params]


def test_a_quiet_command_prints_its_result_all_the_same(capsys):
    for arguments in (["completion", "bash"], ["help", "coverage"]):
        answers = call(capsys, *arguments), call(capsys, *arguments, "-q")
        assert answers[0].out == answers[1].out
        assert [(each.code, each.err) for each in answers] == [(0, ""), (0, "")]


def test_every_option_has_a_group_and_a_short_list_of_values_is_its_metavar():
    options = [each for command in TREE.values() for each in command.params if each.param_type_name == "option"]
    assert {option.rich_help_panel for option in options if option.name != "help"} <= set(PANELS)
    shown = {max(option.opts, key=len): option.metavar for option in options}
    assert {option.metavar for option in options if "--metric" in option.opts} == {"l2|cosine|ip|csls", "l2|cosine|ip"}
    assert shown["--dtype"] == "float32|bfloat16|float16"
    assert shown["--method"] == "umap|tsne|pca"
    assert shown["--device"] == "auto|cpu|cuda"


def test_the_values_that_the_help_names_are_those_that_are_accepted():
    from kotovec.cluster.request import DTYPES, STORE_DTYPES
    from kotovec.mecab import DICTIONARIES
    from kotovec.store.library import DEVICES
    from kotovec.store.maps import METHODS
    from kotovec.store.metric import Metric

    accepted = {
        "--metric": Metric, "--dtype": DTYPES, "--store-dtype": STORE_DTYPES, "--device": DEVICES,
        "--mecab-dic": DICTIONARIES, "--method": METHODS,
    }  # fmt: skip
    for name, command in TREE.items():
        for option in command.params:
            if option.param_type_name == "option" and option.opts[0] in accepted:
                values = set(map(str, accepted[option.opts[0]]))
                if (name, option.opts[0]) == ("index", "--metric"):
                    values -= {Metric.CSLS}  # which no index searches by
                assert set(option.metavar.split("|")) == values


def test_help_is_a_command_too(capsys):
    assert call(capsys, "help", "query").out == call(capsys, "query", "--help").out
    assert call(capsys, "help").out == call(capsys, "--help").out
    answer = call(capsys, "help", "qurey")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: there is no help on `qurey`\nhint: choose `query`\n"
    answer = call(capsys, "help", "xyzzy")
    assert answer.err.startswith("error: there is no help on `xyzzy`\nhint: choose `build`, `submit`, `query`")


def test_all_environment_variables_are_listed_in_one_place(capsys):
    shown = dict(re.findall(r"^  (\w+) +(.*)$", call(capsys, "help", "environment").out, re.MULTILINE))
    assert shown["KOTOVEC_STORE"] == "--store"
    assert shown["KOTOVEC_QUIET"] == "--quiet"
    assert shown["RAY_ADDRESS"] == "--address"
    assert shown["KOTOVEC_MODEL"] == "MODEL"
    assert {"KOTOVEC_DEBUG", "KOTOVEC_HISTORY", "NO_COLOR"} <= set(shown)


@pytest.mark.parametrize("module", ["kotovec", "kotovec.cli"])
def test_the_package_is_the_command(module):
    from kotovec import __version__

    done = subprocess.run(
        [sys.executable, "-m", module, "-V"], env=environment(), cwd=ROOT / "tests", capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == (f"{__version__}\n", 0)
