"""Bad input is one clear line on stderr and exit code 2; tokens, whatever they hold, are printed as data."""

import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest

from kotovec.store.expression import QUOTES
from kotovec.store.hdf5 import write_attributes

import stores
from commands import ODD, PROVENANCE, TEXTS, call, make_store, start

# A damaged file is an honest failure; everything else is bad input.
CODES = {"cut": 1, "table": 1}
READERS = ["query king", "norms king", "index", "info", "verify", "shell"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("errors") / "words.kotovec")


@pytest.fixture
def refused(capsys, store):
    """Run a command that must be refused; return its message without `error: `."""

    def refuse(*arguments, path=store):
        answer = call(capsys, arguments[0], "--store", path, *arguments[1:])
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("error: ")
        return answer.err.removeprefix("error: ").rstrip("\n")

    return refuse


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quXen"], r"`quXen` is not in the vocabulary.*\nhint: try `queen`"),
        (["女女女"], r"`女女女` is not in the vocabulary"),
        (["#9999"], r"no token #9999: its ids go up to 24"),
        (["king - king"], r"king - king is the zero vector"),
        (["0*king"], r"zero vector"),
        (["king", "-k", "0"], r"k is 0\nhint: choose a number from 1 to 25$"),
        (["king", "-k", "-3"], r"k is -3"),
        (["king", "-k", "26"], r"k is 26"),
        (["king", "-k", "2.5"], r"^-k is `2.5`, not a whole number\nhint: give a whole number, such as `-k 10`$"),
        (["king", "--space", "isolated", "--layer", "1"], r"layer 1 is not in this store: it holds 0, 2"),
        (["king", "--space", "isolated", "--layer", "-3"], r"layer -3 is not in this store"),
        (
            ["king", "--space", "contextual"],
            r"unknown space `contextual`\nhint: choose `static`, `isolated@0` or `isolated@2`$",
        ),
        (
            ["king", "--metric", "manhattan"],
            r"unknown metric `manhattan`\nhint: choose `l2`, `cosine`, `ip` or `csls`$",
        ),
        (["king", "--device", "tpu"], r"unknown device `tpu`"),
        (["king", "--unit-terms"], r"unit terms mean nothing with l2"),
        (["king", "--file", "x"], r"an expression and --file are given\nhint: give one, .*or --file"),
        (["--file", "/no/such/file"], r"/no/such/file cannot be read: No such file"),
        (["--file", "/"], r"/ cannot be read: Is a directory"),
    ],
)
def test_a_query_that_cannot_be_answered_is_one_line(refused, arguments, said):
    message = refused("query", *arguments)
    assert re.search(said, message)
    assert re.fullmatch(r"\S.*(\nhint: \S.*)?", message)


def test_a_file_that_is_not_utf_8_is_one_line(refused, tmp_path):
    path = tmp_path / "latin"
    path.write_bytes(b"king\n\xff\n")
    assert "is not UTF-8" in refused("query", "--file", path)


@pytest.mark.parametrize(
    ("expression", "caret"),
    [
        ("king +", 6),
        ("king queen", 5),
        ("(king + man", 0),
        ("king)", 4),
        ("2**king", 2),
        ('king - "man', 7),
        ("king*queen", 5),
        ("王 - ", 4),
        ("王 王子", 3),  # a wide sign takes two columns
    ],
)
def test_a_malformed_expression_is_shown_with_a_caret_under_the_place(refused, expression, caret):
    problem, shown, mark, *hint = refused("query", expression).split("\n")
    assert problem
    assert all(line.startswith("hint: ") for line in hint)
    assert shown == f"  {expression.strip()}"
    assert mark == f"  {' ' * caret}^"


@pytest.mark.parametrize("expression", ["", "   ", "\u3000"])
def test_an_empty_expression_is_refused_with_an_example(refused, expression):
    assert "the expression is empty\nhint: type one, such as `" in refused("query", expression)


NO_STORE = {
    "nothing": r"there is no folder \S+\nhint: build one with `kotovec build`\n",
    "file": r"is a file, and a store is a folder\nhint: build one with `kotovec build`, in a folder\n",
    "folder": r"is not a store: it holds no tokens.h5\nhint: build one with `kotovec build`\n",
    "hdf5": "not a kotovec store",
    "text": "is not a kotovec store",
    "newer": "has format 3, this kotovec reads up to 2\nhint: upgrade kotovec: pip install -U kotovec",
    "cut": "is cut short",
    "table": "tokens.h5: id does not match its checksum",
    "tokens alone": "is not finished\nhint: run `kotovec build none/of-these` again; it resumes\n",
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", NO_STORE)
def test_what_is_no_whole_store_is_one_line_for_every_command(capsys, store, tmp_path, command, kind):
    path = tmp_path / "x.kotovec"
    spoil(path, kind, store)
    name, *words = command.split()
    answer = call(capsys, name, "--store", path, *words)
    assert answer.out == ""
    assert answer.code == CODES.get(kind, 2)
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)
    assert re.search(NO_STORE[kind], answer.err)
    assert str(path) in answer.err


def spoil(path, kind, store):
    """Write something that is no store, or one that is damaged."""
    if kind == "file":
        path.write_text("x")
    if kind in ("hdf5", "text", "folder"):
        path.mkdir()
    if kind in ("hdf5", "text"):
        h5py.File(path / "tokens.h5", "w").close()
    if kind == "text":
        (path / "tokens.h5").write_text("this is text" * 1000)
    if kind in ("newer", "cut", "table", "tokens alone"):
        shutil.copytree(store, path)
        with h5py.File(path / "tokens.h5", "r+") as file:
            last = max(file.values(), key=lambda dataset: dataset.id.get_offset())
            middle = last.id.get_offset() + last.nbytes // 2
            if kind == "newer":
                write_attributes(file, {"encoding-version": "3"})
            if kind == "table":
                file["id"][0] = 7
    if kind == "cut":
        os.truncate(path / "tokens.h5", middle)
    if kind == "tokens alone":
        shutil.rmtree(path / "spaces")


OF_SPACE = {
    "cut": "static.h5 is cut short",
    "empty": "static.h5 is empty",
    "text": "static.h5 is not a kotovec store, or is damaged",
    "other": "static.h5 is of other tokens or of another space\nhint: build it again with --overwrite",
}


@pytest.mark.parametrize("command", ["query king", "norms king", "index", "info", "verify"])
@pytest.mark.parametrize("kind", OF_SPACE)
def test_a_damaged_space_is_one_line_for_every_command_that_needs_it(capsys, store, tmp_path, command, kind):
    path = shutil.copytree(store, tmp_path / "x.kotovec")
    file = path / "spaces" / "static.h5"
    if kind == "other":
        shutil.copy(path / "spaces" / "isolated-0.h5", file)
    elif kind == "text":
        file.write_text("this is text" * 1000)
    else:
        os.truncate(file, 0 if kind == "empty" else file.stat().st_size // 2)
    name, *words = command.split()
    answer = call(capsys, name, "--store", path, *words)
    assert (answer.code, answer.out) == (2 if kind == "text" and name != "verify" else 1, "")
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)
    assert re.search("spaces/static.h5" if name == "verify" else OF_SPACE[kind], answer.err)


@pytest.mark.parametrize("kind", ["cut", "text"])
def test_a_damaged_space_is_in_nobodys_way_who_does_not_need_it(capsys, store, tmp_path, kind):
    path = shutil.copytree(store, tmp_path / "x.kotovec")
    (path / "spaces" / "static.h5").write_bytes(b"" if kind == "cut" else b"this is text" * 1000)
    answer = call(capsys, "query", "king", "--space", "isolated", "-k", 1, "--tsv", "--store", path)
    assert (answer.code, answer.err) == (0, "")
    assert "king" in answer.out


def test_a_store_that_cannot_be_opened_is_one_line(refused, tmp_path):
    (tmp_path / "x.kotovec" / "tokens.h5").mkdir(parents=True)
    assert "tokens.h5 cannot be opened: Is a directory" in refused("info", path=tmp_path / "x.kotovec")


def test_a_damaged_index_is_one_line_and_names_its_cure(capsys, store, tmp_path):
    path = shutil.copytree(store, tmp_path / "copy.kotovec")
    (path / "indexes" / "static.l2.faiss").write_bytes(b"no index")
    answer = call(capsys, "query", "king", "--store", path)
    assert (answer.code, answer.out) == (1, "")
    assert re.fullmatch(r"error: .*static\.l2\.faiss is damaged\nhint: build it again: kotovec index .*\n", answer.err)


def test_a_missing_faiss_is_one_line_with_its_cure(store):
    done = start("query", "king", "--store", store, prepare="import sys; sys.modules['faiss'] = None; ")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: faiss .*\nhint: install it: pip install 'kotovec\[cpu\]'.*\n", done.stderr)


def test_a_missing_mecab_is_one_line_with_its_cure_and_whole_tokens_still_work(tmp_path):
    texts = ["[UNK]", "王"]
    path = stores.write_store(tmp_path / "a.kotovec", stores.make_tokens(texts), np.eye(2))
    (path / "tokenizer").mkdir()
    (path / "tokenizer" / "vocab.txt").write_text("[UNK]\n王\n", encoding="utf-8")
    (path / "tokenizer" / "tokenizer_config.json").write_text('{"word_tokenizer_type": "mecab"}')
    without = "import sys; sys.modules['fugashi'] = None; "
    whole = start("query", "王", "-k", 1, "--store", path, prepare=without)
    parts = start("query", "王王", "-k", 1, "--store", path, prepare=without)
    assert whole.returncode == 0
    assert (parts.returncode, parts.stdout) == (2, "")
    assert re.fullmatch(r"error: MeCab is missing\nhint: install it: pip install fugashi\n", parts.stderr)


def odd(token):
    """How an odd token is to be shown."""
    return {"\x1b[31mred": r"\u001b[31mred", "a\tb": r"a\tb", "zero\u200bwidth": r"zero\u200bwidth", "": '""'}.get(
        token, token
    )


@pytest.mark.parametrize("token", [*ODD, "[CLS]", "[unused0]"])
def test_any_token_is_shown_as_it_is_in_tables_and_tsv(capsys, store, token):
    number = TEXTS.index(token)
    table = call(capsys, "query", f"#{number}", "--store", store, "-k", 1)
    row = next(line for line in table.out.splitlines() if line.strip().startswith("1 "))
    tsv = call(capsys, "query", f"#{number}", "--store", store, "-k", 1, "--tsv")
    norms = call(capsys, "norms", f"#{number}", "--store", store)
    assert row.split() == ["1", odd(token), str(number), "0.0000", "input"]
    field = json.dumps(token)[1:-1]  # a field of tab-separated values has the escapes of JSON
    assert tsv.out.splitlines()[1].split("\t") == ["static", "1", field, str(number), "0.0", "1"]
    assert norms.out.splitlines()[2].split()[:2] == [f"#{number}", odd(token)]
    assert "\x1b" not in table.out + tsv.out + norms.out


@pytest.mark.parametrize("token", ["[bold]x[/bold]", "\x1b[31mred", "zero\u200bwidth"])
def test_any_token_can_be_asked_for_by_its_text(capsys, store, token):
    quote = next(iter(QUOTES))
    answer = call(capsys, "query", f"{quote}{token}{quote}", "--store", store, "-k", 1)
    assert answer.code == 0
    assert odd(token) in answer.out.splitlines()[0]
    assert all(sign.isprintable() or sign == "\n" for sign in answer.out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["query", "\x1b[2Jking"], r"\u001b[2Jking"),
        (["query", "'king\x1b[2J"], "'king [2J"),
        (["query", "\x1b[31mre"], r"\u001b[31mred"),  # among the nearest tokens
        (["query", "[/bold]king"], "[/bold]king"),
        (["query", "king", "--metric", "\x1b[2J"], r"\u001b[2J"),
        (["\x1b[2J"], r"\u001b[2J"),
        (["query", "king", "--store", "\x1b[2J.kotovec"], r"\u001b[2J.kotovec"),
    ],
)
def test_errors_send_no_control_codes_to_a_terminal(capsys, monkeypatch, store, arguments, said):
    monkeypatch.setenv("KOTOVEC_STORE", str(store))
    answer = call(capsys, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert all(sign.isprintable() or sign == "\n" for sign in answer.err)


def test_what_a_build_wrote_of_itself_sends_no_control_codes_either(capsys, tmp_path):
    odd = {"command": "kotovec build \x1b[2J", "notices": "a notice on \x1b[31mred"}
    path = make_store(tmp_path / "x.kotovec", provenance=PROVENANCE | odd)
    answer = call(capsys, "info", "--store", path)
    assert r"kotovec build \u001b[2J" in answer.out
    assert answer.err == "note: a notice on \\u001b[31mred\n"
    assert "\x1b" not in answer.out


@pytest.mark.parametrize("arguments", [["query", "king"], ["info"], ["verify"], ["norms", "king"], ["index"]])
@pytest.mark.parametrize(("name", "size"), [("tokens.h5", 0), ("tokens.h5", 3000), ("spaces/static.h5", 1000)])
def test_a_process_that_met_a_damaged_store_ends_with_its_exit_code(arguments, name, size, tmp_path):
    """In a process of its own: objects of h5py's that outlive HDF5 end one in a segmentation fault."""
    store = make_store(tmp_path / "x.kotovec")
    os.truncate(store / name, size)
    done = start(*arguments, "--store", store)
    assert (done.returncode, done.stdout) == (1, "")
    named = (
        f"{store} is damaged: {name}; indexes/static."
        if (arguments, name) == (["verify"], "spaces/static.h5")
        else f"{store / name} is "
    )
    assert done.stderr.startswith(f"error: {named}")
    assert re.fullmatch(r"error: \S.*\nhint: \S.*\n", done.stderr)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc here")
def test_a_place_where_no_file_can_be_made_is_not_called_busy(tiny_models, capsys):
    answer = call(capsys, "build", tiny_models["bert"], "--store", "/proc/x.kotovec")
    assert answer.code == 2
    assert "error: nothing can be written in /proc (" in answer.err


@pytest.mark.parametrize("command", ["info", "verify", "map", "index", "shell"])
def test_a_store_that_is_given_without_its_option_is_named_with_it(capsys, command):
    answer = call(capsys, command, "x.kotovec")
    assert (answer.code, answer.out) == (2, "")
    hint = f"name a store with --store: `kotovec {command} --store x.kotovec`"
    assert answer.err == f"error: unexpected argument `x.kotovec`\nhint: {hint}\n"


@pytest.mark.parametrize("command", READERS)
def test_an_error_about_a_path_of_the_environment_names_the_variable(capsys, tmp_path, monkeypatch, command):
    monkeypatch.setenv("KOTOVEC_STORE", str(tmp_path / "x.kotovec"))
    name, *words = command.split()
    answer = call(capsys, name, *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: there is no folder {tmp_path}/x.kotovec\nhint: ")
    assert "KOTOVEC_STORE" in answer.err
    typed = call(capsys, name, "--store", tmp_path / "y.kotovec", *words)
    assert typed.err.startswith(f"error: there is no folder {tmp_path}/y.kotovec\nhint: ")
    assert "KOTOVEC_STORE" not in typed.err


def test_a_build_names_the_variable_too(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KOTOVEC_STORE", str(tmp_path / "file"))
    answer = call(capsys, "build", "demo", "--workers", 0)
    assert answer.code == 2
    assert answer.err == (
        f"error: {tmp_path}/file is a file\nhint: name another path with --store (KOTOVEC_STORE is set)\n"
    )


def test_a_path_beside_or_inside_a_store_leads_to_it(capsys, store, tmp_path):
    shutil.copytree(store, tmp_path / "right.kotovec")
    for wrong in ("wrong.kotovec", "."):
        err = call(capsys, "info", "--store", tmp_path / wrong).err
        assert err.endswith(f"\nhint: name one that exists: {tmp_path}/right.kotovec\n")
    err = call(capsys, "info", "--store", tmp_path / "right.kotovec" / "tokens.h5").err
    assert err == (
        f"error: {tmp_path}/right.kotovec/tokens.h5 is a file, and a store is a folder\n"
        f"hint: name the store that it is part of: {tmp_path}/right.kotovec\n"
    )
