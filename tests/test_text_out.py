"""What goes out: any encoding, right-to-left letters, tab-separated values, and scores that lie close together."""

import csv
import io
import json
import os
import pty
import re
import sys

import numpy as np
import pandas as pd
import pytest

from kotovec.cli.arguments import COMMANDS
from kotovec.cli.encodings import message
from kotovec.store import Store
from kotovec.text import distinct, isolated

from commands import call, make_store, on_terminal, start
from stores import make_tokens, write_store

HEBREW, ARABIC = "שלום", "سلام"
# What csv, pandas or a terminal could read as something else.
TEXTS = [
    "king",
    "王",
    "😀",
    "—",
    '"',
    '"a',
    'b"',
    '""',
    "null",
    "NA",
    "nan",
    "",
    " ",
    "\u3000",
    "\n",
    "\r",
    "\\n",
    "\\",
]
TEXTS += ['\\"', "a\tb", "\x85", "\u2028", "\x1b[31m", HEBREW, ARABIC, "か", "が", "007", "#", "'", ",", "１", "\u200b"]
ENCODINGS = ["cp932:replace", "euc_jp", "iso2022_jp:ignore", "ascii:replace", "cp1252:xmlcharrefreplace", "utf-16"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A store of TEXTS, whose vectors differ by their rows."""
    vectors = np.random.default_rng(0).standard_normal((len(TEXTS), 8))
    return write_store(tmp_path_factory.mktemp("out") / "x.kotovec", make_tokens(TEXTS), vectors)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("words") / "x.kotovec")


def token_of(field):
    """Return the token that a field of tab-separated values stands for, as docs/python.md does."""
    return json.loads('"' + field.replace('"', '\\"') + '"')


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_token_goes_out_in_any_encoding(encoding, odd):
    """Only what the encoding lacks becomes an escape, also where Python was told to put a `?` in its place."""
    name = encoding.partition(":")[0]
    for options in ([], ["--json"], ["--tsv"]):
        done = start(
            "query",
            "#0",
            "-k",
            len(TEXTS),
            *options,
            "--store",
            odd,
            environment={"PYTHONIOENCODING": encoding},
            text=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        out = done.stdout.decode(name)
        assert "?" not in out
        if options == ["--json"]:
            assert {hit["text"] for hit in json.loads(out)["results"]} == set(TEXTS)
        elif options == ["--tsv"]:
            fields = [row[2] for row in csv.reader(io.StringIO(out), delimiter="\t")][1:]
            assert sorted(map(token_of, fields)) == sorted(TEXTS)
    error = start("query", "超電磁砲", "--store", odd, environment={"PYTHONIOENCODING": encoding}, text=False)
    assert error.returncode == 2
    assert error.stderr.decode(name).startswith("error: ")


def test_csv_and_pandas_read_every_line_and_every_token(odd, capsys):
    """A token of one quote swallowed the lines up to the next one; `null` and `NA` were missing values."""
    out = call(capsys, "query", "#0", "-k", len(TEXTS), "--tsv", "--store", odd).out
    expected = [hit.text for hit in Store.open(odd).search("#0", k=len(TEXTS)).hits]
    assert len(expected) == len(TEXTS) == len(out.splitlines()) - 1
    rows = list(csv.DictReader(io.StringIO(out, newline=""), delimiter="\t"))
    assert [token_of(row["token"]) for row in rows] == expected
    frame = pd.read_csv(io.StringIO(out), sep="\t", dtype={"token": str}, keep_default_na=False)
    assert [token_of(field) for field in frame["token"]] == expected
    assert frame["rank"].tolist() == list(range(1, len(TEXTS) + 1))
    assert out.count("\t\\n\t") == out.count("\t\\\\n\t") == 1  # a line break, and the letters
    assert all(line.count("\t") == 5 for line in out.splitlines())


def test_letters_from_right_to_left_keep_their_column(odd, capsys):
    """A terminal put the id and the score that follow them to their left."""
    out = call(capsys, "query", f"#{TEXTS.index(HEBREW)}", "-k", len(TEXTS), "--store", odd).out
    for text in (HEBREW, ARABIC):
        assert f"\u2068{text}\u2069" in out
    assert out.count("\u2068") == out.count("\u2069") == 2  # nothing else is isolated
    lines = [line.replace("\u2068", "").replace("\u2069", "") for line in out.splitlines()]
    ids = {line.rstrip().rindex(" input") for line in lines if " input" in line and line.lstrip()[:1].isdigit()}
    assert len(ids) == 1
    for options in (["--json"], ["--tsv"]):
        plain = call(capsys, "query", f"#{TEXTS.index(HEBREW)}", "-k", len(TEXTS), *options, "--store", odd).out
        assert HEBREW in plain
        assert "\u2068" not in plain


def test_an_expression_is_isolated_in_the_title_and_in_norms(odd, capsys):
    assert call(capsys, "query", HEBREW, "--store", odd).out.startswith(f"\u2068{HEBREW}\u2069  (static; squared L2, ")
    assert f"\u2068{HEBREW}\u2069" in call(capsys, "norms", HEBREW, "--store", odd).out


@pytest.mark.parametrize(
    ("text", "expected"),
    [("king", "king"), ("王", "王"), (HEBREW, f"\u2068{HEBREW}\u2069"), ("a١", "\u2068a١\u2069"), ("", "")],
)
def test_only_what_runs_from_right_to_left_is_isolated(text, expected):
    assert isolated(text) == expected


def test_a_terminal_of_another_encoding_gets_no_escapes_of_isolates(odd):
    done = start("query", f"#{TEXTS.index(HEBREW)}", "-k", 1, "--store", odd, environment={"PYTHONIOENCODING": "cp932"})
    assert "\\u05e9\\u05dc\\u05d5\\u05dd" in done.stdout
    assert "2068" not in done.stdout


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.0, 1.5], ["0.0000", "1.5000"]),
        ([1.0, 1.0], ["1.0000", "1.0000"]),
        ([1.0, 1.0 - 1e-12], ["1.0000", "1.0000"]),  # float32 tells them apart no more
        ([1.0, 0.99999, 0.99998], ["1.00000", "0.99999", "0.99998"]),
        ([0.99999994, 0.99999988], ["0.99999994", "0.99999988"]),
        ([0.0, 1.2e-12, 3.4e-12], ["0", "1.2e-12", "3.4e-12"]),
        ([12345.678, 12345.679], ["12345.6780", "12345.6790"]),
        ([1e20, 3e20], ["100000000000000000000.0000", "300000000000000000000.0000"]),
        ([float("inf"), float("inf")], ["inf", "inf"]),
        ([], []),
    ],
)
def test_scores_have_as_many_digits_as_tell_neighbours_apart(scores, expected):
    assert distinct(scores) == expected


def test_a_table_and_a_notebook_tell_close_answers_apart(tmp_path, capsys):
    """In spaces of one direction all answers read 1.0000."""
    vectors = np.tile(np.float32(1), (5, 4))
    vectors[:, 0] += np.arange(5, dtype=np.float32) / 2000
    store = write_store(tmp_path / "x.kotovec", make_tokens([f"t{n}" for n in range(5)]), vectors)
    out = call(capsys, "query", "t0", "--metric", "cosine", "-k", 5, "--store", store).out
    scores = [line.split()[3] for line in out.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert scores == ["1.0000000", "1.0000000", "0.9999999", "0.9999998", "0.9999996"]
    page = Store.open(store).search("t0", metric="cosine", k=5)._repr_html_()
    assert all(f"<td>{score}</td>" in page for score in scores)


def test_a_terminal_without_a_name_gets_a_table(words):
    """TERM and LANG are unset in many containers; there is no home either."""
    reader, writer = pty.openpty()
    unset = {"TERM": "", "LANG": "C", "HOME": "/nonexistent", "LC_ALL": ""}
    done = start("query", "king", "-k", 2, "--store", words, environment=unset, stdout=writer, capture_output=False)
    os.close(writer)
    text = os.read(reader, 1 << 16)
    os.close(reader)
    assert done.returncode == 0
    plain = re.sub(r"\x1b\[\d+m", "", text.decode())  # bold and dim, which a terminal without a name has, too
    assert "   1   king     5   0.0000   input" in plain.splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_ascii_where_the_stream_is(command):
    """Typer writes UTF-8 into every stream that is ASCII: `SPACE,…` was three bytes that such a reader cannot show."""
    for variables in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        done = start(command, "--help", environment=variables, text=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\u" not in done.stdout
        assert "\nOutput:\n" in done.stdout.decode("ascii") or command in ("completion", "help")
    if command == "query":
        lines = done.stdout.decode("ascii").splitlines()
        assert lines[0] == "Usage: kotovec query [OPTIONS] [EXPRESSION...]"
        assert "  Example: `kotovec query king - man + woman --space both`" in lines
        assert [line.index("List of") - line.index("--space") for line in lines if "--space SPACE" in line] == [19]


def test_own_signs_in_errors_are_spelled_and_those_of_tokens_are_escaped(words):
    """`…` and `王 - 男 + 女` of kotovec's own became escapes, which nobody can type."""
    ascii_ = {"PYTHONIOENCODING": "ascii"}
    asked = start("query", "king", "--store", words, "--script", environment=ascii_)
    assert asked.stderr == "error: --script needs a value\nhint: write `--script SCRIPT,...`\n"
    asked = start("query", "--store", words, environment=ascii_)
    assert asked.stderr.endswith("such as `king - man + woman`, or --file with one per line\n")
    asked = start("query", "ab…", "--store", words, environment=ascii_)
    assert asked.stderr.startswith("error: `ab\\u2026` is not in the vocabulary")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 words (`a`, `b`, …)", "2 words (`a`, `b`, ...)"),
        ("10 tokens, 2 workers × 510 MB", "10 tokens, 2 workers x 510 MB"),
        ("30,522 × 384", "30,522 x 384"),
        ("3 words of its own (王 → か)", "3 words of its own (\\u738b -> \\u304b)"),
        ("such as `kotovec norms 王 子 女 男`", "such as `kotovec norms king child woman man`"),
        ("`王 - 男 + 女` is the zero vector", "`\\u738b - \\u7537 + \\u5973` is the zero vector"),
        ("0.125, 1 ∕ logits_scaling", "0.125, 1 / logits_scaling"),
        ("try `×` or `▁a…`", "try `\\u00d7` or `\\u2581a\\u2026`"),
    ],
)
def test_a_message_keeps_what_is_not_its_own(monkeypatch, text, expected):
    assert message(text) == text
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert message(text) == expected


def test_the_steps_of_a_build_are_ascii_where_a_terminal_is():
    """The wheel that turns while a step runs was drawn in braille, `\\u280b`."""
    code = "from kotovec.cli.progress import Display\nfrom kotovec.cluster.events import Detail\nimport time\n"
    code += (
        "with Display(quiet=False) as display:\n display.say('planning')\n display.show(Detail('2 workers × 5 MB'))\n"
    )
    code += " time.sleep(0.3)\n"
    for encoding, sign in (
        ("ascii", "+ plan           2 workers x 5 MB"),
        ("utf-8", "✓ plan           2 workers × 5 MB"),
    ):
        shown = on_terminal([sys.executable, "-c", code], 100, PYTHONIOENCODING=encoding).out
        assert sign in shown
        assert "\\u" not in shown
        assert shown.isascii() == (encoding == "ascii")
