"""What a command writes replaces nothing that it reads: data sets, stores, and what links lead to."""

import pytest

from commands import call, make_store

PAIRS = "man\twoman\t8\nking\tqueen\t9\nboy\tgirl\t7\nprince\tprincess\t2\n"
FAMILY = "man woman king queen\nboy girl prince princess\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_store(tmp_path / "words.kotovec")
    for name, text in {"p.jsonl": PAIRS, "p.json": PAIRS, "a.jsonl": FAMILY}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "link.jsonl").symlink_to("p.jsonl")
    (tmp_path / "hard.jsonl").hardlink_to(tmp_path / "a.jsonl")
    (tmp_path / "m.questions").write_text("man woman king\nboy girl prince\n")
    (tmp_path / "m.answers").write_text("X queen\nX princess\n")
    (tmp_path / "m.jsonl").symlink_to("m.answers")
    (tmp_path / "categories").mkdir()
    (tmp_path / "categories" / "x.txt").write_text("man\twoman\nking\tqueen\n")
    (tmp_path / "x.jsonl").symlink_to("categories/x.txt")
    (tmp_path / "v.vec").write_text("2 1\na 1\nb 2\n")
    return tmp_path


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "pairs", "p.jsonl", "--details", "p.jsonl"], "p.jsonl cannot be written: it is read"),
        (["evaluate", "pairs", "p.jsonl", "--details", "link.jsonl"], "link.jsonl cannot be written: p.jsonl is read"),
        (["evaluate", "pairs", "link.jsonl", "--details", "p.jsonl"], "p.jsonl cannot be written: link.jsonl is read"),
        (["evaluate", "analogies", "a.jsonl", "--details", "./a.jsonl"], "a.jsonl cannot be written: it is read"),
        (["evaluate", "analogies", "a.jsonl", "--details", "hard.jsonl"], "hard.jsonl cannot be written: a.jsonl is"),
        (["evaluate", "analogies", "m.questions", "--details", "m.jsonl"], "m.jsonl cannot be written: m.answers is"),
        (["evaluate", "analogies", "categories", "--details", "x.jsonl"], "x.jsonl cannot be written: categories/x.t"),
        (["evaluate", "pairs", "p.json", "--details", "words.kotovec/a.jsonl"], "a.jsonl cannot be written: words.ko"),
        (["evaluate", "pairs", "p.json", "--details", "x"], "--details x: the name has no ending"),
        (["evaluate", "pairs", "p.json", "--details", "p.json"], "p.json cannot be written: it is read"),
        (["report", "words.kotovec", "--out", "p.json", "--pairs", "p.json"], "p.json cannot be written: it is read"),
        (["report", "--out", "p.json", "--analogies", "p.json"], "p.json cannot be written: it is read"),
        (["report", "--out", "words.kotovec/manifest.json"], "manifest.json cannot be written: words.kotovec is read"),
        (["tokens", "--parquet", "words.kotovec/t.parquet"], "t.parquet cannot be written: words.kotovec is read"),
        (["audit", "--html", "words.kotovec/a.html"], "a.html cannot be written: words.kotovec is read"),
        (["convert", "words.kotovec", "words.kotovec/v.vec"], "v.vec cannot be written: words.kotovec is read"),
        (["convert", "v.vec", "./v.vec", "--overwrite"], "v.vec cannot be written: it is read"),
    ],
)
def test_what_is_read_is_not_written(capsys, folder, words, said):
    before = contents(folder)
    answer = call(capsys, *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "hint: name a" in answer.err
    assert contents(folder) == before


def test_a_store_does_not_replace_the_folder_of_the_file_that_it_is_made_of(capsys, folder):
    inside = folder / "new.kotovec" / "v.vec"
    inside.parent.mkdir()
    inside.write_text("2 1\na 1\nb 2\n")
    answer = call(capsys, "convert", inside, inside.parent, "--overwrite")
    assert (answer.code, answer.err.splitlines()[0]) == (
        2, f"error: {inside.parent} cannot be written: {inside} is read"
    )  # fmt: skip
    assert inside.read_text() == "2 1\na 1\nb 2\n"


def test_other_files_beside_what_is_read_are_written(capsys, folder):
    answer = call(capsys, "evaluate", "analogies", "categories", "--details", "categories/d.jsonl", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert len((folder / "categories" / "d.jsonl").read_text().splitlines()) == 4
    assert call(capsys, "evaluate", "analogies", "categories", "--details", "categories/d.jsonl", "-q").code == 0
