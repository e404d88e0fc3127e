"""The display of a build: steps with their seconds, plain lines without a terminal, and nothing if quiet."""

import io
import json
import re
import shlex
import sys
import time

import numpy as np
import pytest
from rich.console import Console

from kotovec.cli import progress, tables
from kotovec.cli.next import EXAMPLES, commands, example
from kotovec.cli.progress import Display
from kotovec.cli.tables import print_commands
from kotovec.cluster.events import Detail, Notice, Phase, Progress
from kotovec.store import Store
from kotovec.store.tokens import Marking

import stores
from commands import call, make_store, on_terminal


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_without_a_terminal_every_step_and_every_twentieth_of_the_work_is_a_line(capsys, clock):
    with Display(quiet=False, lasting=True, clock=clock) as display:
        display.show(Phase("planning"))
        display.show(Detail("30,522 tokens, 2 workers × 510 MB"))
        clock.now += 0.8
        display.show(Phase("start"))
        clock.now += 4
        display.show(Phase("encode"))
        display.show(Progress(100, 1100))  # of an earlier run
        for done in range(110, 1101, 10):
            clock.now += 0.3
            display.show(Progress(done, 1100))
        display.show(Phase("merge"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["plan: 30,522 tokens, 2 workers × 510 MB, 0.8 s", "start Ray: 4.0 s"]
    assert lines[2] == "encoding: 15%, 160/1,100 tokens, 33 tokens/s, 2 s"
    assert lines[-1] == "encode: 1,100 tokens, 33 tokens/s, 30.0 s"
    assert len(lines) == 2 + 16 + 1  # the merge took no time, and found nothing
    assert "?" not in "".join(lines)


def test_a_scan_is_shown_in_megabytes_with_what_it_found(capsys, clock):
    with Display(quiet=False, lasting=True, clock=clock) as display:
        display.show(Phase("scan"))
        for done in range(0, 2_000_000_001, 250_000_000):
            display.show(Progress(done, 2_000_000_000, "byte", f"{done // 100:,} sentences"))
            clock.now += 5
        display.show(Phase("encode"))
        clock.now += 2
        display.show(Progress(5, 5))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "scanning: 12%, 250/2,000 MB, 50 MB/s, 2,500,000 sentences, 5 s"
    assert lines[-2:] == ["scan: 2,000 MB, 44 MB/s, 20,000,000 sentences, 45.0 s", "encode: 5 tokens, 2.0 s"]


def test_a_command_that_is_over_at_once_has_no_lines(capsys, clock):
    with Display(quiet=False, lasting=True, clock=clock) as display:
        for phase in ("planning", "start", "encode", "index"):
            display.show(Phase(phase))
            clock.now += 0.9
            display.show(Progress(50, 100))
    assert capsys.readouterr().err == ""


def test_a_long_step_is_a_line_every_ten_seconds(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.4)
    monkeypatch.setattr(progress, "SECOND", 0.1)
    with Display(quiet=False, lasting=True) as display:
        display.show(Phase("start"))
        time.sleep(1.5)
    lines = capsys.readouterr().err.splitlines()
    assert set(lines[:-1]) <= {"starting Ray: 0 s", "starting Ray: 1 s", "starting Ray: 2 s"}
    assert 2 <= len(lines) <= 5
    assert re.fullmatch(r"start Ray: \d\.\d s", lines[-1])


def test_a_step_that_is_not_over_has_no_line(capsys, clock):
    with pytest.raises(KeyboardInterrupt), Display(quiet=False, lasting=True, clock=clock) as display:
        display.show(Phase("start"))
        clock.now += 5
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""


def test_quiet_shows_nothing(capsys, clock):
    with Display(quiet=True, lasting=True, clock=clock) as display:
        display.show(Phase("start"))
        display.show(Notice("a worker died"))
        clock.now += 20
        display.show(Phase("load"))
    assert capsys.readouterr().err == ""


SHOW = """
import time
from kotovec.cli.progress import Display
from kotovec.cluster.events import Detail, Phase, Progress
with Display(quiet=False, lasting=True) as display:
    display.show(Phase("planning"))
    display.show(Detail("7 tokens"))
    time.sleep(0.3)
    display.show(Phase("encode"))
    time.sleep(0.3)
    for done in range(0, 8):
        display.show(Progress(done, 7))
        time.sleep(0.1)
"""


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_keeps_a_line_of_each_step_and_never_shows_an_unknown_total(columns):
    shown = on_terminal([sys.executable, "-c", SHOW], columns)
    assert shown.code == 0
    text = shown.out
    assert re.search(r"✓ plan +7 tokens  0\.\d s", text)
    assert re.search(r"✓ encode +7 tokens, \d+ tokens/s  [01]\.\d s", text)
    assert "/?" not in text
    assert ("encoding  3/7 tokens" if columns == 80 else "encoding  43%") in text


@pytest.mark.parametrize(
    ("count", "verbs"), [(3, ["query", "shell", "audit"]), (4, ["query", "shell", "map", "audit"])]
)
def test_a_store_of_few_words_is_offered_no_map(tmp_path, capsys, count, verbs):
    """`kotovec map` needs four words."""
    store = stores.write_store(
        tmp_path / "few.kotovec", stores.numbered(count), np.random.default_rng(0).standard_normal((count, 8))
    )
    offered = commands(store)
    assert [line.split()[1] for line in offered] == verbs
    answer = call(capsys, "map", "--method", "pca", "--store", store)
    assert answer.code == (0 if "map" in verbs else 2)


def test_the_next_commands_run_as_they_are_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_store(tmp_path / "of two words.kotovec")
    query, shell, map_, audit = commands("of two words.kotovec")
    assert query == "kotovec query --store 'of two words.kotovec' \"king - man + woman\""
    assert shlex.split(map_)[1:] == ["map", "--store", "of two words.kotovec", "--html", "of two words.html"]
    assert call(capsys, *shlex.split(query)[1:]).code == 0
    assert shlex.split(shell)[1] == "shell"
    assert call(capsys, *shlex.split(audit)[1:]).code == 0


def store_of(folder, texts, marking=Marking.WORDPIECE):
    import numpy as np

    tokens = stores.make_tokens(texts, marking=marking)
    return Store.open(stores.write_store(folder, tokens, np.eye(len(texts), dtype=np.float32)))


@pytest.mark.parametrize(
    ("texts", "marking", "shown"),
    [
        (["[UNK]", "king", "man", "woman"], Marking.WORDPIECE, f'"{EXAMPLES[0]}"'),
        (["[UNK]", "man", "王", "男", "女"], Marking.WORDPIECE, f'"{EXAMPLES[1]}"'),
        (["[UNK]", "▁king", "▁man", "▁woman"], Marking.METASPACE, f'"{EXAMPLES[0]}"'),
        (["[UNK]", "##s", "1", "roi"], Marking.WORDPIECE, "roi"),
        (["1", "2"], Marking.WORDPIECE, "'#0'"),
    ],
)
def test_the_example_is_made_of_words_of_the_vocabulary(tmp_path, texts, marking, shown):
    with store_of(tmp_path / "a.kotovec", texts, marking) as store:
        assert example(store) == shown


def test_a_command_is_never_folded(capsys, monkeypatch):
    query = "kotovec query --store demo.kotovec 'king - man + woman'"
    print_commands("next", [query, "b"])
    assert capsys.readouterr().out == f" next  {query}\n       b\n"
    monkeypatch.setattr(tables, "console", lambda: Console(width=40, force_terminal=True, no_color=True))
    print_commands("next", [query, "b"])
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert shown == f" next\n{query}\nb\n"


def test_events_with_details_pass_through_a_pipe():
    from kotovec.cli.events import Lines, read_event

    stream = io.StringIO()
    Lines(stream).show(Detail("7 tokens × 2"))
    assert json.loads(stream.getvalue().lstrip("\x1e")) == {"detail": "7 tokens × 2"}
    assert read_event(stream.getvalue()) == Detail("7 tokens × 2")
