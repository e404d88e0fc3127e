"""Texts of strangers: nothing in a token, a name or a message moves a terminal's cursor, reorders or forges a line."""

import json
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from kotovec.cli import shell
from kotovec.cli.page.bundle import bundle
from kotovec.cli.page.data import page_data
from kotovec.cli.tables import harmless, print_grid
from kotovec.errors import ExpressionError, InputError
from kotovec.store import Store
from kotovec.store.cartography import MapRequest, make_map
from kotovec.text import argument, escaped, json_line

import stores
from commands import PROVENANCE, call
from rays import plan_of, run_build

# A control code of a terminal, C1 (CSI in one character), DEL, reordering, an isolate, a line break, a line separator.
BAD = ["\x1b[31m", "\x9b31m", "\x7f", "\u202e", "\u2066", "\n", "\u2028", "\u200b", "\x85", "\r"]
ALL = "".join(BAD)


def unseen(text: str) -> list[str]:
    """Return the characters of an output that a terminal would not simply show, but for those between fields."""
    return [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in "\n\t"]


@pytest.fixture
def store(tmp_path) -> Path:
    """A store whose tokens and attributes hold all of them."""
    tokens = stores.make_tokens(["king", f"que{ALL}en", *(f"t{number}{char}" for number, char in enumerate(BAD))])
    bad = {"model": f"a{ALL}b", "notices": f"c{ALL}\nerror: d", "command": f"e{ALL}", "cpus": [ALL], "mecab_dic": ""}
    vectors = np.random.default_rng(0).standard_normal((len(tokens), 8))
    return stores.write_store(tmp_path / f"s{ALL}", tokens, vectors, provenance=PROVENANCE | bad)


@pytest.mark.parametrize("char", BAD)
def test_what_cannot_be_seen_is_escaped(char):
    assert unseen(escaped(f"a{char}b")) == []
    assert "\n" not in escaped(f"a{char}b")
    assert escaped("王 é\u3000👑") == "王 é\u3000👑"
    line = json_line({f"k{char}": [f"a{char}b", 1, None]})
    assert (unseen(line), "\n" in line) == ([], False)
    assert json.loads(line) == {f"k{char}": [f"a{char}b", 1, None]}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("char", [*BAD, " ", "'", "$(id)", "\\", "\udcff", "\U000e0041", "王"])
def test_a_printed_argument_is_read_by_a_shell_as_it_was(char):
    text = f"a{char}1'\\"
    printed = argument(text)
    assert unseen(printed) == []
    assert "\n" not in printed
    done = subprocess.run(
        ["bash", "-c", f"printf %s {printed}"],
        env={"LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == text.encode(errors="surrogateescape")


def test_characters_beyond_the_first_plane_are_escaped_in_pairs():
    tag = "\U000e0041"  # an invisible letter
    assert json_line(f"a{tag}") == '"a\\udb40\\udc41"'
    assert json.loads(json_line(f"a{tag}👑")) == f"a{tag}👑"
    assert escaped(tag) == "\\U000e0041"


def test_json_has_no_nan_and_no_infinity():
    line = json_line({"score": float("nan"), "all": [1.5, float("-inf"), "NaN"], "k": {"x": float("inf")}})
    assert json.loads(line, parse_constant=pytest.fail) == {"score": None, "all": [1.5, None, "NaN"], "k": {"x": None}}


COMMANDS = [
    ["query", "king", "-k", 12],
    ["query", "king", "-k", 12, "--tsv"],
    ["query", "king", "-k", 12, "--json"],
    ["info"],
    ["info", "--json"],
    ["norms", "king", "#1"],
    ["norms", "king", "#1", "--json"],
    ["verify"],
    ["verify", "--json"],
    ["index"],
    ["index", "--json"],
    ["query", f"que{ALL}"],
    ["query", "king", "--space", f"x{ALL}"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(map(ascii, command)))
def test_no_command_prints_what_cannot_be_seen(capsys, store, command):
    answer = call(capsys, *command, "--store", store)
    assert unseen(answer.out + answer.err) == []
    assert answer.out + answer.err != ""
    if "--json" in command:
        assert all(json.loads(line) for line in answer.out.splitlines())
    assert not re.search(r"^error: d", answer.out + answer.err, re.MULTILINE)


def test_a_line_of_a_file_is_answered_without_what_cannot_be_seen(capsys, store, tmp_path):
    (tmp_path / "lines").write_text(f"king\nx{ALL.replace(chr(10), '')}\n", newline="")
    answer = call(capsys, "query", "--file", tmp_path / "lines", "--store", store, "-k", 12)
    assert unseen(answer.out + answer.err) == []
    first = json.loads(answer.out.splitlines()[0])
    assert f"que{ALL}en" in {hit["token"] for hit in first["results"]}


def test_a_name_does_not_forge_a_line(capsys, tmp_path):
    answer = call(capsys, "info", "--store", tmp_path / "a\nerror: your disk is empty")
    assert (answer.code, answer.out) == (2, "")
    assert "\\nerror: your disk is empty" in answer.err
    assert [line for line in answer.err.splitlines() if line.startswith("error: your")] == []


def test_a_line_break_in_an_error_is_kept_only_before_the_caret():
    assert str(InputError("a\nerror: b")) == "a\\nerror: b"
    assert str(ExpressionError("no\nerror: b", "x + ", 4)) == "no\\nerror: b\n  x + \n      ^"
    assert str(ExpressionError("no\nerror: b", "", 0)) == "no\\nerror: b"
    assert harmless("a\n\x1bb") == "a\n\\u001bb"


def test_the_banner_of_the_shell_and_its_completion_are_escaped(capsys, store, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(shell, "_lines", lambda *_: iter(()))
    answer = call(capsys, "shell", "--store", store)
    assert answer.code == 0
    assert unseen(answer.err) == []
    assert "s\\u001b[31m\\u009b31m" in answer.err


def test_that_a_store_is_finished_is_said_without_control_codes(capsys, tmp_path, tiny_models):
    folder = tmp_path / f"s{ALL}"
    run_build(plan_of(tiny_models["bert"]), folder, 0)
    for options in ([], ["--json"], ["--dry-run"], ["--dry-run", "--json"]):
        answer = call(capsys, "build", tiny_models["bert"], "--store", folder, "--shard-tokens", 64, *options)
        assert (answer.code, unseen(answer.out + answer.err)) == (0, [])
    answer = call(capsys, "build", tiny_models["bert"], "--store", folder, "--shard-tokens", 64)
    assert re.search(r"\\u0085\\r is complete: nothing to do", answer.out)


def test_a_model_whose_name_holds_control_codes_is_built(capsys, tmp_path, tiny_models):
    model = shutil.copytree(tiny_models["bert"], tmp_path / f"m{ALL}")
    answer = call(capsys, "build", model, "--store", tmp_path / "s", "--workers", 0)
    assert (answer.code, unseen(answer.out + answer.err)) == (0, [])
    answer = call(capsys, "info", "--store", tmp_path / "s")
    assert (answer.code, unseen(answer.out)) == (0, [])


def test_the_page_reorders_and_hides_nothing(store):
    opened = Store.open(store)
    data = page_data(opened, [make_map(opened, MapRequest(method="pca"))], "king")
    assert unseen(json.dumps(data, ensure_ascii=False)) == []
    assert data["tokens"][1] == f"que{escaped(ALL)}en"
    pytest.importorskip("bokeh")
    html = bundle(f"t{ALL}", data)
    assert f"<title>t{escaped(ALL)}</title>" in html


def test_a_notebook_reorders_and_hides_nothing(store):
    with Store.open(store) as opened:
        answer = opened.search("king", k=12)
        assert unseen(answer._repr_html_()) == []
        assert unseen(repr(opened)) == []
        assert answer.hits[0].token == "king"


def test_a_table_escapes_its_cells(capsys):
    print_grid(["a"], [[f"x{ALL}"]])
    assert unseen(capsys.readouterr().out) == []
