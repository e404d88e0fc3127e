"""What is wrong with a command line is said in kotovec's own words, with what to type instead."""

import json
import re

import numpy as np
import pytest
from typer.main import get_command

from kotovec.cli.app import make_app
from kotovec.cli.arguments import COMMANDS
from kotovec.errors import near_names

import stores
from commands import call, make_store

TREE = get_command(make_app()).commands
OPTIONS = [(name, option) for name in COMMANDS for option in TREE[name].params if option.name != "help"]
NUMBERS = [(name, option) for name, option in OPTIONS if option.type.name in ("int", "integer", "float")]
FLAGS = [(name, option) for name, option in OPTIONS if getattr(option, "is_flag", False)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("usage") / "words.kotovec")


@pytest.fixture
def refused(capsys, monkeypatch, store):
    """Run a command line that must be refused; return its message and its hint."""

    def refuse(*arguments):
        monkeypatch.chdir(store.parent)
        answer = call(capsys, *arguments)
        assert (answer.code, answer.out) == (2, "")
        found = re.fullmatch(r"error: (\S.*)\n(?:hint: (\S.*)\n)?", answer.err)
        assert found, answer.err
        return found.groups()

    return refuse


@pytest.mark.parametrize("name", ["json", "exact", "help", "verify", "space", "k10=5"])
def test_an_option_with_one_dash_is_no_subtraction(refused, capsys, store, name):
    if name == "k10=5":
        assert json.loads(call(capsys, "query", "king", "-k10", "--json", "--store", store).out)["results"][9]
        return
    message, hint = refused("query", "king", f"-{name}")
    assert message == f"`-{name}` is not an option"
    assert hint == f"use `--{name}`; for a subtraction, write `- {name}`"


@pytest.mark.parametrize(
    ("arguments", "given", "hint"),
    [
        (["query", "king", "-metric=cosine"], "-metric", "use `--metric`; for a subtraction, write `- metric`"),
        (["query", "—json", "king"], "—json", "use `--json`; for a subtraction, write `- json`"),
        (["query", "king", "–json"], "–json", "use `--json`; for a subtraction, write `- json`"),
        (["norms", "king", "-json"], "-json", "use `--json`; for a subtraction, write `- json`"),
        (["build", "demo", "-workers", "2"], "-workers", "use `--workers`"),
        (["info", "-store", "x"], "-store", "use `--store`"),
        (["-help"], "-help", "use `--help`"),
        (["-version"], "-version", "use `--version`"),
    ],
)
def test_every_command_names_the_option_that_was_meant(refused, arguments, given, hint):
    assert refused(*arguments) == (f"`{given}` is not an option", hint)


@pytest.mark.parametrize(
    ("arguments", "expression"),
    [
        (["king", "-man", "+woman"], "king - man + woman"),
        (["king -man"], "king - man"),
        (["-man + king"], "-man + king"),
        (["--", "-man", "+", "king"], "-man + king"),
    ],
)
def test_a_word_with_a_minus_that_names_no_option_is_arithmetic(capsys, store, arguments, expression):
    answer = json.loads(call(capsys, "query", "--store", store, "--json", *arguments).out)
    assert (answer["expression"], answer["notes"]) == (expression, [])


@pytest.mark.parametrize("command", ["query", "norms"])
@pytest.mark.parametrize(
    ("arguments", "given", "hint"),
    [
        (["-s", "words.kotovec", "king"], "-s", "use `--store`; for a subtraction, write `- s`"),
        (["king", "-s", "words.kotovec"], "-s", "use `--store`; for a subtraction, write `- s`"),
        (["king", "-s=words.kotovec"], "-s", "use `--store`; for a subtraction, write `- s=words.kotovec`"),
        (["king", "-j"], "-j", "use `--json`; for a subtraction, write `- j`"),
        (["king", "-Q"], "-Q", "use `-q`; for a subtraction, write `- Q`"),
        (["king", "-H"], "-H", "use `-h`; for a subtraction, write `- H`"),
        (["king", "–q"], "–q", "use `-q`; for a subtraction, write `- q`"),
    ],
)
def test_a_letter_with_a_dash_is_a_wrong_option_and_no_subtraction(refused, tmp_path, command, arguments, given, hint):
    assert refused(command, *arguments) == (f"unknown option `{given}`", hint)


@pytest.mark.parametrize(
    ("arguments", "given", "hint"),
    [
        (["king", "-K", "3"], "-K", "use `-k`; for a subtraction, write `- K`"),
        (["king", "-K3"], "-K", "use `-k`; for a subtraction, write `- K3`"),
        (["king", "-K=3"], "-K", "use `-k`; for a subtraction, write `- K=3`"),
        (["king", "-N", "3"], "-N", "use `-k`; for a subtraction, write `- N`"),
        (["king", "–k", "3"], "–k", "use `-k`; for a subtraction, write `- k`"),
        (["king", "—k3"], "—k", "use `-k`; for a subtraction, write `- k3`"),
        (["king", "-f", "a.txt"], "-f", "use `--file`; for a subtraction, write `- f`"),
        (["king", "-m", "ip"], "-m", "use `--metric`; for a subtraction, write `- m`"),
        (["king", "-e"], "-e", "use `--exclude-inputs` or `--exact`; for a subtraction, write `- e`"),
        (["king", "-z"], "-z", "see `kotovec query --help`; for a subtraction, write `- z`"),
    ],
)
def test_a_wrong_short_option_of_a_query_names_the_right_one(refused, arguments, given, hint):
    assert refused("query", *arguments) == (f"unknown option `{given}`", hint)


@pytest.mark.parametrize(
    ("arguments", "given", "hint"),
    [
        (["info", "-s", "words.kotovec"], "-s", "use `--store`"),
        (["tokens", "king", "-N", "3"], "-N", "use `-n`"),
        (["tokens", "king", "-r"], "-r", "use `--regex`"),
        (["build", "demo", "-O"], "-O", "use `--overwrite`"),
        (["map", "-z"], "-z", "see `kotovec map --help`"),
    ],
)
def test_a_wrong_short_option_of_another_command_does_too(refused, arguments, given, hint):
    assert refused(*arguments) == (f"unknown option `{given}`", hint)


def test_a_wrong_short_option_is_named_before_the_stores_that_lie_here(tmp_path, capsys, monkeypatch):
    for name in ("a", "b"):
        make_store(tmp_path / f"{name}.kotovec")
    monkeypatch.chdir(tmp_path)
    answer = call(capsys, "query", "king", "-s", "a.kotovec")
    assert answer.err.startswith("error: unknown option `-s`\nhint: use `--store`;")


def test_a_word_of_one_letter_is_subtracted_between_spaces_and_in_quotes(capsys, tmp_path):
    tokens = stores.make_tokens(["[UNK]", "king", "x", "B2"])
    store = stores.write_store(tmp_path / "letters.kotovec", tokens, np.eye(4))
    for arguments, expression in (
        (["king", "-", "x"], "king - x"),
        (["- x", "+", "king"], "-x + king"),
        (["king -x"], "king - x"),
        (["king", "－x"], "king - x"),
        (["king", "-B2"], "king - B2"),
        (["--", "king", "-x"], "king - x"),
    ):
        answer = call(capsys, "query", "--store", store, "--json", *arguments)
        assert json.loads(answer.out)["expression"] == expression


def test_a_text_in_quotes_is_arithmetic_whatever_it_names(refused):
    """`king -json` in quotes is one argument; here json is no word."""
    assert refused("query", "king -json")[0].startswith("`json` is not in the vocabulary")


@pytest.mark.parametrize(("command", "option"), NUMBERS, ids=lambda each: getattr(each, "name", each))
@pytest.mark.parametrize("value", ["abc", "1e", "\x1b[2J"])
def test_a_number_that_is_none_is_one_line_on_the_command_line_and_in_the_environment(
    refused, monkeypatch, command, option, value
):
    name = max(option.opts, key=len)
    kind = "number" if option.type.name == "float" else "whole number"
    shown = value.replace("\x1b", "\\x1b")
    message, hint = refused(command, name, value)
    assert message == f"{name} is `{shown}`, not a {kind}"
    assert re.fullmatch(rf"give a {kind}, such as `{name} [\d.]+`", hint)
    variable = f"KOTOVEC_{name.lstrip('-').replace('-', '_').upper()}"
    monkeypatch.setenv(variable, value)
    assert refused(command) == (f"{variable} is `{shown}`, not a {kind}", f"set it to a {kind}, or unset it")


@pytest.mark.parametrize(("command", "option"), FLAGS, ids=lambda each: getattr(each, "name", each))
def test_a_flag_in_the_environment_is_true_or_false(refused, monkeypatch, command, option):
    variable = f"KOTOVEC_{max(option.opts, key=len).lstrip('-').replace('-', '_').upper()}"
    monkeypatch.setenv(variable, "maybe")
    assert refused(command) == (f"{variable} is `maybe`, neither true nor false", "set it to 1 or 0, or unset it")
    assert refused(command, f"{max(option.opts, key=len)}=yes")[0].endswith(" takes no value")


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda each: getattr(each, "name", each))
def test_no_word_of_typers_is_said_about_an_option_without_its_value(refused, command, option):
    if option.param_type_name == "argument" or getattr(option, "is_flag", False):
        return
    for name in option.opts:
        message, hint = refused(command, name)
        assert message == f"{name} needs a value"
        assert hint.startswith((f"write `{name} ", "choose `"))


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["version"], "unknown command `version`", "use `kotovec --version`"),
        (["environment"], "unknown command `environment`", "use `kotovec help environment`"),
        (["search", "king"], "unknown command `search`", "use `kotovec query`"),
        (["in"], "unknown command `in`", "use `index` or `info`"),
        (["inf"], "unknown command `inf`", "use `info`"),
        (["query", "king", "--spac"], "unknown option `--spac`", "use `--space`"),
        (["query", "king", "--exclude_inputs"], "unknown option `--exclude_inputs`", "use `--exclude-inputs`"),
        (["query", "king", "--JSON"], "unknown option `--JSON`", "use `--json`"),
        (["query", "king", "--k", "5"], "unknown option `--k`", "use `-k`"),
        (["query", "king", "--xyzzy"], "unknown option `--xyzzy`", "see `kotovec query --help`"),
        (["build", "-josn"], "unknown option `-josn`", "use `--json`"),
        (
            ["--store", "x", "query", "king"],
            "unknown option `--store`",
            "write options after the command: `kotovec query --store`",
        ),
        (
            ["info", "words.kotovec"],
            "unexpected argument `words.kotovec`",
            "name a store with --store: `kotovec info --store words.kotovec`",
        ),
        (["build", "demo", "--force"], "unknown option `--force`", "use `--overwrite`"),
        (["build", "demo", "-j", "4"], "unknown option `-j`", "use `--workers`"),
        (["query", "king", "-n", "3"], "unknown option `-n`", "use `-k`"),
        (["query", "king", "--top", "3"], "unknown option `--top`", "use `-k`"),
        (
            ["build", "demo", "--overwrite", "true"],
            "unexpected argument `true`",
            "leave out `true`: --overwrite takes no value",
        ),
        (
            ["build", "./no"],
            "`./no` is neither a folder nor an id on the Hub (owner/name)",
            "give a model's folder that exists, an id such as `tohoku-nlp/bert-base-japanese-v3`, or `demo`",
        ),
        (
            ["build", "words.kotovec", "--store", "x"],
            "words.kotovec is a store, not a model",
            "see it with `kotovec info --store words.kotovec`, or name the model that it was made of: none/of-these",
        ),
        (
            ["map", "--png", "/nonexist/x.png"],
            "/nonexist/x.png: there is no folder /nonexist",
            "make it with `mkdir -p /nonexist`, or name a file in another folder",
        ),
        (
            ["index", "--factory", "IVF"],
            "faiss cannot build `IVF` from these vectors (could not parse index string IVF)",
            "choose another factory, such as `Flat`, `HNSW32`, `IVF4,Flat` or `SQ8`",
        ),
        (
            ["build", "demo", "--revision", "v1", "--store", "x"],
            "demo is a package, which has no revision `v1`",
            "leave out --revision, or give an id on the Hub",
        ),
        (["build", "--model", "demo"], "unknown option `--model`", "the model is an argument: `kotovec build demo`"),
        (["build", "--model=demo"], "unknown option `--model`", "the model is an argument: `kotovec build demo`"),
        (["build", "-m", "demo"], "unknown option `-m`", "the model is an argument: `kotovec build demo`"),
        (["build", "--model"], "unknown option `--model`", "the model is an argument: `kotovec build MODEL`"),
        (["submit", "--model", "demo"], "unknown option `--model`", "the model is an argument: `kotovec submit demo`"),
        (
            ["query", "--expression", "king - man"],
            "unknown option `--expression`",
            "the expression is an argument: `kotovec query 'king - man'`",
        ),
        (
            ["norms", "--words", "king"],
            "unknown option `--words`",
            "the word is an argument: `kotovec norms king`",
        ),
        (
            ["tokens", "--pattern", "king"],
            "unknown option `--pattern`",
            "the pattern is an argument: `kotovec tokens king`",
        ),
        (
            ["coverage", "--stores", "a"],
            "unknown option `--stores`",
            "the store is an argument: `kotovec coverage a`",
        ),
        (
            ["completion", "--shell", "zsh"],
            "unknown option `--shell`",
            "the shell is an argument: `kotovec completion zsh`",
        ),
        (
            ["help", "--command", "query"],
            "unknown option `--command`",
            "the command is an argument: `kotovec help query`",
        ),
        (["info", "--path", "words.kotovec"], "unknown option `--path`", "use `--store`"),
        (["verify", "--folder=words.kotovec"], "unknown option `--folder`", "use `--store`"),
        (["build", "a", "b"], "unexpected argument `b`", "see `kotovec build --help`"),
        (["query", "king", "--json", "--tsv"], "--json and --tsv are given", "give one of them"),
        (["query", "--file", ""], "--file names no file", "give its path, or `-` for standard input"),
        (
            ["query", "-"],
            "`-` is an operator, and no token is given",
            "use `--file -` for standard input, or '\"-\"' for the token",
        ),
        (
            ["query", "king", "--space", "contextual"],
            "unknown space `contextual`",
            "choose `static`, `isolated@0` or `isolated@2`",
        ),
        (
            ["query", "king", "--space", "static,output"],
            "output is not in this store: it holds static, isolated@0, isolated@2",
            (
                "choose `static`, `isolated@0` or `isolated@2`, or add it with "
                "`kotovec build none/of-these --store words.kotovec --spaces output`"
            ),
        ),
        (["query", "king", "--in", "both"], "unknown space `both`", "choose `static`, `isolated@0` or `isolated@2`"),
        (
            ["query", "king", "--in", "static,isolated"],
            "unknown space `static,isolated`",
            "choose `static`, `isolated@0` or `isolated@2`",
        ),
        (["tokens", "-k", "3"], "unknown option `-k`", "use `-n`"),
        (["audit", "-k", "3"], "unknown option `-k`", "use `-n`"),
        (["tokens", "--top", "3"], "unknown option `--top`", "use `-n`"),
        (["map", "--space", "x"], "unknown space `x`", "choose `static`, `isolated@0` or `isolated@2`"),
        (["index", "--space", "x"], "unknown space `x`", "choose `static`, `isolated@0` or `isolated@2`"),
        (["query", "king", "--script", "Kanji"], "unknown script `Kanji`", "choose `Han`"),
    ],
)
def test_the_hint_names_what_was_meant(refused, arguments, message, hint):
    assert refused(*arguments) == (message, hint)


@pytest.mark.parametrize(
    ("variable", "value", "message", "hint"),
    [
        (
            "KOTOVEC_METRIC",
            "l1",
            "unknown metric `l1`",
            "choose `l2`, `cosine`, `ip` or `csls` (KOTOVEC_METRIC is set)",
        ),
        ("KOTOVEC_K", "0", "k is 0", "choose a number from 1 to 25 (KOTOVEC_K is set)"),
        (
            "KOTOVEC_SPACE",
            "output",
            "output is not in this store: it holds static, isolated@0, isolated@2",
            (
                "choose `static`, `isolated@0` or `isolated@2`, or add it with "
                "`kotovec build none/of-these --store words.kotovec --spaces output` (KOTOVEC_SPACE is set)"
            ),
        ),
        (
            "KOTOVEC_STORE",
            "/nowhere",
            "there is no folder /nowhere",
            "build one with `kotovec build` (KOTOVEC_STORE is set)",
        ),
    ],
)
def test_a_value_of_the_environment_is_named_by_its_variable(refused, monkeypatch, variable, value, message, hint):
    monkeypatch.setenv(variable, value)
    assert refused("query", "king") == (message, hint)


def test_what_the_environment_asks_for_gives_way_to_the_command_line(capsys, monkeypatch, refused, store):
    monkeypatch.setenv("KOTOVEC_JSON", "1")
    assert call(capsys, "query", "king", "--tsv", "-k", 1, "--store", store).out.startswith("space\trank")
    monkeypatch.setenv("KOTOVEC_TSV", "1")
    assert refused("query", "king") == ("KOTOVEC_JSON and KOTOVEC_TSV are set", "unset one of them")
    monkeypatch.delenv("KOTOVEC_JSON")
    assert json.loads(call(capsys, "query", "king", "--json", "-k", 1, "--store", store).out)["expression"] == "king"
    monkeypatch.setenv("KOTOVEC_FILE", "/nowhere")
    assert call(capsys, "query", "king", "-k", 1, "--store", store).code == 0


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"king\n\xffqueen\n", "line 2 of {} is not UTF-8", "save it as UTF-8"),
        ("king\n王".encode("cp932"), "line 2 of {} is not UTF-8", "save it as UTF-8"),
        ("king\n".encode("utf-16"), "line 1 of {} is UTF-16", "save it as UTF-8"),
        (b"king\n" * 5000 + b"\xff", "line 5001 of {} is not UTF-8", "save it as UTF-8"),
    ],
)
def test_a_file_that_is_not_utf_8_is_named_with_its_line(capsys, store, tmp_path, content, message, hint):
    path = tmp_path / "asked"
    path.write_bytes(content)
    answer = call(capsys, "query", "--file", path, "--store", store, "-k", 1)
    assert answer.code == 2
    assert answer.err == f"error: {message.format(path)}\nhint: {hint}\n"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gpus_per_worker", ["gpus-per-worker"]),
        ("Layers", ["layers"]),
        ("lay", ["layer", "layers"]),
        ("work", ["workers"]),
        ("stoer", ["store"]),
        ("colour", []),
    ],
)
def test_close_names_are_offered_up_to_three(name, near):
    known = ["gpus-per-worker", "cpus-per-worker", "layer", "layers", "workers", "store"]
    assert near_names(name, known) == near
    assert len(near_names("aaa", ["aaab", "aaac", "aaad", "aaae"])) == 3


def test_a_flag_takes_no_value(capsys, store):
    said = call(capsys, "query", "king", "--exclude-inputs", "true", "--store", store).err
    assert said.endswith("hint: leave out `true`: --exclude-inputs takes no value\n")
    said = call(capsys, "query", "king", "--exclude-inputs", "false", "--store", store).err
    assert said.endswith("hint: leave out `--exclude-inputs false`: --exclude-inputs takes no value\n")


def test_a_number_after_an_equals_sign_is_the_number(capsys, store):
    found = json.loads(call(capsys, "query", "king", "-k=3", "--json", "--store", store).out)
    assert len(found["results"]) == 3


def test_a_full_width_number_sign_is_one(capsys, store):
    found = [call(capsys, "query", f"{sign}5", "-k1", "--json", "--store", store).out for sign in "#＃"]
    assert json.loads(found[0])["results"] == json.loads(found[1])["results"]


@pytest.mark.parametrize(
    ("variable", "value", "arguments"),
    [("KOTOVEC_DEVICE", "cuda", ["query", "king"]), ("KOTOVEC_MODEL", "./no", ["build", "--dry-run"])],
)
def test_a_device_and_a_model_of_the_environment_are_named(refused, monkeypatch, variable, value, arguments):
    monkeypatch.setattr("kotovec.store.library.gpus", lambda: 0)
    monkeypatch.setenv(variable, value)
    assert refused(*arguments)[1].endswith(f" ({variable} is set)")


@pytest.mark.parametrize("arguments", [["info", "--store", ""], ["info", "--store="], ["build", "demo", "--words", ""]])
def test_an_empty_path_is_refused_and_is_not_the_working_directory(capsys, arguments):
    option = arguments[-1 if arguments[-1] else -2].rstrip("=")
    answer = call(capsys, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {option} names nothing\nhint: name a file or a folder, or leave it out\n"
