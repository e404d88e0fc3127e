"""`kotovec coverage`: lists of characters, what a tokenizer makes of each, and tokens per character of a text."""

import json
import re
import unicodedata

import pytest
from tokenizers import Tokenizer

from kotovec.store import Store
from kotovec.store.charsets import NAMES, characters, read_charset
from kotovec.store.coverage import Cover, cover, measure

from commands import ROOT, call


def test_the_lists_have_the_numbers_of_characters_that_they_are_known_for():
    lists = {name: read_charset(name) for name in NAMES}
    assert {name: len(chars) for name, chars in lists.items()} == {
        "joyo": 2136,
        "jinmei": 863,
        "jis1": 2965,
        "jis2": 3390,
    }
    assert all(len(set(chars)) == len(chars) for chars in lists.values())
    assert all(unicodedata.name(char).startswith("CJK") for chars in lists.values() for char in chars)
    assert lists["jis1"][0] + lists["jis1"][-1] + lists["jis2"][0] + lists["jis2"][-1] == "亜腕弌熙"
    assert not set(lists["jis1"]) & set(lists["jis2"])
    assert not set(lists["joyo"]) & set(lists["jinmei"])
    # In Unihan, 剥 and 剝 are both 常用漢字, and the latter is the form of the list of 2010.
    assert [char in lists["joyo"] for char in "剥剝叱𠮟填塡頬頰"] == [False, True] * 4


def test_the_characters_of_a_text_are_each_counted_once():
    assert characters(["王と女王\n", "\u200b \u3000と\t王\n"]) == "王と女"


def by_hand(path, chars):
    """What a WordPiece tokenizer makes of characters, by `tokenizers` itself."""
    tokenizer = Tokenizer.from_file(str(path / "tokenizer" / "tokenizer.json"))
    tokenizer.no_padding()
    for char in chars:
        yield char, tokenizer.encode(char, add_special_tokens=False).tokens


def test_the_demo_knows_a_tenth_of_the_joyo_kanji(demo_static):
    chars = read_charset("joyo")
    with Store.open(demo_static) as store:
        found = cover(store, "joyo", chars)
    pieces = dict(by_hand(demo_static, chars))
    assert found.chars[Cover.UNKNOWN] == "".join(char for char in chars if pieces[char] == ["[UNK]"])
    assert found.chars[Cover.ONE] == "".join(char for char in chars if pieces[char] == [char])
    assert {kind: len(each) for kind, each in found.chars.items()} == {
        Cover.ONE: 213, Cover.SEVERAL: 0, Cover.CHANGED: 0, Cover.UNKNOWN: 1923
    }  # fmt: skip
    assert (found.total, found.tokens, found.per_character) == (2136, 213, 1)


def test_a_character_that_is_read_as_another_is_not_covered(demo_static):
    with Store.open(demo_static) as store:
        found = cover(store, "some", "aAéが!語丁")
    assert found.chars == {Cover.ONE: "a!語", Cover.SEVERAL: "", Cover.CHANGED: "Aéが", Cover.UNKNOWN: "丁"}


def test_bytes_are_several_tokens(bytelevel):
    with Store.open(bytelevel) as store:
        assert [store.tokens.surfaces.find(char) for char in "丒𠮟"] == [None, None]
        found = cover(store, "some", "a丒𠮟")
    assert found.chars == {Cover.ONE: "a", Cover.SEVERAL: "丒𠮟", Cover.CHANGED: "", Cover.UNKNOWN: ""}
    assert 5 <= found.tokens <= 8
    assert found.per_character == found.tokens / 3


def test_a_lone_mark_is_no_token_of_a_character(metaspace):
    with Store.open(metaspace) as store:
        texts = set(store.tokens.texts)
        char = next(
            text for text in store.tokens.texts if len(text) == 1 and text.isalpha() and f"▁{text}" not in texts
        )
        assert store.lookup.pieces([char]) == [["▁", char]]
        found = cover(store, "some", char)
    assert (found.chars[Cover.ONE], found.tokens) == (char, 1)


def test_tokens_per_character_of_a_text(demo_static):
    lines = ["The king of kings.\n", "\n", "女王\n", "丁丁\n"]
    with Store.open(demo_static) as store:
        found = measure(store, lines)
    # the king of kings . | 女 王 | [UNK] [UNK]
    assert found.as_dict() == {
        "characters": 22, "tokens": 9, "unknown": 2, "unspelled": 0, "tokens_per_character": 9 / 22
    }  # fmt: skip


def test_the_text_on_the_page_has_the_numbers_that_the_page_shows(capsys, demo_static, tmp_path):
    """They were of README.ja.md, and of a former one: the page now shows the text itself."""
    page = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    text, table = re.search(r'\$ echo "(.*)" > cat\.txt\n.*\n((?:.+\n)+?)```', page).groups()
    file = tmp_path / "cat.txt"
    file.write_text(f"{text}\n", encoding="utf-8")
    answer = call(capsys, "coverage", demo_static, "--text", file, "--print", "unknown")
    rows = [re.split("  +", line.strip()) for line in answer.out.splitlines()]
    shown = [re.split("  +", line) for line in table.splitlines()]
    assert [row[1] for row in rows[2:6]] == [row[1] for row in shown[2:6]]
    assert rows[6] == shown[6] == ["demo, unknown: 吾輩猫無当"]


def test_stores_stand_side_by_side(capsys, demo_static, bytelevel, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the king\n", encoding="utf-8")
    answer = call(capsys, "coverage", demo_static, bytelevel, "--charset", "jis1", "--text", text)
    assert answer.code == 0, answer.err
    rows = [re.split(r"  +", line.strip()) for line in answer.out.splitlines()]
    assert rows[0] == ["jis1, 2,965 characters", "demo", "bytelevel"]
    assert rows[2][:2] == ["one token", "224"]
    assert ["unknown", "2,741", "0"] in rows
    assert ["characters", "8", "8"] in rows
    assert rows[-1][:2] == ["tokens per character", "0.2500"]


def test_json_has_a_line_per_store_and_list(capsys, demo_static, metaspace):
    answer = call(capsys, "coverage", demo_static, metaspace, "--json", "--charset", "joyo,jinmei", "--print", "one")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [(line["store"], line["charset"]) for line in lines] == [
        (str(path), name) for name in ("joyo", "jinmei") for path in (demo_static, metaspace)
    ]
    assert all(len(line["list"]) == line["one"] for line in lines)
    assert all(
        line["one"] + line["several"] + line["changed"] + line["unknown"] == line["characters"] for line in lines
    )


def test_all_four_lists_are_the_default_and_a_file_is_a_list(capsys, demo_static, tmp_path):
    answer = call(capsys, "coverage", demo_static)
    assert re.findall(r"^\w+, [\d,]+ characters", answer.out, re.MULTILINE) == [
        "joyo, 2,136 characters", "jinmei, 863 characters", "jis1, 2,965 characters", "jis2, 3,390 characters"
    ]  # fmt: skip
    file = tmp_path / "mine.txt"
    file.write_text("王 女\n王\n", encoding="utf-8")
    answer = call(capsys, "coverage", demo_static, "--charset", file, "--print", "one")
    assert "mine.txt, 2 characters" in answer.out
    assert "demo, one token: 王女" in answer.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--charset", "kyoiku"], "`kyoiku` is neither a list of characters nor a file"),
        (["--print", "most"], "unknown kind of characters `most`"),
        (["--text", "nowhere.txt"], "nowhere.txt cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line(capsys, demo_static, arguments, said):
    answer = call(capsys, "coverage", demo_static, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)


def test_an_empty_list_of_characters_is_an_error(capsys, demo_static):
    answer = call(capsys, "coverage", demo_static, "--charset", "")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: --charset is empty\nhint: choose ")


def test_the_characters_of_a_text_are_printed_by_kind(capsys, demo_static, tmp_path, monkeypatch):
    """--print was ignored beside --text."""
    text = tmp_path / "text.txt"
    text.write_text("the king 丁丁\n亜語Aé\n", encoding="utf-8")
    options = ["coverage", demo_static, "--text", text]
    answer = call(capsys, *options, "--print", "unknown")
    assert answer.out.splitlines()[-1].split(": ") == ["demo, unknown", "丁亜"]
    assert call(capsys, *options, "--print", "changed").out.splitlines()[-1] == "demo, read as another character: Aé"
    assert call(capsys, *options, "--print", "several").out.splitlines()[-1] == "demo, several tokens: none"
    line = json.loads(call(capsys, *options, "--print", "one", "--json").out)
    assert (line["list"], line["text"]["characters"]) == ("theking語", 15)
    assert "list" not in json.loads(call(capsys, *options, "--json").out)
    both = call(capsys, *options, "--charset", text, "--print", "unknown", "--json").out.splitlines()
    assert [json.loads(each)["list"] for each in both] == ["丁亜", "丁亜"]
    monkeypatch.setattr("sys.stdin", text.open(encoding="utf-8"))
    piped = call(capsys, "coverage", demo_static, "--text", "-", "--print", "unknown")
    assert piped.out.splitlines()[-1] == "demo, unknown: 丁亜"


def test_an_unknown_character_that_cannot_be_seen_is_printed_by_its_code(capsys, demo_static, tmp_path):
    """The list was `none` beside a count of one."""
    text = tmp_path / "text.txt"
    text.write_text("the\u200bking 丁\n", encoding="utf-8")
    answer = call(capsys, "coverage", demo_static, "--text", text, "--print", "unknown")
    assert answer.out.splitlines()[-1] == "demo, unknown: \\u200b丁"


def test_a_text_without_characters_has_no_tokens_per_character(capsys, demo_static, tmp_path):
    """The table said nan."""
    text = tmp_path / "text.txt"
    text.write_text("\n", encoding="utf-8")
    answer = call(capsys, "coverage", demo_static, "--text", text, "--print", "one")
    assert [line.split()[-1] for line in answer.out.splitlines()[2:]] == ["0", "0", "0", "-", "none"]
    assert json.loads(call(capsys, "coverage", demo_static, "--text", text, "--json").out)["text"] == {
        "characters": 0, "tokens": 0, "unknown": 0, "unspelled": 0, "tokens_per_character": None
    }  # fmt: skip
    answer = call(capsys, "coverage", demo_static, "--charset", text)
    assert answer.err.startswith(f"error: {text} has no characters\nhint: put some in it, or choose `joyo`")


def test_a_text_without_a_name_is_named_as_that(capsys, demo_static):
    """The error was that ` cannot be read: Is a directory`."""
    answer = call(capsys, "coverage", "--text", "", "--store", demo_static)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: --text names no file\nhint: give its path, or `-` for standard input\n"


def test_the_hint_about_a_text_that_cannot_be_read_is_of_texts(capsys, demo_static, tmp_path):
    answer = call(capsys, "coverage", demo_static, "--text", tmp_path / "none.txt")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith("hint: name a file with lines of text, or `-` for standard input\n")


def test_stores_of_one_name_are_told_apart_by_their_paths():
    from pathlib import Path

    from kotovec.cli.chosen import store_titles

    paths = [Path("a/x.kotovec"), Path("b/x.kotovec"), Path("b/y.kotovec")]
    assert store_titles(paths) == ["a/x.kotovec", "b/x.kotovec", "y"]
