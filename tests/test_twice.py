"""Options that are given twice: a list gets longer, and of any other option the last value counts."""

import json

import pytest

from kotovec.cli.arguments import COMMANDS, joined_lists
from kotovec.cli.tree import make_app

from commands import TEXTS, call, make_store

LISTS = {
    "build": ["--layers", "--spaces", "--token-filter"],
    "submit": ["--layers", "--spaces", "--token-filter"],
    "query": ["--rank", "--script", "--space"],
    "shell": ["--script", "--space"],
    "tokens": ["--columns", "--kind", "--script"],
    "audit": ["--reference"],
    "coverage": ["--charset"],
    "evaluate": ["--columns", "--layers", "--measure", "--space"],
    "report": ["--columns"],
    "geometry": ["--layers", "--space"],
    "neighbours": ["--space"],
    "transform": ["--layers", "--space"],
    "index": ["--parameters", "--space"],
    "map": ["--space"],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("twice") / "words.kotovec")


def tree():
    from typer.main import get_command

    return get_command(make_app())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_takes_a_list_gets_longer(command):
    """A new option with a list is one of them, as its metavar says."""
    parameters = tree().commands[command].params
    options = sorted(
        {
            name
            for each in parameters
            for name in each.opts
            if joined_lists(parameters, [name, "a", name, "b"])[1:] == []
        }
    )
    assert options == LISTS.get(command, [])


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["king", "--space", "static", "--space=output"], ["king", "--space=static,output"]),
        (["--space", "a", "-k", "3", "--space", "b", "--script", "Han"], ["--space=a,b", "-k", "3", "--script=Han"]),
        (["--store", "--space", "x"], ["--store", "--space", "x"]),  # a value, whatever it looks like
        (["--space", "a", "--", "--space", "b"], ["--space=a", "--", "--space", "b"]),
        (["--metric", "l2", "--metric", "ip"], ["--metric", "l2", "--metric", "ip"]),
        (["king", "--space"], ["king", "--space"]),
        (["--json", "--space", ""], ["--json", "--space="]),
    ],
)
def test_a_command_line_has_each_list_once(words, joined):
    assert joined_lists(tree().commands["query"].params, words) == joined


def answers(capsys, store, *options):
    answer = call(capsys, "query", "king", "-k", 3, "--json", "--store", store, *options)
    assert (answer.code, answer.err) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


def test_a_space_or_a_script_more_is_asked_too(capsys, store):
    found = answers(capsys, store, "--space", "static", "--space", "isolated@0", "--space=isolated@2")
    assert [each["space"] for each in found] == ["static", "isolated@0", "isolated@2"]
    both = answers(capsys, store, "--script", "Han", "--script", "Latin", "-k", len(TEXTS))
    assert both == answers(capsys, store, "--script", "Han,Latin", "-k", len(TEXTS))


def test_the_last_of_other_values_counts(capsys, store):
    found = answers(capsys, store, "--metric", "cosine", "-k", 5, "--metric", "ip", "-k", 2)
    assert [(each["metric"], len(each["results"])) for each in found] == [("ip", 2)]
    assert answers(capsys, store, "--in", "isolated@0", "--in", "isolated@2") == answers(
        capsys, store, "--in", "isolated@2"
    )


def test_the_command_line_replaces_what_the_environment_lists(capsys, store, monkeypatch):
    monkeypatch.setenv("KOTOVEC_SPACE", "isolated@0")
    assert [each["space"] for each in answers(capsys, store, "--space", "static")] == ["static"]


def test_columns_and_kinds_add_up(capsys, store):
    options = ("--kind", "word", "--kind", "subword", "--columns", "id", "--columns", "kind", "--json")
    answer = call(capsys, "tokens", "王", *options, "--store", store)
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [(row["id"], row["kind"]) for row in rows] == [
        (number, "subword" if text.startswith("##") else "word") for number, text in enumerate(TEXTS) if "王" in text
    ]


def test_every_charset_that_is_named_is_counted(capsys, store, tmp_path):
    """Only the last one was."""
    file = tmp_path / "some.txt"
    file.write_text("王女林\n", encoding="utf-8")
    options = ("--charset", "joyo", "--charset", file, "--charset", "jis1", "--json")
    answer = call(capsys, "coverage", store, *options)
    counts = [(row["charset"], row["characters"]) for row in map(json.loads, answer.out.splitlines())]
    assert counts == [("joyo", 2136), ("some.txt", 3), ("jis1", 2965)]
    answer = call(capsys, "coverage", store, "--charset", "joyo", "--charset", "kyoiku")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: `kyoiku` is neither a list of characters nor a file\n")
