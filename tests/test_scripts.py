"""Answers can be limited to scripts: what a letter's is, and which tokens are written in them alone."""

import json
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from fontTools import unicodedata as reference

from kotovec.errors import InputError
from kotovec.store import Store
from kotovec.store.scripts import SCRIPTS, parse_scripts, scripts_by_token, scripts_of, written_in
from kotovec.store.tokens import Marking

import stores
from commands import call, start

TEXTS = [
    "<s>", "▁王", "女王", "々", "ひめ", "▁カード", "ー", "ｶｰﾄﾞ", "queen", "▁Król", "царь", "왕", "王queen", "2000", "▁",
    "ราชา", "राजा", "T王", "①", "<0xE7>",
]  # fmt: skip
JAPANESE = ("bert-base-japanese-v3", "bert-base-japanese-whole-word-masking")
UNASSIGNED = ("Cn", "Cs")
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
        ("१", "Devanagari"),
        ("⺩", "Han"),
        ("〻", "Han"),
        ("〆", "Han"),
        ("〼", "Han Hiragana Katakana"),
        ("ｰ", "Hiragana Katakana"),
        ("。", ""),  # Common, and no letter, though its Script_Extensions are those of East Asia
        ("𝐀", ""),
        ("™", ""),
        ("µ", ""),
        ("\u064e", ""),  # a vowel of Arabic and Syriac is Inherited
        ("\u3099", ""),
        ("\0", ""),
    ],
)
def test_the_script_of_a_character(char, scripts):
    assert scripts_of(char) == set(scripts.split())


def by_reference(char):
    """The same by another copy of Unicode's tables: fontTools makes it from Scripts.txt and ScriptExtensions.txt."""
    script = reference.script(char)
    if script not in ("Zyyy", "Zinh", "Zzzz"):
        return {reference.script_name(script).replace(" ", "_")} & set(SCRIPTS)
    if unicodedata.category(char)[0] != "L":
        return set()
    extensions = {reference.script_name(each).replace(" ", "_") for each in reference.script_extension(char)}
    return extensions & set(SCRIPTS) - {"Common"}


def test_the_scripts_are_those_of_unicode(demo_static):
    """All characters of the vocabularies at hand, and all that Python's Unicode has assigned."""
    data = Path(__file__).parent / "data"
    texts = [(data / name / "vocab.txt").read_text(encoding="utf-8") for name in JAPANESE]
    with Store.open(demo_static) as store:
        texts += store.tokens.texts
    used = {char for text in texts for char in text}
    assert len(used) > 6000
    assigned = {chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in UNASSIGNED}
    assert len(assigned) > 144_000
    wrong = {char: (scripts_of(char), by_reference(char)) for char in used | assigned}
    assert {char: both for char, both in wrong.items() if both[0] != both[1]} == {}


def test_the_names_of_scripts_are_those_of_unicode_17():
    """Later ones are not listed: the oldest `regex` that may be installed does not know them."""
    assert set(SCRIPTS) <= set(reference.Scripts.NAMES.values())
    assert len(SCRIPTS) == 173  # Common among them


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("女王", "Han"),
        ("女王ひめ", "Han+Hiragana"),
        ("カード", "Katakana"),
        ("らーめん", "Hiragana"),
        ("ーー", "Hiragana/Katakana"),
        ("〼ー", "Hiragana/Katakana"),
        ("Tー", "Hiragana/Katakana+Latin"),
        ("T王ー", "Han+Hiragana/Katakana+Latin"),
        ("2000。", "Common"),
        ("२०००", "Devanagari"),
        ("ʼ", "Bengali/Cyrillic/Devanagari/Latin/Lisu/Thai/Toto"),
        ("пʼя", "Cyrillic"),
        ("cafe\u0301", "Latin"),
        ("\u0301", "Common"),
        ("[unused7]", "Common"),
        ("<0xE7>", "Common"),
        ("", "Common"),
    ],
)
def test_the_scripts_of_a_token(text, scripts):
    tokens = stores.make_tokens(["王", text, "queen"])
    assert scripts_by_token(tokens) == ["Han", scripts, "Latin"]


@pytest.mark.parametrize(
    "asked", ["Han", "Hiragana,Katakana", "Common", "Latin,Common", "Arabic", "Han,Latin,Cyrillic"]
)
def test_a_filter_and_the_column_follow_one_rule(demo_static, japanese, asked):
    """A token is in some scripts if they have one of each part of its column; `Common` must be asked for by name."""
    wanted = parse_scripts(asked)
    total = 0
    for path in (demo_static, japanese):
        with Store.open(path) as store:
            columns = scripts_by_token(store.tokens)
            found = written_in(store.tokens, wanted).tolist()
        expected = [all(wanted & set(part.split("/")) for part in column.split("+")) for column in columns]
        assert found == expected
        total += sum(found)
    assert 0 < total < 60_000


def test_the_scripts_of_250_000_tokens_take_two_seconds():
    """0.5 s, of which 0.2 s are the patterns: each character is looked up once."""
    letters = [chr(code) for code in range(0x4E00, 0x9FA6)] + [chr(code) for code in range(0xAC00, 0xD7A4)]
    random = np.random.default_rng(0)
    texts = ["".join(letters[each] for each in row) for row in random.integers(0, len(letters), (250_000, 3)).tolist()]
    tokens = stores.make_tokens(texts)
    started = time.process_time()
    assert len(scripts_by_token(tokens)) == len(written_in(tokens, frozenset(["Han"]))) == 250_000
    assert time.process_time() - started < 2


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
