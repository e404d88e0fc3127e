"""`kotovec convert`: what it prints, and that every command answers of an imported store."""

import json

import pytest

import kotovec

from commands import call, make_store

VECTORS = (
    "8 3\nking 3 0 1\nqueen 3 3 1\nman 0 0 1\nwoman 0 3 1\nboy 0 0 2\ngirl 0 3 2\nprince 3 0 2\nnew-york 1 -2 -1\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from kotovec.cli.app import run

    folder = tmp_path_factory.mktemp("convert")
    (folder / "a.vec").write_text(VECTORS)
    assert run(["convert", str(folder / "a.vec"), str(folder / "a.kotovec")]) == 0
    return folder


def test_an_import_and_an_export_print_what_they_wrote(capsys, folder, tmp_path):
    made = call(capsys, "convert", folder / "a.vec", tmp_path / "b.kotovec")
    shown = f"8 words × 3 dimensions of {folder / 'a.vec'} (fasttext) imported into {tmp_path / 'b.kotovec'}\n"
    assert (made.code, made.err, made.out) == (0, "", shown)
    made = call(capsys, "convert", tmp_path / "b.kotovec", tmp_path / "b.txt")
    shown = f"8 words × 3 dimensions of imported written to {tmp_path / 'b.txt'} (word2vec)\n"
    assert (made.code, made.err, made.out) == (0, "", shown)
    assert (tmp_path / "b.txt").read_text().splitlines()[:2] == ["8 3", "king 3.0 0.0 1.0"]


def test_escapes_are_noted_once_and_undone_when_asked(capsys, tmp_path):
    store = make_store(tmp_path / "a.kotovec")
    made = call(capsys, "convert", store, tmp_path / "a.vec", "--space", "isolated", "--layer", 0)
    note = f"note: 2 words that fasttext cannot hold as they are escaped, listed in {tmp_path / 'a.vec'}.escaped.tsv"
    undone = f"`kotovec convert {tmp_path / 'a.vec'} NAME.kotovec --escaped` undoes it"
    assert made.err == f"{note}; {undone}\n"
    assert made.out.startswith("25 words × 8 dimensions of isolated@0 written to ")
    plain = call(capsys, "convert", tmp_path / "a.vec", tmp_path / "b.kotovec")
    listing = f"{tmp_path / 'a.vec'}.escaped.tsv"
    assert plain.err == f"note: {listing} lists escaped words, which --escaped would undo\n"
    back = call(capsys, "convert", tmp_path / "a.vec", tmp_path / "b.kotovec", "--escaped", "--overwrite")
    assert (back.code, back.err) == (0, "")


def test_a_list_of_escapes_does_not_outlive_the_file_that_it_is_of(capsys, folder, tmp_path):
    file, listing = tmp_path / "a.vec", tmp_path / "a.vec.escaped.tsv"
    odd = make_store(tmp_path / "odd.kotovec")
    assert call(capsys, "convert", odd, file).code == 0
    before = listing.read_bytes()
    file.unlink()
    refused = call(capsys, "convert", folder / "a.kotovec", file)
    assert refused.err.startswith(f"error: {listing} exists\nhint: add --overwrite")
    assert (listing.read_bytes(), file.exists()) == (before, False)
    assert call(capsys, "convert", folder / "a.kotovec", file, "--overwrite").code == 0
    assert not listing.exists()
    plain = call(capsys, "convert", file, tmp_path / "b.kotovec")
    assert (plain.code, plain.err) == (0, "")
    with kotovec.open(tmp_path / "b.kotovec") as back, kotovec.open(folder / "a.kotovec") as store:
        assert list(back.tokens.texts) == list(store.tokens.texts)
    listing.write_text("notes of mine\n")
    assert call(capsys, "convert", folder / "a.kotovec", file, "--overwrite").code == 0
    assert listing.read_text() == "notes of mine\n"
    assert call(capsys, "convert", file, tmp_path / "c.kotovec").err == ""


def test_the_answers_of_an_imported_store(capsys, folder):
    store = ("--store", folder / "a.kotovec")
    found = json.loads(call(capsys, "query", "king - man + woman", "-k", 1, "--json", *store).out)
    assert (found["space"], found["results"][0]["token"], found["results"][0]["score"]) == ("imported", "queen", 0.0)
    norms = call(capsys, "norms", "queen", *store)
    assert norms.out.splitlines()[-1].split() == ["queen", "queen", "4.3589"]
    listed = call(capsys, "tokens", "princ", "--columns", "id,text,kind", "--tsv", *store)
    assert (listed.code, listed.out) == (0, "id\ttext\tkind\n6\tprince\tword\n")
    listed = call(capsys, "tokens", "--sort", "norm", "--tsv", "--columns", "id,norm", *store)
    assert listed.out.splitlines()[1] == "2\t1.0"
    verified = call(capsys, "verify", *store)
    assert (verified.code, verified.err) == (0, "")
    unknown = call(capsys, "query", "prinec", *store)
    problem = "error: `prinec` is not one of the 8 words of this store"
    assert (unknown.code, unknown.out, unknown.err.splitlines()[0]) == (2, "", problem)
    absent = call(capsys, "query", "king", "--space", "isolated", *store)
    assert absent.err == "error: isolated is not in this store: it holds imported\nhint: choose `imported`\n"


def test_info_of_an_imported_store(capsys, folder):
    lines = call(capsys, "info", "--store", folder / "a.kotovec").out.splitlines()
    about = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines}
    assert about["words"] == "8 of a.vec (fasttext)"
    assert about["imported"] == "8 × 3 float32"
    assert "model" not in about
    info = json.loads(call(capsys, "info", "--json", "--store", folder / "a.kotovec").out)
    assert info["provenance"]["imported"]["format"] == "fasttext"
    assert info["spaces"] == {"imported": {"shape": [8, 3], "dtype": "float32"}}


def test_an_index_a_map_and_an_evaluation_of_an_imported_store(capsys, folder, tmp_path):
    store = ("--store", folder / "a.kotovec")
    built = call(capsys, "index", "--metric", "cosine", *store)
    assert (built.code, built.out.strip()) == (0, "index  imported; cosine Flat")
    drawn = call(capsys, "map", "--method", "pca", "--html", tmp_path / "a.html", "-q", *store)
    assert (drawn.code, drawn.err) == (0, "")
    assert "new-york" in (tmp_path / "a.html").read_text()
    (tmp_path / "a.txt").write_text(": family\nking queen man woman\nboy girl man woman\n")
    solved = call(capsys, "evaluate", "analogies", tmp_path / "a.txt", "--measure", "3cosadd", "--json", *store)
    assert solved.code == 0, solved.err
    assert "imported" in solved.out
    (tmp_path / "a.tsv").write_text("king\tqueen\t9\nking\tboy\t1\nman\twoman\t8\ngirl\twoman\t7\n")
    compared = call(capsys, "evaluate", "pairs", tmp_path / "a.tsv", *store)
    assert compared.code == 0, compared.err


def test_a_shell_of_an_imported_store(folder):
    from commands import start

    done = start("shell", "--store", folder / "a.kotovec", input="king - man + woman\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "queen" in done.stdout


@pytest.mark.parametrize(
    ("words", "err"),
    [
        ((), "error: two paths are needed\nhint: write `kotovec convert FROM TO`\n"),
        (("a.vec", "b.vec"), "error: b.vec is neither a store nor made from one\n"),
        (("none.vec", "b.kotovec"), "error: there is no file none.vec\nhint: check its name\n"),
        (("none.kotovec", "b.vec"), None),
        (("a.kotovec", "b.xyz"), "error: b.xyz has an ending of no known format\n"),
        (("a.kotovec", "a.vec"), "error: a.vec exists\nhint: add --overwrite to replace it, or name another file\n"),
        (("a.vec", "a.kotovec"), "error: a.kotovec exists\nhint: add --overwrite to replace it, or name "),
        (("a.kotovec", "b.vec", "--format", "glvoe"), "error: unknown format `glvoe`\n"),
        (("a.kotovec", "b.vec", "--words", "w.txt"), "error: --words is of an import\nhint: leave it out\n"),
        (("a.vec", "b.kotovec", "--space", "static"), "error: --space is of an export\nhint: leave it out\n"),
        (("a.vec", "b.kotovec", "--layer", "1"), "error: --layer is of an export\nhint: leave it out\n"),
        (("a.kotovec", "b.vec", "--escaped"), "error: --escaped is of an import\n"),
        (("a.kotovec", "b.vec", "--space", "static"), "error: static is not in this store: it holds imported\n"),
        (("a.kotovec", "none/b.vec"), "error: there is no folder none\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_one_line_with_a_hint(capsys, monkeypatch, folder, words, err):
    monkeypatch.chdir(folder)
    refused = call(capsys, "convert", *words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(err or "error: ")
    assert len(refused.err.splitlines()) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["a.kotovec", "a.vec"]
