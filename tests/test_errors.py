"""An error is one line in lower case; its fix is a hint, on a line of its own, in tracebacks and after pickling."""

import ast
import copy
import inspect
import json
import os
import pickle
import re
import traceback
from pathlib import Path

import pytest

from kotovec import errors
from kotovec.errors import ExpressionError, KotovecError, UnknownTokenError, choices, quoted

from commands import PROVENANCE, call, make_store

ROOT = Path(__file__).parents[1]
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, KotovecError)]
# What a fix begins with: in a hint always, in a message never.
VERBS = re.findall(
    r"\w+",
    "accept add ask build check choose close delete download free give install leave list lower make merge move name "
    "open pip put raise remove rename restore resume run save see set split start take try type upgrade use wait write",
)
PROPER = ("Ray", "MeCab", "NaN", "Parquet")


def raise_it(kind, hint):
    more = ("king +", 6) if kind is ExpressionError else ()
    return kind("it is full", *more, hint=hint)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hint", ["free some space", None])
def test_a_hint_is_no_part_of_the_message_and_survives_pickling(kind, hint):
    error = raise_it(kind, hint)
    error.add_note("a note")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        read = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(error, protocol)), protocol))  # noqa: S301
        for other in (error, read, copy.copy(error)):
            assert type(other) is kind
            assert str(other).splitlines()[0] == "it is full"
            assert other.hint == hint
            assert other.__notes__ == ["a note"] if hint is None else ["hint: free some space", "a note"]
    if kind is ExpressionError:
        assert (read.problem, read.expression, read.position) == ("it is full", "king +", 6)
        assert str(read) == "it is full\n  king +\n        ^"


def test_a_traceback_ends_with_the_hint():
    lines = traceback.format_exception(UnknownTokenError("no `x`", hint="try `y`"))
    assert "".join(lines).endswith("UnknownTokenError: no `x`\nhint: try `y`\n")


def test_what_a_user_typed_is_quoted_on_one_line():
    assert quoted("l1") == "`l1`"
    assert quoted("a\n\x1b[2J\u200b\udcff") == r"`a\n\u001b[2J\u200b\udcff`"
    assert choices(["l2"]) == "`l2`"
    assert choices(["l2", "ip"]) == "`l2` or `ip`"
    assert choices(["l2", "cosine", "ip"]) == "`l2`, `cosine` or `ip`"


def texts(node):
    """The texts that an expression of the sources may be, with {} for what is filled in; none where that is unknown."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return ["".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)]
        case ast.IfExp():
            return [*texts(node.body), *texts(node.orelse)]
    return []


def errors_in_sources():
    """Where each error is made, its message and its hint, as far as they are literal."""
    kinds = {kind.__name__ for kind in KINDS}
    for folder in ("kotovec", "cluster", "workers", "store", "cli"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and node.args):
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in kinds or (name == "error" and path.name == "expression.py"):
                    hint = next((each.value for each in node.keywords if each.arg == "hint"), None)
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", texts(node.args[0]), texts(hint)


FOUND = list(errors_in_sources())


def test_the_sources_have_errors_with_hints():
    assert len([where for where, messages, _ in FOUND if messages]) > 180
    assert len([where for where, _, hints in FOUND if hints]) > 80


def test_every_message_is_one_line_in_lower_case_without_a_full_stop_or_a_fix():
    fix = re.compile(rf"([:;?] |, or |\()({'|'.join(VERBS)})\b(?! or )")
    for where, messages, _ in FOUND:
        for text in messages:
            assert text, where
            assert not re.search(r"\n|[.!?]$", text), where
            assert not text[0].isupper() or text.startswith(PROPER), where
            assert not fix.search(text), where


def test_every_hint_is_an_imperative_in_lower_case_without_a_full_stop():
    for where, _, hints in FOUND:
        for text in hints:
            assert text.startswith("{}") or text.split()[0] in VERBS, where
            assert not re.search(r"\n|[.!?]$", text), where


@pytest.fixture
def store(tmp_path):
    odd = {"command": "kotovec build x\nhint: \x1b[2Jrm"}
    return make_store(tmp_path / "words.kotovec", provenance=PROVENANCE | odd)


def test_the_command_line_prints_the_message_and_on_the_next_line_the_hint(capsys, store):
    answer = call(capsys, "query", "king", "--metric", "l1", "--store", store)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: unknown metric `l1`\nhint: choose `l2`, `cosine`, `ip` or `csls`\n"
    answer = call(capsys, "query", "king queen", "--store", store)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "error: an operator is missing here\n  king queen\n       ^\n"
        "hint: put + or - before this, or quotes around words that belong together: '\"a b\"'\n"
    )
    answer = call(capsys, "query", "#9999", "--store", store)
    problem = "this store holds no token #9999: its ids go up to 24"
    assert (answer.code, answer.err) == (2, f"error: {problem}\nhint: list the ids with `kotovec tokens`\n")
    os.truncate(store / "spaces" / "static.h5", 1000)
    answer = call(capsys, "query", "king", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"error: {store / 'spaces' / 'static.h5'} is cut short\nhint: build it again with --overwrite\n"
    )


def test_a_hint_that_quotes_a_store_stays_on_its_line_without_control_codes(capsys, store):
    os.truncate(store / "spaces" / "static.h5", 1000)
    answer = call(capsys, "verify", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    cure = f"hint: build it again with --overwrite and --store {store}; it was built by "
    assert answer.err.splitlines()[1:] == [rf"{cure}`kotovec build x\nhint: \u001b[2Jrm`"]


def test_a_line_of_a_file_that_has_an_error_has_its_hint(capsys, store, tmp_path):
    (tmp_path / "asked").write_text("quXen\n#9999\n")
    answer = call(capsys, "query", "--file", tmp_path / "asked", "--store", store)
    assert answer.code == 2
    unknown, no_id = map(json.loads, answer.out.splitlines())
    assert unknown.pop("hint").startswith("try `queen`")
    assert unknown == {"expression": "quXen", "error": "`quXen` is not in the vocabulary, nor made of its tokens"}
    assert no_id == {
        "expression": "#9999",
        "error": "this store holds no token #9999: its ids go up to 24",
        "hint": "list the ids with `kotovec tokens`",
    }
