"""Tab in bash, zsh and fish: commands, options, values, stores, spaces and tokens."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from kotovec.cli import complete
from kotovec.store.beginnings import Beginnings
from kotovec.store.tokens import Marking

import stores
from commands import MAIN, call, environment, make_metaspace_store, make_store

BREAKS = " \t\n\"'@><=;|&(:"  # COMP_WORDBREAKS of an interactive bash
# What the function of the script does, without a terminal: `compopt` works on Tab only.
IN_BASH = """
compopt() { :; }
eval "$(kotovec completion bash)"
COMP_WORDBREAKS=$BREAKS COMP_LINE=$LINE COMP_POINT=${#LINE}
_kotovec_completion kotovec
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return a folder with a store, beside which a command `kotovec` lies."""
    folder = tmp_path_factory.mktemp("tab")
    make_store(folder / "words.kotovec")
    (folder / "models").mkdir()
    (folder / "bin").mkdir()
    command = folder / "bin" / "kotovec"
    command.write_text(f"#!{sys.executable}\n{MAIN}\n", encoding="utf-8")
    command.chmod(0o755)
    return folder


def ask(here, line, shell="fish"):
    """Return what a shell is offered: kinds and values."""
    variables = environment(_KOTOVEC_COMPLETE=f"{shell}_complete", _KOTOVEC_LINE=line, _KOTOVEC_BREAKS=BREAKS)
    done = subprocess.run(
        [sys.executable, "-c", MAIN], env=variables, cwd=here, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(row.split("\t")[:2]) for row in done.stdout.splitlines()]


def values(here, line, shell="fish"):
    return [value for _, value in ask(here, line, shell)]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kotovec qu", ["query"]),
        ("kotovec --ver", ["--version"]),
        ("kotovec help in", ["index", "info"]),
        ("kotovec query --me", ["--metric"]),
        ("kotovec query --metric ", ["l2", "cosine", "ip", "csls"]),
        ("kotovec tokens --sort n", ["norm", "neighbours"]),
        ("kotovec tokens --columns id,no", ["id,notation", "id,norm"]),
        ("kotovec tokens --kind word,s", ["word,subword", "word,special"]),
        ("kotovec audit --indicator c", ["cosine", "component"]),
        ("kotovec coverage --charset j", ["joyo", "jinmei", "jis1", "jis2"]),
        ("kotovec coverage wo", ["words.kotovec"]),
        ("kotovec evaluate a", ["analogies"]),
        ("kotovec evaluate pairs s", ["simlex999"]),
        ("kotovec evaluate analogies google --measure l2,3cosa", ["l2,3cosadd", "l2,3cosavg"]),
        ("kotovec evaluate pairs x --store words.kotovec --space isolated@", ["isolated@0", "isolated@2"]),
        ("kotovec query --metric=c", ["--metric=cosine", "--metric=csls"]),
        ("kotovec build --dtype b", ["bfloat16"]),
        ("kotovec build --layers ", ["last", "all"]),
        ("kotovec build --token-filter word,s", ["word,subword", "word,special"]),
        ("kotovec build d", ["demo"]),
        ("kotovec build m", ["models/"]),
        ("kotovec query king --space isolated@", ["isolated@0", "isolated@2"]),
        ("kotovec query king --space static,isolated@2,b", ["static,isolated@2,both"]),
        ("kotovec query king --in ", ["static", "isolated@0", "isolated@2"]),  # one space, and no short form
        ("kotovec tokens --space i", ["isolated@0", "isolated@2"]),
        ("kotovec query king --layer ", ["0", "2"]),
        ("kotovec info --store w", ["words.kotovec"]),
        ("kotovec query --script Hi", ["Hiragana"]),
        ("kotovec query king - prin", ["prince", "princess"]),
        ("kotovec query 'king - wom", ["king - woman"]),
        ("kotovec query king --store words.kotovec + 女", ["女王", "女"]),
        ("kotovec norms que", ["queen"]),
        ("kotovec query ", []),
        ("kotovec query king --store nowhere.kotovec - prin", []),
        ("kotovec submit --job x", []),
        ("kotovec completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_a_shell_is_offered_what_fits(here, line, offered):
    assert sorted(values(here, line)) == sorted(offered)


def test_tokens_are_offered_by_rank_and_only_those_that_a_shell_takes_as_they_are(here):
    assert values(here, "kotovec query w") == ["woman"]
    assert values(here, "kotovec query 王") == ["王"]
    assert values(here, "kotovec query 女") == ["女王", "女"]  # the order of the vocabulary
    assert values(here, "kotovec query [") == []  # [PAD] would be a pattern of file names
    assert "king - [PAD]" in values(here, 'kotovec query "king - [')


def test_a_path_is_left_to_the_shell(here):
    assert ask(here, "kotovec map --png x") == [("file", "x")]
    assert ask(here, "kotovec query --file ") == [("file", "")]
    assert ask(here, "kotovec submit --fetch=a") == [("dir", "--fetch=a")]
    assert ask(here, "kotovec submit --fetch=a", "bash") == [("dir", "a")]


def test_bash_is_not_told_again_what_it_takes_for_another_word(here):
    """It splits words at = and @: what stands before them would be there twice."""
    assert values(here, "kotovec query --metric=c", "bash") == ["cosine", "csls"]
    assert values(here, "kotovec query king --space isolated@", "bash") == ["@0", "@2"]
    assert values(here, 'kotovec query "king - wom', "bash") == ["king - woman"]


def test_the_heavy_libraries_stay_out_and_a_store_is_opened_only_for_what_is_in_it(here):
    report = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr)); "
    for line, needed in (("kotovec query --me", False), ("kotovec query king - wom", True)):
        variables = environment(_KOTOVEC_COMPLETE="zsh_complete", _KOTOVEC_LINE=line)
        done = subprocess.run(
            [sys.executable, "-c", report + MAIN], env=variables, cwd=here, capture_output=True, text=True
        )
        modules = set(done.stderr.split())
        assert modules.isdisjoint({"torch", "transformers", "ray", "tokenizers", "rich.markdown"})
        assert ("h5py" in modules) == needed


def in_shell(here, *command, **variables):
    """Run a shell that finds the command under test in `bin`."""
    variables = environment(PATH=f"{here / 'bin'}:{os.environ['PATH']}", **variables)
    return subprocess.run(command, env=variables, cwd=here, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_script_completes_in_bash(here):
    def tab(line):
        return in_shell(here, "bash", "--norc", "-c", IN_BASH, LINE=line, BREAKS=BREAKS).stdout.split("\n")[:-1]

    assert tab("kotovec query king - prin") == ["prince", "princess"]
    assert tab("kotovec info --store=w") == ["words.kotovec"]
    assert tab("kotovec ve") == ["verify"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_the_script_completes_in_fish(here):
    code = 'kotovec completion fish | source; complete -C "kotovec query king - prin"; complete -C "kotovec ver"'
    done = in_shell(here, "fish", "--no-config", "-c", code)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["prince", "princess", "verify"]


@pytest.fixture
def spaced(here, tmp_path):
    """Return a folder with stores whose names are words of a shell only with backslashes."""
    for name in ("my store.kotovec", "my (old) #1.kotovec", "mine.kotovec"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin").symlink_to(here / "bin")
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_store_with_a_blank_in_its_name_is_offered_with_backslashes(spaced, shell):
    """`m<Tab>` completed to another store."""
    escaped = ["mine.kotovec", "my\\ \\(old\\)\\ \\#1.kotovec", "my\\ store.kotovec"]
    assert values(spaced, "kotovec info --store m", shell) == escaped
    assert values(spaced, "kotovec info --store my\\ s", shell) == escaped[2:]
    assert values(spaced, "kotovec info --store my\\ \\(", shell) == escaped[1:2]
    assert values(spaced, "kotovec info --store 'my s", shell) == ["my store.kotovec"]
    assert values(spaced, 'kotovec info --store "my (', shell) == ["my (old) #1.kotovec"]
    assert values(spaced, "kotovec build m", shell) == [f"{each}/" for each in escaped]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_what_bash_completes_is_the_store_itself(spaced):
    offered = in_shell(spaced, "bash", "--norc", "-c", IN_BASH, LINE="kotovec info --store my\\ s", BREAKS=BREAKS)
    taken = subprocess.run(
        ["bash", "-c", f"ls -d {offered.stdout.strip()}"], cwd=spaced, capture_output=True, text=True, check=False
    )
    assert taken.stdout == "my store.kotovec\n"


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish_itself_escapes_a_store_with_a_blank_in_its_name(spaced):
    code = 'kotovec completion fish | source; complete --escape -C "kotovec info --store my"'
    done = in_shell(spaced, "fish", "--no-config", "-c", code)
    assert "my\\ store.kotovec" in [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_the_script_of_zsh_can_be_read_by_it(here):
    code = 'eval "$(kotovec completion zsh)"; print $_comps[kotovec]'
    done = in_shell(here, "zsh", "-f", "-c", code, HOME=str(here))
    assert (done.stdout, done.returncode) == ("_kotovec_completion\n", 0), done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"), [([], "no shell is named"), (["tcsh"], "unknown shell `tcsh`")], ids=["none", "other"]
)
def test_another_shell_is_refused(capsys, arguments, problem):
    answer = call(capsys, "completion", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {problem}\nhint: choose `bash`, `zsh` or `fish`\n"


def vocabulary(marking, *texts):
    return stores.make_tokens(texts, unknown="<unk>", marking=marking)


@pytest.mark.parametrize(
    ("marking", "texts", "begun", "offered"),
    [
        (Marking.METASPACE, ["to", "▁Tokyo", "▁", "Tokai", "▁Tokai"], "Tok", ["Tokyo", "Tokai"]),
        (Marking.METASPACE, ["to", "▁Tokyo", "▁", "Tokai", "▁Tokai"], "_Tok", ["_Tokyo", "_Tokai"]),
        (Marking.METASPACE, ["▁Tokyo", "Tokai", "▁Tokai"], "▁Tok", ["▁Tokyo", "▁Tokai"]),
        (Marking.METASPACE, ["王", "▁王", "▁王様"], "_王", ["_王", "_王様"]),
        (Marking.METASPACE, ["_x", "▁xy", "▁_xz"], "_x", ["_x", "_xy", "_xz"]),
        (Marking.METASPACE, ["_", "▁", "▁a", "▁_"], "_", ["_", "_a", "__"]),
        (Marking.BYTELEVEL, ["king", "Ġkingdom", "Ġç", "ç"], "ki", ["king", "kingdom"]),
        (Marking.BYTELEVEL, ["king", "Ġkingdom"], "Ġki", ["Ġkingdom"]),
        (Marking.BYTELEVEL, ["king", "Ġkingdom", "Ġcaf\xc3\xa9"], "_", ["_kingdom", "_café"]),
        (Marking.SUFFIX, ["king</w>", "kin", "kin</w>"], "ki", ["king", "kin", "kin</w>"]),
        (Marking.SUFFIX, ["king</w>", "kin", "kin</w>"], "king<", ["king</w>"]),
        (Marking.WORDPIECE, ["in", "##ing", "##in"], "##in", ["##ing", "##in"]),
        (Marking.WORDPIECE, ["king", "Kingston"], "KIN", ["king", "Kingston"]),
        (Marking.WORDPIECE, ["king", "Kingston"], "Ki", ["Kingston"]),
        (Marking.WORDPIECE, ["king", "KB"], "ＫＩ", ["king"]),
        (Marking.WORDPIECE, ["が", "がく"], "か\u3099", ["が", "がく"]),
        (Marking.METASPACE, ["▁Tokyo"], "toky", ["Tokyo"]),
        (Marking.METASPACE, ["▁Tokyo"], "_toky", ["_Tokyo"]),
        (Marking.NONE, ["a.b", "axb"], "a.", ["a.b"]),
        (Marking.NONE, ["a"], "", []),
    ],
)
def test_a_word_is_completed_as_it_can_be_asked_for_by_rank(marking, texts, begun, offered):
    assert list(Beginnings(vocabulary(marking, *texts)).complete(begun)) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_mark_of_a_word_need_not_be_typed(tmp_path, shell):
    make_metaspace_store(tmp_path / "pieces.kotovec")
    assert values(tmp_path, "kotovec query qu", shell) == ["queen"]
    assert values(tmp_path, "kotovec query king - _", shell) == ["_king", "_queen"]
    assert values(tmp_path, "kotovec query 'queen - _k", shell) == ["queen - _king"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_capitals_and_the_mark_of_a_subword_in_quotes_are_completed_too(here, shell):
    assert values(here, "kotovec query king - PRIN", shell) == ["prince", "princess"]
    assert values(here, 'kotovec query "##', shell) == ["##s", "##王"]
    assert values(here, "kotovec query ##", shell) == []  # a comment


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_summary_of_a_command_is_whole(here, shell):
    """It ended in "or..." after 45 letters."""
    variables = environment(_KOTOVEC_COMPLETE=f"{shell}_complete", _KOTOVEC_LINE="kotovec ")
    done = subprocess.run(
        [sys.executable, "-c", MAIN], env=variables, cwd=here, capture_output=True, text=True, timeout=60, check=True
    )
    helps = {value: text for _, value, text in (line.split("\t") for line in done.stdout.splitlines())}
    whole = "Count the characters of a list, or of a text, that are one token, several or none."
    assert helps["coverage"] in (whole, whole.removesuffix("."))
    assert not any("..." in text for text in helps.values())


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish_takes_what_does_not_begin_as_it_was_typed(here):
    code = 'kotovec completion fish | source; complete -C "kotovec query king - PRIN"'
    done = in_shell(here, "fish", "--no-config", "-c", code)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["prince", "princess"]


@pytest.mark.parametrize("sign", ["$(touch pwned)", "`touch pwned`", '"', "'", "!x", "\\x"])
@pytest.mark.parametrize("line", ["kingd", "man - kingd"])
def test_no_token_or_folder_is_offered_that_a_shell_would_act_on(tmp_path, monkeypatch, sign, line):
    """In double quotes, too, `$(…)` runs."""
    monkeypatch.chdir(tmp_path)
    tokens = vocabulary(Marking.NONE, "kingdom", f"kingdom{sign.replace(' ', '')}")
    monkeypatch.setattr(complete, "_opened", lambda _: SimpleNamespace(tokens=tokens))
    assert complete.terms(None, line) == [line.replace("kingd", "kingdom")]
    for name in (f"{sign.replace('/', '')}.kotovec", "My Store.kotovec", "a\nb.kotovec", "fine.kotovec"):
        (tmp_path / name).mkdir()
    assert complete.stores("") == ["My Store.kotovec", "fine.kotovec"]
    assert complete.models("") == ["demo", "My Store.kotovec/", "fine.kotovec/"]
