"""`kotovec shell`: line by line from a pipe, and on a terminal with history and completion."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from kotovec.cli.shell import _command

from commands import ROOT, call, make_metaspace_store, make_store, start

SHELL = [sys.executable, "-c", "from kotovec.cli.app import main; main()", "shell"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shell") / "words.kotovec")


@pytest.fixture
def typed(store):
    """Give lines to a shell through a pipe."""
    return lambda lines, *arguments: start("shell", "--store", store, *arguments, input="\n".join(lines) + "\n")


def test_each_line_is_answered_as_query_answers_it(typed, store, capsys):
    lines = ["king - man + woman", "", "  王 + 子  ", "-man + king"]
    done = typed(lines, "-k", 3, "--exclude-inputs")
    single = [call(capsys, "query", "--store", store, line, "-k", 3, "--exclude-inputs").out for line in lines if line]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(single)


def test_settings_change_what_follows(typed):
    lines = ["king", ":space isolated", ":layer 0", ":metric cosine", ":k 2", ":exclude-inputs on", "king"]
    done = typed([*lines, ":words-only on", ":unit-terms on", "[PAD]", ":space both", "king"], "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [(a["space"], a["layer"], a["metric"], len(a["results"])) for a in answers] == [
        ("static", None, "l2", 10),
        ("isolated@0", 0, "cosine", 2),
        ("isolated@0", 0, "cosine", 2),
        ("static", None, "cosine", 2),
        ("isolated@0", 0, "cosine", 2),
    ]
    assert [any(row["is_input"] for row in answer["results"]) for answer in answers] == [True] + [False] * 4


def test_an_error_is_said_and_the_next_line_is_answered(typed):
    done = typed(["nosuchword", "king -", ":nonsense", ":k many", ":words-only maybe", "king"], "--json", "-k", 1)
    assert done.returncode == 2
    assert json.loads(done.stdout)["expression"] == "king"
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 5
    wanted = (
        "nosuchword",
        "a token is missing",
        "unknown setting `:nonsense`",
        ":k is a number",
        ":words-only is on or off",
    )
    assert all(part in error for part, error in zip(wanted, errors, strict=True))


def test_vectors_are_looked_up_in_another_space_from_the_setting_on(typed, store, capsys):
    lens = ["--space", "isolated@0", "--in", "static"]
    single = json.loads(call(capsys, "query", "--store", store, "king", *lens, "--json").out)
    lines = [":space isolated@0", "king", ":in static", "king", ":show", ":in off", "king"]
    plain, seen, *shown, again = typed(lines, "--json").stdout.splitlines()
    assert json.loads(seen) == single
    assert "vectors of isolated@0, looked up in static" in single["notes"]
    assert plain == again != seen
    assert "in static" in shown
    assert json.loads(typed(["king"], "--json", *lens).stdout) == single


def test_the_hint_names_the_setting_or_the_spaces_that_were_meant(typed):
    done = typed([":metrc cosine", ":exclude_inputs on", ":space contextual", ":xyzzy 1"])
    assert done.stderr.splitlines() == [
        "error: unknown setting `:metrc`",
        "hint: use `:metric`",
        "error: unknown setting `:exclude_inputs`",
        "hint: use `:exclude-inputs`",
        "error: unknown space `contextual`",
        "hint: choose `static`, `isolated@0` or `isolated@2`",
        "error: unknown setting `:xyzzy`",
        "hint: type :help for a list",
    ]


NO_GPU = "from kotovec.store import library; library.gpus = lambda: 0\n"


def test_a_gpu_that_faiss_does_not_see_is_refused_at_once_in_the_words_of_the_shell(store, capsys):
    lines = "king\n:device cuda\nking\n"
    done = start("shell", "--store", store, prepare=NO_GPU, input=lines)
    once = call(capsys, "query", "king", "--store", store).out
    assert (done.returncode, done.stdout) == (2, 2 * once)
    hint = "hint: use {} cpu, or install the extra `gpu` or `gpu-cu13`\n"
    assert done.stderr == "error: faiss sees no GPU\n" + hint.format(":device")
    begun = start("shell", "--store", store, "--device", "cuda", prepare=NO_GPU, input="king\n")
    assert (begun.returncode, begun.stdout) == (2, "")
    assert begun.stderr == "error: faiss sees no GPU\n" + hint.format("--device")


def test_quit_ends_and_help_and_show_tell_what_there_is(typed):
    done = typed([":help", ":show", ":quit", "king"])
    assert done.returncode == 0
    assert ":exclude-inputs on|off" in done.stdout
    assert "metric l2\n" in done.stdout
    assert "rank" not in done.stdout


def test_control_codes_in_a_line_do_not_come_back(typed):
    done = typed(["\x1b[2Jking"])
    assert done.returncode == 2
    assert "\x1b" not in done.stderr + done.stdout


class Terminal:
    """A shell on a pseudo-terminal; leave its block, and it is gone."""

    def __init__(self, store, prepare="", **environment):
        self.master, slave = pty.openpty()
        settings = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"} | environment
        command = [SHELL[0], SHELL[1], prepare + SHELL[2], *SHELL[3:], "--store", str(store), "-k", "3"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def wait_for(self, pattern, seconds=30):
        """Read until a pattern is shown; return everything up to its end, without escape sequences."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen, re.DOTALL)):
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{pattern!r} did not come: {self.seen!r}"
            part = os.read(self.master, 65536).decode(errors="replace")
            if "\x1b[6n" in part:  # where is the cursor?
                self.type("\x1b[1;1R")
            self.seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen + part)
        shown, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return shown

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """Press Ctrl-D; return the exit code."""
        self.type("\x04")
        return self.process.wait(timeout=30)

    def __enter__(self):
        try:
            self.wait_for("kotovec>")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def rows(shown):
    """The tokens of a table, by rank."""
    return re.findall(r"^ +\d+ +(\S+)", shown.replace("\r", ""), re.MULTILINE)


@pytest.fixture
def terminal(store, tmp_path):
    opened = Terminal(store, KOTOVEC_HISTORY=str(tmp_path / "state" / "history"))
    with opened:
        yield opened


def test_a_terminal_is_prompted_answers_completes_a_token_and_keeps_its_history(terminal, store, tmp_path):
    terminal.type("king - man + woman\r")
    assert rows(terminal.wait_for(r"\n +3 .*kotovec>")) == ["queen", "女王", "王"]
    terminal.type("king + princ\t")  # prince, princess
    terminal.wait_for("king .*princess")  # both are offered, what they share is written
    terminal.type("ss\r")
    shown = terminal.wait_for(r"\n +3 .*kotovec>")
    assert "king + princess" in shown
    terminal.type("nosuchword\r")
    terminal.wait_for(r"error: `nosuchword` is not.*kotovec>")
    terminal.type("half a li\x03")  # Ctrl-C gives up a line, and no more
    terminal.wait_for("half.*kotovec>")
    time.sleep(0.5)  # the prompt reads its history in the background
    terminal.type("\x1b[A")
    terminal.wait_for("nosuchword")
    terminal.type("\x1b[A\x1b[A\r")  # two further up: the first line
    assert rows(terminal.wait_for(r"\n +3 .*kotovec>")) == ["queen", "女王", "王"]
    assert terminal.end() == 0
    history = (tmp_path / "state" / "history").read_text(encoding="utf-8")
    kept = [line[1:] for line in history.splitlines() if line.startswith("+")]
    assert kept[:3] == ["king - man + woman", "king + princess", "nosuchword"]


SLOW = """
import time
from kotovec.{module} import {name} as there
real, asked = there.{function}, []
def slow(*arguments, **options):
    if not asked:
        asked.append(1)
        print("it is busy", flush=True)
        time.sleep(60)
    return real(*arguments, **options)
there.{function} = slow
"""


@pytest.mark.parametrize(
    ("module", "name", "function"),
    [("store.database", "Store", "search"), ("cli", "shell", "print_result")],
)
def test_ctrl_c_gives_up_an_answer_and_the_shell_goes_on(store, tmp_path, module, name, function):
    """It ended the shell without a word."""
    prepare = SLOW.format(module=module, name=name, function=function)
    with Terminal(store, prepare, KOTOVEC_HISTORY=str(tmp_path / "history")) as terminal:
        terminal.type("king\r")
        terminal.wait_for("it is busy")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for(r"error: interrupted.*kotovec>")
        terminal.type("king - man + woman\r")
        assert rows(terminal.wait_for(r"\n +3 .*kotovec>")) == ["queen", "女王", "王"]
        assert terminal.end() == 0


def test_the_only_token_that_fits_is_completed_at_once(terminal):
    terminal.type("wom\t")
    terminal.wait_for("wom.*an")  # which a busy machine draws in two parts
    terminal.type("\r")
    assert "woman  (static; squared L2, smaller is nearer)" in terminal.wait_for(r"\n +3 .*kotovec>")
    terminal.type("男+女王\r")
    assert "男 + 女王" in terminal.wait_for(r"\n +3 .*kotovec>")
    assert terminal.end() == 0


def test_a_history_that_cannot_be_kept_is_no_obstacle(store):
    with Terminal(store, KOTOVEC_HISTORY="/proc/nowhere/history") as terminal:
        terminal.type("king\r")
        assert rows(terminal.wait_for(r"\n +3 .*kotovec>"))[0] == "king"
        assert terminal.end() == 0


def test_a_token_that_nobody_can_type_is_completed_as_it_is(terminal):
    terminal.type("zero\t")
    terminal.wait_for("width")
    terminal.type("\r")
    assert rows(terminal.wait_for(r"(error: |\n +3 ).*kotovec>"))[0] == r"zero\u200bwidth"
    assert terminal.end() == 0


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (":metric l1", "error: unknown metric `l1`\nhint: choose `l2`, `cosine`, `ip` or `csls`\n"),
        (":space nowhere", "error: unknown space `nowhere`\n"),
        (":space isolated@7", "error: layer 7 is not in this store: it holds 0, 2\n"),
        (":layer 7", "error: layer 7 is not in this store: it holds 0, 2\n"),
        (":k 0", "error: k is 0\nhint: choose a number from 1 to 25\n"),
        (":k 1000", "error: k is 1000\n"),
        (":device gpu", "error: unknown device `gpu`\n"),
        (":script Klingon", "error: "),
        (":unit-terms on", "error: unit terms mean nothing with l2\n"),
        (":metric", "error: :metric needs a value\n"),
        (":in nowhere", "error: "),
        (":in output", "error: output is not in this store: it holds static, isolated@0, isolated@2\n"),
    ],
)
def test_a_bad_setting_is_refused_at_once_and_changes_nothing(typed, line, problem):
    done = typed([line, ":show"])
    assert done.stderr.startswith(problem)
    assert done.returncode == 2
    assert done.stdout.splitlines()[:5] == ["space static", "layer -1", "metric l2", "k 10", "exclude-inputs off"]


def test_a_full_width_colon_and_what_follows_it_are_a_command(typed):
    """An input method types them so; `：` alone stays a word."""
    done = typed(["：metric　cosine", "：ｋ　２", "king", "：", "：ｑｕｉｔ", "queen"], "--json")
    assert done.returncode == 2
    assert [(each["metric"], len(each["results"])) for each in map(json.loads, done.stdout.splitlines())] == [
        ("cosine", 2)
    ]
    assert done.stderr.startswith("error: `：` is not in the vocabulary")
    assert typed(["：help"]).stdout == typed([":help"]).stdout


@pytest.mark.parametrize(
    "line",
    [":METRIC COSINE", ":Metric　Cosine", "：ＭＥＴＲＩＣ　ＣＯＳＩＮＥ", "：metric cosine", ":metric　　ｃｏｓｉｎｅ"],
)
def test_capitals_and_either_width_are_one_setting(typed, line):
    done = typed([line, ":K　３", ":EXCLUDE-INPUTS ＯＮ", ":Show"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2:5] == ["metric cosine", "k 3", "exclude-inputs on"]


@pytest.mark.parametrize("word", ["exit", "EXIT", "ｅｘｉｔ", "ＥＸＩＴ", "quit", "ＱＵＩＴ"])
def test_a_word_at_the_prompt_ends_in_either_width(word):
    assert _command(word) in (":exit", ":quit")


@pytest.mark.parametrize(
    ("word", "meant"), [("？", ":help"), ("ｈｅｌｐ", ":help"), ("Exit", "Exit"), ("ｋｉｎｇ", "ｋｉｎｇ")]
)
def test_a_word_at_the_prompt_that_is_no_command_stays_as_it_is_typed(word, meant):
    assert _command(word) == meant


@pytest.mark.parametrize("word", [":exit", ":quit", ":q", ":QUIT", ":Quit", "：ｑｕｉｔ", "：ＱＵＩＴ", "：Ｑ"])
def test_the_commands_of_other_shells_end_it_too(typed, word):
    done = typed(["king", word, "queen"], "--json")
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 1, "")


@pytest.mark.parametrize("word", ["exit", "quit", "EXIT", "ｅｘｉｔ", "ＱＵＩＴ"])
def test_a_word_ends_a_pipe_as_it_ends_the_prompt(typed, word):
    """It was a token there: `exit` of a script was an unknown word, or was answered."""
    done = typed(["king", word, "queen"], "--json")
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 1, "")


@pytest.mark.parametrize("word", ["help", "HELP", "ｈｅｌｐ", "?", "？"])
def test_help_is_understood_in_a_pipe_too(typed, word):
    assert typed([word]).stdout == typed([":help"]).stdout


@pytest.mark.parametrize("word", ["exit", "quit", "help", "?"])
def test_in_quotes_a_list_of_words_may_hold_what_is_typed_as_a_command(typed, word):
    done = typed(["king", f'"{word}"', "queen"], "--json")
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 2)
    assert done.stderr.startswith(f"error: `{word}` is not in the vocabulary")


@pytest.mark.parametrize("word", ["exit", "quit", "EXIT", "QUIT", "：ｑｕｉｔ"])
def test_the_words_of_other_shells_end_it_on_a_terminal(terminal, word):
    terminal.type(f"{word}\r")
    assert terminal.end() == 0


def test_help_fits_a_narrow_terminal_and_is_understood_there_as_a_word(typed, terminal):
    from kotovec.cli.settings import HELP

    assert typed([":help"]).stdout == f"{HELP}\n"
    assert max(map(len, HELP.splitlines())) <= 40
    terminal.type("help\r")
    terminal.wait_for(re.escape(HELP.splitlines()[-1]) + ".*kotovec>")
    assert terminal.end() == 0


def test_a_paste_of_several_lines_is_several_questions(terminal):
    terminal.type("\x1b[200~king - man + woman\nqueen\x1b[201~")
    terminal.wait_for("queen")
    terminal.type("\r")
    shown = terminal.wait_for(r"\n +3 .*\n +3 .*kotovec>")
    assert re.findall(r"^(\S.*?)  \(static", shown.replace("\r", ""), re.MULTILINE) == ["king - man + woman", "queen"]
    assert terminal.end() == 0


def test_the_toolbar_shows_what_a_line_with_a_colon_changed(terminal):
    terminal.wait_for("static  l2  k 3")
    terminal.type(":met\t")
    terminal.wait_for(":metric")
    terminal.type(" cos\t")
    terminal.wait_for("cosine")
    terminal.type("\r")
    terminal.wait_for("static  cosine  k 3")
    terminal.type(":space isolated@0\r")
    terminal.wait_for("isolated@0  cosine  k 3")
    terminal.type(":in static\r")
    terminal.wait_for("isolated@0 in static  cosine  k 3")
    terminal.type(":exclude-inputs o\t\t")
    terminal.wait_for("off")
    terminal.type("\x03exit\r")
    assert terminal.process.wait(timeout=30) == 0


def test_the_toolbar_names_the_layer_that_the_title_of_an_answer_names(store):
    """It said isolated@-1 over an answer of layer 2."""
    from kotovec.cli.prompt import toolbar
    from kotovec.cli.settings import Settings, change
    from kotovec.store import Store

    plain = Settings("isolated", -1, "l2", 3, False, False, False, None, False, "cpu", None)
    with Store.open(store) as opened:
        assert toolbar(opened, plain) == "isolated@2  l2  k 3"
        assert toolbar(opened, change(plain, ":space both", opened)) == "static | isolated@2  l2  k 3"
        assert toolbar(opened, change(plain, ":layer 0", opened)) == "isolated@0  l2  k 3"


def completions(store, text):
    from prompt_toolkit.document import Document

    from kotovec.cli.prompt import Words
    from kotovec.store import Store

    return [each.text for each in Words(Store.open(store)).get_completions(Document(text), None)]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("king - 女", ["女王", "女"]),  # the order of the vocabulary, not that of the alphabet
        ("[", ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[bold]x[/bold]"]),
        ("king - ", []),
        (":k", [":k"]),
        (":metric ", ["l2", "cosine", "ip", "csls"]),
        (":layer ", ["0", "2", "-1"]),
        (":space static,iso", ["static,isolated@0", "static,isolated@2", "static,isolated"]),
        (":script Han,Hira", ["Han,Hiragana"]),
        (":words-only o", ["on", "off"]),
        (":i", [":in"]),
        (":in ", ["static", "isolated@0", "isolated@2", "off"]),
        ("：ｍｅｔ", [":metric"]),
        ("：metric　ｃ", ["cosine", "csls"]),
    ],
)
def test_tab_completes_settings_values_and_tokens_by_rank(store, text, offered):
    assert completions(store, text) == offered


def test_tab_completes_a_word_without_its_mark_and_in_another_case(tmp_path, store):
    pieces = make_metaspace_store(tmp_path / "pieces.kotovec")
    assert completions(pieces, "king - q") == ["queen"]
    assert completions(pieces, "_") == ["_king", "_queen"]
    assert completions(store, "PRIN") == ["prince", "princess"]


SAMPLES = {
    ":words-only": ":words-only on", ":exact ": ":exact on", ":k": ":k 20", ":metric": ":metric cosine",
    ":layer": ":layer -1", ":space": ":space both", ":script": ":script Han", ":device": ":device cpu",
    ":unit-terms": ":unit-terms on", ":exclude-inputs": ":exclude-inputs on",
    ":in": ":in static",
}  # fmt: skip


def test_a_setting_without_its_value_shows_one_that_works(typed):
    done = typed(list(SAMPLES))
    assert done.stderr == "".join(
        f"error: {line.strip()} needs a value\nhint: write `{written}`, or :show for the current ones\n"
        for line, written in SAMPLES.items()
    )
    done = typed([*SAMPLES.values(), ":show"])
    assert (done.returncode, done.stderr) == (0, "")
    assert {f":{line}" for line in done.stdout.splitlines()} == {*SAMPLES.values()}
