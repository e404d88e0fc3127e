"""Section 4, texts: what a stranger put into tokens, names and messages neither moves a cursor nor forges a line."""

import json
import re
import shutil
import unicodedata
from pathlib import Path

import pytest

from attacked import build, on_terminal, run
from tiny import write_model

# A control code of a terminal in one character (C1), DEL, reordering, and an isolate.
BAD = ["\x9b31m", "\x7f", "\u202e", "\u2066"]
ESC = "\x1b[31m"


def unseen(text: str) -> set[str]:
    """Return the characters that a terminal would act upon, or not show; but for the line breaks between lines."""
    return {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in "\n\t"}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """A store whose tokens and whose model's name hold them all, and what a second build says of it on a terminal."""
    root = tmp_path_factory.mktemp("texts")
    model = write_model(root / f"m{''.join(BAD)}", [f"t{number}{text}" for number, text in enumerate(BAD)])
    store = root / f"s{ESC}.kotovec"
    done = build(model, store)
    assert done.code == 0, done.err
    return store, on_terminal("build", model, "--store", store)


@pytest.mark.parametrize("command", [["query", "king", "-k", 72], ["info"], ["norms", "#68", "#69", "#70", "#71"]])
def test_json_holds_no_raw_control_code(said, command):
    """Raw C1, DEL and bidirectional signs in `--json`: escaped everywhere that a stranger's text is shown."""
    store, _ = said
    done = run(*command, "--json", "--store", store)
    assert done.code == 0, done.err
    assert unseen(done.out + done.err) == set()
    read = [json.loads(line) for line in done.out.splitlines()]
    assert BAD[2] in json.dumps(read, ensure_ascii=False)  # read back as it was


def test_the_banner_of_the_shell_holds_no_escape(said):
    """ESC in the shell's banner: escaped everywhere that a stranger's text is shown."""
    store, _ = said
    shown = on_terminal("shell", "--store", store, typed=":quit\r", until="tokens")
    assert "72 tokens" in shown
    assert f"s{ESC}" not in shown
    assert r"s\u001b[31m" in shown


def test_that_a_store_is_finished_is_said_without_escapes(said):
    """ESC in the "is finished" line: escaped everywhere that a stranger's text is shown."""
    _, shown = said
    assert re.search("is finished|is complete", shown), shown
    assert f"s{ESC}" not in shown
    assert r"s\u001b[31m" in shown


@pytest.mark.parametrize("command", ["info", "build"])
def test_a_line_break_in_a_name_forges_no_error(tmp_path, command):
    """Newlines that forge error lines: escaped everywhere that a stranger's text is shown."""
    forged = tmp_path / "a\nerror: your disk is empty"
    done = run("info", "--store", forged) if command == "info" else run("build", forged, "--dry-run", "--store", "x")
    assert done.code == 2
    assert [line for line in done.err.splitlines() if line.startswith("error: your")] == []
    assert done.one_line, done.err


def test_the_page_reorders_nothing(said, tmp_path):
    """Bidirectional signs on the page: escaped everywhere that a stranger's text is shown."""
    store = Path(shutil.copytree(said[0], tmp_path / "s"))
    done = run("map", "--method", "pca", "--store", store, "--html", tmp_path / "map.html")
    assert done.code == 0, done.err
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    for char in ("\u202e", "\u2066"):
        assert char not in page
        assert f't2\\u{ord(char):04x}"' not in page  # an escape of JSON's, which the page undoes
        assert f"\\u{ord(char):04x}" in page
