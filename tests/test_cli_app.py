"""What all commands have in common: help, environment twins, errors, exit codes, pipes, and what they import."""

import inspect
import json
import re
import shlex
import signal
import subprocess
import sys

import pytest
from typer.main import get_command

from kotovec.cli.app import COMMANDS, make_app, shield_minus

import stores
from commands import ROOT, call, make_store, start, without_steps

TREE = get_command(make_app()).commands
OPTIONS = [(name, option) for name in COMMANDS for option in TREE[name].params if option.name != "help"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("app") / "words.kotovec")


def environment_names(option):
    return [option.envvar] if isinstance(option.envvar, str) else option.envvar or []


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=[f"{name}-{option.name}" for name, option in OPTIONS])
def test_every_option_has_help_and_an_environment_twin_of_its_name(command, option):
    assert option.help, f"{command} {option.name} says nothing about itself"
    if option.param_type_name == "option":
        longest = max(option.opts, key=len).lstrip("-")
        assert f"KOTOVEC_{longest.upper().replace('-', '_')}" in environment_names(option)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_fits_a_screen_and_its_options_are_aliases(command):
    lines = inspect.getsource(TREE[command].callback).splitlines()
    assert len(lines) <= 60
    assert not any("Annotated" in line or "typer.Option" in line for line in lines)


@pytest.mark.parametrize(
    ("variable", "value", "shows"),
    [
        ("KOTOVEC_K", "3", lambda data: len(data["results"]) == 3),
        ("KOTOVEC_METRIC", "cosine", lambda data: data["metric"] == "cosine"),
        ("KOTOVEC_SPACE", "isolated", lambda data: data["space"] == "isolated@2"),
        ("KOTOVEC_EXCLUDE_INPUTS", "1", lambda data: not any(row["is_input"] for row in data["results"])),
        ("KOTOVEC_WORDS_ONLY", "true", lambda data: data["results"][0]["text"] != "[PAD]"),
    ],
)
def test_environment_twins_work(store, capsys, monkeypatch, variable, value, shows):
    monkeypatch.setenv("KOTOVEC_STORE", str(store))
    assert not shows(json.loads(call(capsys, "query", "[PAD]", "--json").out))
    monkeypatch.setenv(variable, value)
    assert shows(json.loads(call(capsys, "query", "[PAD]", "--json").out))


@pytest.mark.parametrize(
    "arguments",
    [["query", "king"], ["index"], ["map", "--method", "pca"], ["norms", "king"], ["info"]],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KOTOVEC_SPACE", "both"),
        ("KOTOVEC_SPACE", "static,isolated@0"),
        ("KOTOVEC_LAYER", "0"),
        ("KOTOVEC_LAYER", "-2"),
    ],
)
def test_no_environment_twin_breaks_a_command_that_shares_it(store, capsys, monkeypatch, arguments, variable, value):
    monkeypatch.setenv(variable, value)
    answer = call(capsys, *arguments, "--store", store, "--quiet")
    assert (answer.code, answer.err) == (0, "")


def test_a_list_of_spaces_is_asked_in_its_order(store, capsys):
    lines = call(capsys, "query", "king", "--store", store, "--space", "isolated@0,static,isolated", "--json").out
    assert [json.loads(line)["space"] for line in lines.splitlines()] == ["isolated@0", "static", "isolated@2"]
    table = call(capsys, "query", "king", "--store", store, "--space", "isolated@0,isolated@2").out
    title = "king  (isolated, layer 0 | isolated, layer 2; squared L2, smaller is nearer)"
    assert table.splitlines()[0].strip() == title
    names = re.split(r"  +", table.splitlines()[1].strip())
    assert names[:6] == ["rank", "isolated, layer 0", "id", "score", "input", "isolated, layer 2"]


def test_a_layer_is_of_the_spaces_that_have_layers_and_name_none(store, capsys):
    def asked(*options):
        lines = call(capsys, "query", "king", "--store", store, "--json", *options).out.splitlines()
        return [json.loads(line)["space"] for line in lines]

    assert asked("--space", "static,isolated", "--layer", 0) == ["static", "isolated@0"]
    assert asked("--space", "isolated@2,isolated", "--layer", 0) == ["isolated@2", "isolated@0"]
    refused = call(capsys, "query", "king", "--store", store, "--layer", 0)
    assert (refused.code, refused.err) == (2, "error: static has no layer 0\nhint: choose `isolated` for a layer\n")


def test_an_option_overrides_its_environment_twin(store, capsys, monkeypatch):
    monkeypatch.setenv("KOTOVEC_STORE", "/nowhere.kotovec")
    monkeypatch.setenv("KOTOVEC_JSON", "1")
    monkeypatch.setenv("KOTOVEC_K", "2")
    answer = call(capsys, "query", "king", "--store", store, "-k", 4)
    assert len(json.loads(answer.out)["results"]) == 4


def test_the_only_store_of_the_working_directory_is_the_default(store, capsys, monkeypatch):
    monkeypatch.chdir(store.parent)
    answer = call(capsys, "query", "king", "-k", 1)
    assert (answer.code, answer.err) == (0, "")
    assert "king" in answer.out


def test_several_stores_are_an_error_that_names_them(capsys, monkeypatch, tmp_path):
    for name in ("b.kotovec", "a.kotovec"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    answer = call(capsys, "info")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "error: there are several stores here (a.kotovec, b.kotovec)\nhint: name one with --store or KOTOVEC_STORE\n"
    )


def test_no_store_is_an_error_that_says_how_to_make_one(capsys, monkeypatch, tmp_path):
    (tmp_path / "file.kotovec").touch()
    monkeypatch.chdir(tmp_path)
    answer = call(capsys, "norms", "king")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "error: there is no *.kotovec here\nhint: build one with `kotovec build`, or name one with --store\n"
    )


def examples(command):
    """The command lines behind `Example:` in a command's docstring."""
    text = inspect.getdoc(TREE[command].callback).split("Example:", 1)[1]
    return [shlex.split(line)[1:] for line in re.findall(r"`(kotovec [^`]+)`", text)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_in_its_docstring(command):
    assert examples(command)
    assert all(example[0] == command for example in examples(command))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("build", "submit", "shell")])
def test_the_example_of_every_command_runs(command, capsys, monkeypatch, tmp_path):
    for example in examples(command):
        make_store(tmp_path / "demo.kotovec")
        if command == "contexts":
            stores.add_contexts(tmp_path / "demo.kotovec", {"王": [0]}, ["王は島を治めた。"])
        monkeypatch.chdir(tmp_path)
        answer = call(capsys, *example)
        notes = without_steps(answer.err).replace("note: the notice of a build\n", "")
        assert (answer.code, notes) == (0, "")
        assert answer.out


def test_the_example_of_shell_runs(store):
    for example in examples("shell"):
        done = start(*example, input="king\n", environment={"KOTOVEC_STORE": str(store)})
        assert (done.returncode, done.stderr) == (0, "")
        assert "queen" in done.stdout


def test_the_example_of_build_names_options_that_there_are(capsys):
    for example in examples("build"):
        known = {name for option in TREE["build"].params for name in option.opts}
        assert {word for word in example if word.startswith("-")} <= known
        assert call(capsys, *example, "--help").code == 0


@pytest.mark.parametrize(
    ("arguments", "err"),
    [
        (["--typo"], "error: unknown option `--typo`\nhint: see `kotovec --help`\n"),
        (["info", "king"], "error: unexpected argument `king`\nhint: see `kotovec info --help`\n"),
        (["norms", "--store"], "error: --store needs a value\nhint: write `--store FOLDER`\n"),
        (["build", "--layerz", "all"], "error: unknown option `--layerz`\nhint: use `--layers`\n"),
        (["qurey", "king"], "error: unknown command `qurey`\nhint: use `query`\n"),
        (
            ["king", "-", "man"],
            "error: unknown command `king`\nhint: ask for words with `kotovec query`, or see `kotovec --help`\n",
        ),
    ],
)
def test_the_hint_of_a_usage_error_names_what_to_type_or_the_help_of_its_command(capsys, arguments, err):
    answer = call(capsys, *arguments)
    assert (answer.code, answer.out, answer.err) == (2, "", err)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_is_a_result(capsys, arguments):
    answer = call(capsys, *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert all(f"\n  {command} " in answer.out for command in COMMANDS)


def test_the_version_is_that_of_the_package(capsys):
    from kotovec import __version__

    assert call(capsys, "--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "unknown command `frobnicate`"),
        (["query", "--frob"], "unknown option `--frob`"),
        (["query", "king", "-k", "many"], "-k"),
        (["query", "king", "--layer"], "--layer"),
        (["info", "queen"], "queen"),
        (["query"], "no expression is given\nhint: give one, such as `king - man"),
        (["norms"], "no word is given\nhint: give some, such as"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, monkeypatch, store, arguments, said):
    monkeypatch.setenv("KOTOVEC_STORE", str(store))
    answer = call(capsys, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)


def test_a_traceback_is_shown_only_when_asked_for(capsys, monkeypatch, store):
    wrong = ("query", "--store", store, "nosuchword")
    assert "Traceback" not in call(capsys, *wrong).err
    monkeypatch.setenv("KOTOVEC_DEBUG", "1")
    answer = call(capsys, *wrong)
    assert answer.code == 2
    assert "Traceback (most recent call last)" in answer.err
    assert "\nerror: `nosuchword` is not in the vocabulary" in answer.err


def test_an_error_that_nobody_foresaw_is_one_line_and_exit_code_1(capsys, monkeypatch, store):
    from kotovec.store import Store

    def broken(*_, **__):
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(Store, "open", broken)
    answer = call(capsys, "info", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "error: ZeroDivisionError: first line\nhint: set KOTOVEC_DEBUG=1 to see where\n"


@pytest.mark.parametrize("lines", [1, 400])
def test_a_reader_that_leaves_early_is_no_error(store, tmp_path, lines):
    path = tmp_path / "expressions.txt"
    path.write_text("king\n" * lines, encoding="utf-8")
    command = [sys.executable, "-c", "from kotovec.cli.app import main; main()"]
    arguments = ["query", "--store", str(store), "--file", str(path), "-k", "24"]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=-1, stderr=-1, text=True) as process:
        if lines > 1:
            assert json.loads(process.stdout.readline())["expression"] == "king"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_ctrl_c_exits_130(store):
    command = [sys.executable, "-c", "from kotovec.cli.app import main; main()", "shell", "--json"]
    arguments = ["--store", str(store)]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdin=-1, stdout=-1, stderr=-1, text=True) as process:
        process.stdin.write("king\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["expression"] == "king"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


REPORT = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr)); "
HEAVY = {"torch", "transformers", "ray"}


@pytest.mark.parametrize(
    ("arguments", "needed", "unneeded"),
    [
        (["--help"], {"typer"}, {"numpy", "h5py", "faiss", "rich.markdown"}),
        (["query", "king - man + woman"], {"faiss"}, {"tokenizers", "kotovec.cluster", "kotovec.workers"}),
        (["query", "kings", "--space", "isolated"], {"faiss", "tokenizers"}, {"kotovec.cluster"}),
        (["norms", "king", "kings"], {"tokenizers"}, {"faiss"}),
        (["info"], {"h5py"}, {"tokenizers"}),
    ],
)
def test_a_one_shot_command_never_imports_torch_transformers_or_ray(store, arguments, needed, unneeded):
    done = start(*arguments, prepare=REPORT, environment={"KOTOVEC_STORE": str(store)})
    modules = set(done.stderr.splitlines()[-1].split())
    assert done.returncode == 0
    assert needed <= modules
    assert modules.isdisjoint(HEAVY | unneeded)


@pytest.mark.parametrize("name", ["japanese-v1", "japanese-v3"])
def test_a_japanese_term_of_several_subwords_needs_no_transformers(tiny_models, tmp_path, name):
    import numpy as np
    from transformers import AutoTokenizer

    # The tokenizer as a build saves it, and a vocabulary of what the term is made of.
    tokenizer = AutoTokenizer.from_pretrained(tiny_models[name])
    term = "超電磁砲"
    texts = list(dict.fromkeys(["[UNK]", *tokenizer.tokenize(term)]))
    path = stores.write_store(tmp_path / "a.kotovec", stores.make_tokens(texts), np.eye(len(texts)))
    tokenizer.save_pretrained(path / "tokenizer")
    done = start("query", term, "-k", 1, "--store", path, prepare=REPORT)
    assert done.returncode == 0
    assert len(texts) > 2
    assert f"the mean of {' | '.join(tokenizer.tokenize(term))}" in done.stdout
    modules = set(done.stderr.splitlines()[-1].split())
    assert "fugashi" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("given", "shielded"),
    [
        ("-男 + 王", True),
        ("-man", True),
        ("-1*man", True),
        ("-k + 王", True),
        ("-kx", True),
        ("-k5", False),
        ("-k", False),
        ("-q", False),
        ("-h", False),
        ("-", False),
        ("--", False),
        ("--json", False),
        ("man-king", False),
    ],
)
def test_what_begins_with_a_minus_and_is_no_option_is_an_expression(given, shielded):
    assert shield_minus(["query", given]) == ["query", f" {given}" if shielded else given]


def test_the_documentation_of_the_command_line_is_up_to_date():
    made = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate_cli.py"), "--print"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == made.stdout, "run python docs/generate_cli.py"
