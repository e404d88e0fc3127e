"""Answers can be limited to scripts: what a letter's is, and which tokens are written in them alone."""

import json

import numpy as np
import pytest

from kotovec.errors import InputError
from kotovec.store import Store
from kotovec.store.scripts import SCRIPTS, parse_scripts, scripts_of, written_in
from kotovec.store.tokens import Marking

import stores
from commands import call, start

TEXTS = [
    "<s>", "▁王", "女王", "々", "ひめ", "▁カード", "ー", "ｶｰﾄﾞ", "queen", "▁Król", "царь", "왕", "王queen", "2000", "▁",
    "ราชา", "राजा", "T王", "①", "<0xE7>",
]  # fmt: skip
VECTORS = np.eye(len(TEXTS), 8) + np.arange(len(TEXTS))[:, np.newaxis] / 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokens = stores.make_tokens(TEXTS, special=["<s>"], marking=Marking.METASPACE)
    return stores.write_store(tmp_path_factory.mktemp("scripts") / "many.kotovec", tokens, VECTORS, metrics=("l2",))


@pytest.mark.parametrize(
    ("char", "scripts"),
    [
        ("王", "Han"),
        ("々", "Han"),
        ("〇", "Han"),
        ("あ", "Hiragana"),
        ("ア", "Katakana"),
        ("ｱ", "Katakana"),
        ("ー", "Hiragana Katakana"),
        ("é", "Latin"),
        ("Ａ", "Latin"),
        ("ж", "Cyrillic"),
        ("ᐁ", "Canadian_Aboriginal"),
        ("𐀀", "Linear_B"),
        ("ꠀ", "Syloti_Nagri"),
        ("ा", "Devanagari"),
        ("한", "Hangul"),
        ("1", ""),
        ("▁", ""),
        ("\u3099", ""),
        ("\0", ""),
    ],
)
def test_the_script_of_a_letter(char, scripts):
    assert scripts_of(char) == set(scripts.split())


@pytest.mark.parametrize(
    ("script", "texts"),
    [
        ("Han", ["▁王", "女王", "々"]),
        ("han, HIRAGANA ,Katakana", ["▁王", "女王", "々", "ひめ", "▁カード", "ー", "ｶｰﾄﾞ"]),
        ("Hiragana", ["ひめ", "ー"]),
        ("Latin", ["queen", "▁Król"]),
        (["Han", "Latin"], ["▁王", "女王", "々", "queen", "▁Król", "王queen", "T王"]),
        ("Thai,Devanagari", ["ราชา", "राजा"]),
        ("Common", ["<s>", "2000", "▁", "①", "<0xE7>"]),
        ("Cyrillic,Common", ["<s>", "царь", "2000", "▁", "①", "<0xE7>"]),
    ],
)
def test_tokens_are_left_out_that_have_a_letter_of_another_script(folder, script, texts):
    store = Store.open(folder)
    assert [TEXTS[row] for row in np.flatnonzero(written_in(store.tokens, parse_scripts(script)))] == texts
    answer = store.search("#1 + #2", k=len(TEXTS), script=script)
    assert {hit.text for hit in answer.hits} == set(texts)
    rows = [TEXTS.index(text) for text in texts]
    query = VECTORS.astype(np.float32).astype(np.float64)
    scores = np.square(query[rows] - query[1] - query[2]).sum(axis=1)
    assert [hit.score for hit in answer.hits] == pytest.approx(sorted(scores))


def test_scripts_and_words_only_go_together(folder):
    """王queen is one word; `queen` without its mark is the inside of one."""
    hits = Store.open(folder).search("#1", k=20, script="Latin", words_only=True).hits
    assert [hit.text for hit in hits] == ["▁Król"]


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        ("hann", "unknown script `hann`", "choose `Han`"),
        ("Han,", "unknown script ``", "choose `Han`"),
        ("kanji", "unknown script `kanji`", "choose `Han`"),
        ("Korean", "unknown script `Korean`", "choose `Hangul`"),
        ("Japanese", "unknown script `Japanese`", "choose `Han,Hiragana,Katakana`"),
        ("Latn", "unknown script `Latn`", "choose `Latin`"),
        ("Linear", "unknown script `Linear`", "choose `Linear_B` or `Linear_A`"),
        ("xyzzy", "unknown script `xyzzy`", "choose `Han`, `Hiragana`, `Katakana`, `Latin` or `Cyrillic`"),
        ([], "no script is named", "choose `Han`"),
    ],
)
def test_an_unknown_script_is_refused_with_some_that_there_are(folder, script, message, hint):
    with pytest.raises(InputError, match=message) as caught:
        Store.open(folder).search("#1", k=3, script=script)
    assert caught.value.hint.startswith(hint)


def test_a_script_that_no_token_is_written_in_is_said_so(folder):
    with pytest.raises(InputError, match="no token of this store is in Hebrew, Runic"):
        Store.open(folder).search("#1", k=3, script="Runic,Hebrew")


def test_what_people_call_a_script_names_scripts_that_there_are():
    from kotovec.store.scripts import _CALLED

    assert {name for names in _CALLED.values() for name in names} <= set(SCRIPTS)
    assert not set(_CALLED) & {name.lower() for name in SCRIPTS}


def test_every_script_can_be_named():
    assert parse_scripts(",".join(SCRIPTS)) == set(SCRIPTS)
    assert parse_scripts("old italic,Phags-Pa") == {"Old_Italic", "Phags_Pa"}


def test_the_command_line_and_its_environment_limit_answers(capsys, monkeypatch, folder):
    answer = call(capsys, "query", "--store", folder, "#1", "-k", 3, "--script", "Han", "--json")
    assert [hit["token"] for hit in json.loads(answer.out)["results"]] == ["▁王", "女王", "々"]
    monkeypatch.setenv("KOTOVEC_SCRIPT", "Hiragana")
    answer = call(capsys, "query", "--store", folder, "#1", "-k", 3, "--json")
    assert {hit["token"] for hit in json.loads(answer.out)["results"]} == {"ひめ", "ー"}
    answer = call(capsys, "query", "--store", folder, "#1", "--script", "Klingon")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: unknown script `Klingon`\nhint: choose ")


def test_the_shell_sets_scripts_and_refuses_unknown_ones_at_once(folder):
    lines = [":script han", "#1", ":script klingon", ":show", ":script all", "#1"]
    done = start("shell", "--store", folder, "-k", 3, "--json", "--quiet", input="\n".join(lines))
    out, err = done.stdout, done.stderr
    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [hit["token"] for hit in answers[0]["results"]] == ["▁王", "女王", "々"]
    assert "script Han" in out.splitlines()
    assert {hit["token"] for hit in answers[1]["results"]} - {"▁王", "女王", "々"}
    assert "unknown script `klingon`" in err
