"""`kotovec info`: what is in a store, and where it came from."""

import json

import pytest

from commands import TEXTS, WORDS, call, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = make_store(tmp_path_factory.mktemp("info") / "words.kotovec")
    record = path / "indexes" / "isolated-2.l2.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"dataset": "of another store"}))
    return path


def pairs(out):
    """The two columns of the table."""
    return [tuple(cell.strip() for cell in line.strip().split("  ", 1)) for line in out.splitlines()]


def test_the_table_names_model_tokens_vectors_template_dictionary_and_indexes(capsys, store):
    answer = call(capsys, "info", "--store", store)
    shown = pairs(answer.out)
    table = dict(shown)
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    assert answer.code == 0
    assert table["store"] == f"{store}  ({size / 1e6:,.1f} MB)"
    assert table["model"] == "none/of-these abc"
    assert table["tokens"] == f"{len(TEXTS)}: {len(WORDS) + 4} word, 2 subword, 4 special, 1 unused, 1 empty"
    assert table["static"] == f"{len(TEXTS)} × 8 float32"
    assert table["isolated"] == f"{len(TEXTS)} × 8 float32, layers 0, 2"
    assert table["template"] == "3 token 4"
    assert "2 tokens without" in table["left out"]
    assert "ipadic" in table["MeCab"]
    assert "as when it was made" in table["MeCab"]
    assert table["command"] == "kotovec build none/of-these"
    indexes = [value for name, value in shown if name == "index"]
    assert [value.split()[0] for value in indexes] == ["isolated-2.l2", "static.l2"]
    assert ["not used" in value for value in indexes] == [True, False]


def test_notices_of_the_build_are_said_on_stderr_unless_quiet(capsys, store):
    assert call(capsys, "info", "--store", store).err == "note: the notice of a build\n"
    assert call(capsys, "info", "--store", store, "--quiet").err == ""


def test_json_holds_the_same_with_stable_keys(capsys, store):
    answer = call(capsys, "info", "--store", store, "--json")
    data = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    assert list(data) == ["path", "tokens", "kinds", "marking", "spaces", "tables", "indexes", "bytes", "provenance"]
    assert (data["path"], data["tokens"], data["marking"]) == (str(store), len(TEXTS), "wordpiece")
    assert data["kinds"] == {
        "word": len(WORDS) + 4,
        "subword": 2,
        "special": 4,
        "unused": 1,
        "byte": 0,
        "empty": 1,
    }
    assert data["spaces"] == {
        name: {"shape": [len(TEXTS), 8], "dtype": "float32"} for name in ("static", "isolated@0", "isolated@2")
    }
    assert [(index["name"], index["factory"], index["usable"]) for index in data["indexes"]] == [
        ("isolated-2.l2", "Flat", False),
        ("static.l2", "Flat", True),
    ]
    origin = data["provenance"]
    assert (origin["model"], origin["revision"], origin["mecab_dic"]) == ("none/of-these", "abc", "ipadic")
    assert (origin["template_prefix"], origin["template_suffix"]) == ([3], [4])
    assert origin["encoding-type"] == "kotovec-tokens"
