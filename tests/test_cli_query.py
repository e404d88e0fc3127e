"""`kotovec query`: what it prints for people, for programs and for files of expressions."""

import json
import re

import numpy as np
import pytest
from rich.console import Console

import stores
from commands import TEXTS, WORDS, call, isolated_vectors, make_metaspace_store, make_store, start, static_vectors

ANSWER = ["expression", "space", "layer", "metric", "terms", "notes", "results"]
TERM = ["text", "weight", "tokens"]
RESULT = ["rank", "token", "text", "id", "score", "is_input"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("query") / "words.kotovec")


@pytest.fixture
def ask(capsys, store):
    """Ask the store; the answer has `code`, `out`, `err`."""
    return lambda *arguments: call(capsys, "query", "--store", store, *arguments)


@pytest.fixture
def results(ask):
    """Ask for JSON; return the rows of the first answer."""

    def rows(*arguments):
        answer = ask("--json", *arguments)
        assert (answer.code, answer.err) == (0, "")
        return json.loads(answer.out.splitlines()[0])["results"]

    return rows


def expected(query, vectors, metric="l2"):
    """Ids and float64 scores of all tokens, best first, by plain numpy."""
    vectors, query = vectors.astype(np.float64), np.asarray(query, dtype=np.float64)
    scores = ((vectors - query) ** 2).sum(axis=1) if metric == "l2" else vectors @ query
    if metric == "cosine":
        scores = scores / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    order = np.lexsort((np.arange(len(scores)), scores if metric == "l2" else -scores))
    return [(int(row), float(scores[row])) for row in order]


def vector(word, vectors=None):
    return (static_vectors() if vectors is None else vectors)[TEXTS.index(word)].astype(np.float64)


def pairs(rows):
    return [row["id"] for row in rows], [row["score"] for row in rows]


def table_rows(out):
    """The rows of a table as lists of cells."""
    return [line.split() for line in out.splitlines() if line.strip()[:1].isdigit()]


def test_the_table_shows_rank_token_id_score_and_which_results_are_inputs(ask):
    answer = ask("king - man + woman", "-k", 3)
    best = expected(vector("king") - vector("man") + vector("woman"), static_vectors())[:3]
    inputs = {TEXTS.index(word) for word in ("king", "man", "woman")}
    assert answer.code == 0
    assert answer.err == ""
    assert answer.out.splitlines()[0].split() == "king - man + woman (static; squared L2, smaller is nearer)".split()  # noqa: SIM905
    header = next(line.split() for line in answer.out.splitlines() if "rank" in line)
    assert header == ["rank", "token", "id", "score", "input"]
    wanted = [
        [str(rank), TEXTS[row], str(row), f"{score:.4f}", *(["input"] if row in inputs else [])]
        for rank, (row, score) in enumerate(best, start=1)
    ]
    assert table_rows(answer.out) == wanted
    assert wanted[0][1] == "queen"


def test_json_has_exactly_the_documented_keys(ask):
    answer = ask("kings - 0.5*man", "--json", "-k", 2, "--space", "isolated")
    data = json.loads(answer.out)
    assert list(data) == ANSWER
    assert [list(term) for term in data["terms"]] == [TERM, TERM]
    assert [list(row) for row in data["results"]] == [RESULT, RESULT]
    assert (data["expression"], data["space"], data["layer"], data["metric"]) == (
        "kings - 0.5*man",
        "isolated@2",
        2,
        "l2",
    )
    assert data["terms"][0] == {"text": "kings", "weight": 1.0, "tokens": ["king", "##s"]}
    assert data["terms"][1] == {"text": "man", "weight": -0.5, "tokens": ["man"]}
    assert [row["rank"] for row in data["results"]] == [1, 2]


def test_static_has_no_layer(ask):
    assert json.loads(ask("king", "--json").out)["layer"] is None


def test_tsv_is_a_header_and_full_precision_rows_with_notes_on_stderr(ask):
    answer = ask("kings", "--tsv", "-k", 2)
    header, *rows = [line.split("\t") for line in answer.out.splitlines()]
    best = expected((vector("king") + vector("##s")) / 2, static_vectors())[:2]
    assert header == ["space", "rank", "token", "id", "score", "is_input"]
    names = [TEXTS[row].replace("\u200b", "\\u200b") for row, _ in best]
    assert [row[:4] for row in rows] == [
        ["static", str(rank), name, str(row)]
        for rank, (name, (row, _)) in enumerate(zip(names, best, strict=True), start=1)
    ]
    assert [float(row[4]) for row in rows] == pytest.approx([score for _, score in best], rel=1e-12)
    assert answer.err == "note: kings is not one token: the mean of king | ##s\n"


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("layer", [0, 2, -1])
def test_the_metric_and_layer_asked_for_are_the_ones_searched(results, metric, layer):
    vectors = isolated_vectors()[{0: 0, 2: 1, -1: 1}[layer]]
    query = vector("王", vectors) - vector("男", vectors) + vector("女", vectors)
    best = expected(query, vectors, metric)[:7]
    rows = results("王 - 男 + 女", "--space", "isolated", "--layer", layer, "--metric", metric, "-k", 7)
    ids, scores = pairs(rows)
    assert ids == [row for row, _ in best]
    assert scores == pytest.approx([score for _, score in best], rel=1e-9)


def test_both_spaces_stand_side_by_side(ask):
    answer = ask("king - man + woman", "--space", "both", "-k", 4)
    rows = table_rows(answer.out)
    sides = []
    for vectors in (static_vectors(), isolated_vectors()[1]):
        query = vector("king", vectors) - vector("man", vectors) + vector("woman", vectors)
        sides.append([[TEXTS[row], str(row), f"{score:.4f}"] for row, score in expected(query, vectors)[:4]])
    marks = [[cell for cell in row if cell != "input"] for row in rows]
    assert marks == [[str(n + 1), *left, *right] for n, (left, right) in enumerate(zip(*sides, strict=True))]
    assert "static | isolated, layer 2" in answer.out.splitlines()[0]


def test_both_spaces_as_json_are_a_line_each(ask):
    lines = ask("king", "--space", "both", "--json").out.splitlines()
    assert [json.loads(line)["space"] for line in lines] == ["static", "isolated@2"]


def test_exclude_inputs_leaves_out_the_inputs_and_the_subwords_of_a_term(results):
    everything = {row["text"] for row in results("kings - man", "-k", len(TEXTS))}
    left = {row["text"] for row in results("kings - man", "-k", len(TEXTS), "--exclude-inputs")}
    assert everything - left == {"king", "##s", "man"}


def test_words_only_leaves_out_subwords_specials_unused_and_empty_tokens(results):
    texts = {row["text"] for row in results("king", "-k", len(TEXTS), "--words-only")}
    assert texts == {*WORDS, "[bold]x[/bold]", "\x1b[31mred", "a\tb", "zero\u200bwidth"}


def test_unit_terms_scale_each_term_to_length_one(results):
    terms = [vector(word) / np.linalg.norm(vector(word)) for word in ("king", "man", "woman")]
    best = expected(terms[0] - terms[1] + terms[2], static_vectors(), "cosine")[:5]
    rows = results("king - man + woman", "--unit-terms", "--metric", "cosine", "-k", 5)
    ids, scores = pairs(rows)
    assert ids == [row for row, _ in best]
    assert scores == pytest.approx([score for _, score in best], rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "rendered"),
    [
        (["-男 + 王"], "-男 + 王"),
        (["-man + king"], "-man + king"),
        (["-king+man"], "-king + man"),
        (["-king"], "-king"),
        (["--", "-king"], "-king"),
        (["- king"], "-king"),
        (["-k5", "king"], "king"),
        (["-k", "5", "king"], "king"),
        (["-q", "king"], "king"),
        (["王－男＋女"], "王 - 男 + 女"),
        (["（王 − 男）＊２ ＋ 女"], "2*王 - 2*男 + 女"),
        (["#6 + 'man'"], "#6 + man"),
    ],
)
def test_a_leading_minus_begins_an_expression_and_options_stay_options(ask, arguments, rendered):
    answer = ask("--json", *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)["expression"] == rendered


def test_the_number_behind_k_is_how_many_are_shown(results):
    assert [len(results("king", *given)) for given in (["-k5"], ["-k", "5"], ["-k", "1"], [])] == [5, 5, 1, 10]


def test_a_mistyped_option_is_an_error_and_no_expression(ask):
    answer = ask("--typo", "king")
    assert (answer.code, answer.out) == (2, "")
    assert "error: unknown option `--typo`\nhint: see `kotovec query --help`\n" in answer.err


def test_a_mean_of_subwords_is_said_and_doubly_so_in_the_isolated_space(ask):
    static, isolated = ask("kings").out, ask("kings", "--space", "isolated").out
    assert "note: kings is not one token: the mean of king | ##s\n" in static
    assert "only approximates" not in static
    assert "note: a mean of isolated vectors only approximates the word" in isolated
    assert "note:" not in ask("king").out


def test_the_form_taken_is_said_where_a_word_has_two(capsys, tmp_path):
    path = make_metaspace_store(tmp_path / "forms.kotovec")
    bare = call(capsys, "query", "--store", path, "king", "-k", 1)
    initial = call(capsys, "query", "--store", path, "▁king", "-k", 1)
    only = call(capsys, "query", "--store", path, "queen", "-k", 1)
    assert "note: king is the form inside a word; for the one that begins a word write _king" in bare.out
    assert "note:" not in initial.out
    assert "note: queen is ▁queen, which begins a word" in only.out
    assert [table_rows(answer.out)[0][1] for answer in (bare, initial, only)] == ["king", "▁king", "▁queen"]


def test_an_approximate_index_is_said_and_exact_goes_round_it(capsys, tmp_path):
    path = make_store(tmp_path / "words.kotovec")
    assert call(capsys, "index", "--store", path, "--factory", "HNSW4", "--quiet").code == 0
    assert "found with the approximate index HNSW4" in call(capsys, "query", "--store", path, "king").out
    assert "approximate" not in call(capsys, "query", "--store", path, "king", "--exact").out


LINES = ["king - man + woman", "king - king", "nosuchword", "  王  ", "king -", "#9999", "kings"]


@pytest.mark.parametrize("through", ["file", "stdin"])
def test_a_file_gives_one_json_line_for_each_line_in_order(store, tmp_path, through):
    path = tmp_path / "expressions.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    with path.open(encoding="utf-8") as stdin:
        name = path if through == "file" else "-"
        done = start("query", "--store", store, "--file", name, "-k", 3, "--exclude-inputs", stdin=stdin)
    assert done.returncode == 2
    data = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["expression"] for line in data] == [line.strip() for line in LINES]
    assert [list(line) for line in data if "error" not in line] == [ANSWER] * 3
    errors = {line["expression"]: line["error"] for line in data if "error" in line}
    assert list(errors) == ["king - king", "nosuchword", "king -", "#9999"]
    assert "zero vector" in errors["king - king"]
    hints = {line["expression"]: line["hint"] for line in data if "error" in line}
    assert hints["king - king"] == "leave out the terms that cancel"
    assert hints["#9999"] == "list the ids with `kotovec tokens`"
    assert "not in the vocabulary" in errors["nosuchword"]
    assert data[0]["results"][0]["text"] == "queen"
    assert done.stderr == "error: 4 of 7 lines could not be answered; each says why\n"


def test_lines_of_a_file_are_answered_as_they_are_one_by_one(ask, tmp_path):
    lines = ["king - man + woman", "王 + 女", "kings", "-boy + girl"]
    path = tmp_path / "expressions.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for options in (["--metric", "cosine"], ["--space", "both"]):
        together = ask("--file", path, *options)
        alone = "".join(ask("--json", line, *options).out for line in lines)
        assert (together.code, together.err) == (0, "")
        assert together.out == alone


def test_only_a_newline_ends_a_line_and_a_byte_order_mark_is_no_token(ask, tmp_path):
    path = tmp_path / "expressions.txt"
    path.write_bytes("\ufeffking\r\n\nman\u2028woman\n".encode())
    data = [json.loads(line) for line in ask("--file", path).out.rstrip("\n").split("\n")]
    assert [line["expression"] for line in data] == ["king", "man\u2028woman"]
    assert ["error" in line for line in data] == [False, True]


def test_an_option_that_fits_no_line_is_one_error_and_no_output(ask, tmp_path):
    path = tmp_path / "expressions.txt"
    path.write_text("king\nnosuchword\n", encoding="utf-8")
    answer = ask("--file", path, "-k", 0)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: k is 0")


def test_an_empty_file_gives_nothing(ask, tmp_path):
    path = tmp_path / "empty.txt"
    path.touch()
    answer = ask("--file", path)
    assert (answer.code, answer.out, answer.err) == (0, "", "")


@pytest.mark.parametrize("width", [80, 60, 40])
def test_a_narrow_terminal_cuts_no_number_and_no_token(monkeypatch, ask, results, width):
    """Side by side where there is room, else one space below the other."""
    monkeypatch.setattr("kotovec.cli.tables.console", lambda **_: Console(width=width, highlight=False))
    answer = ask("king - man + woman", "--space", "both", "-k", 5)
    assert "…" not in answer.out
    assert answer.out.count("rank") == (1 if width == 80 else 2)
    assert all(len(line) <= width for line in answer.out.splitlines())
    for space in ("static", "isolated"):
        for hit in results("king - man + woman", "--space", space, "-k", 5):
            assert str(hit["id"]) in answer.out.split()
            assert f"{hit['score']:.4f}" in answer.out.split()


def test_static_has_no_layers(ask):
    answer = ask("king", "--layer", 2)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: static has no layer 2\nhint: choose `isolated` for a layer\n"


def test_a_file_is_answered_in_json_alone(ask, tmp_path):
    (tmp_path / "asked").write_text("king\n")
    answer = ask("--file", tmp_path / "asked", "--tsv")
    assert (answer.code, answer.out) == (2, "")
    assert "\nhint: leave out --tsv\n" in answer.err


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
def test_a_json_line_is_one_line_for_every_reader(capsys, tmp_path, separator):
    """str.splitlines and JavaScript break at these, which a token may hold."""
    texts = [f"a{separator}b", "c"]
    path = stores.write_store(tmp_path / "a.kotovec", stores.make_tokens(texts), np.eye(2))
    answer = call(capsys, "query", "--store", path, "#0", "-k", 1, "--json")
    (line,) = answer.out.splitlines()
    assert json.loads(line)["results"][0]["text"] == texts[0]


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ("king - man + woman", "king - man + woman"),
        ("king -man +woman", "king - man + woman"),
        ("-man + king", "-man + king"),
        ("王 − 男 + 女", "王 - 男 + 女"),
        ("king - man --metric cosine + woman -k 3", "king - man + woman"),
        ("2*king -2*man", "2*king - 2*man"),
        ("king - 0.5 * man", "king - 0.5*man"),
    ],
)
def test_an_expression_needs_no_quotes(store, capsys, words, expression):
    answer = call(capsys, "query", "--store", store, "--json", *words.split(" "))
    assert (answer.code, json.loads(answer.out)["expression"]) == (0, expression)


def test_a_text_in_quotes_among_other_arguments_is_one_term(store, capsys):
    answer = json.loads(call(capsys, "query", "--store", store, "--json", "kings man", "+", "king").out)
    assert [term["text"] for term in answer["terms"]] == ["kings man", "king"]
    answer = json.loads(call(capsys, "query", "--store", store, "--json", "king - man", "+", "woman").out)
    assert answer["expression"] == "king - man + woman"


def test_a_star_that_the_shell_took_for_file_names_is_said(store, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    answer = call(capsys, "query", "--store", store, "0.5", "a.txt", "b.txt", "king")
    assert answer.code == 2
    assert answer.err.splitlines() == [
        "error: the expression holds the names of all files here (a.txt, …)",
        "hint: put an expression with * in quotes: the shell replaces it",
    ]


def test_the_answer_is_bold_inputs_are_dim_and_the_direction_is_said_once(store, monkeypatch, capsys):
    from kotovec.cli import tables
    from kotovec.store import Store

    answers = [Store.open(store).search("king - man + woman", space=space, k=10) for space in ("static", "isolated")]
    for width, tables_shown in ((100, 1), (40, 2)):
        out = Console(force_terminal=True, color_system="standard", width=width, highlight=False, no_color=True)
        monkeypatch.setattr(tables, "console", lambda out=out: out)
        tables.print_answers(answers)
        shown = capsys.readouterr().out
        assert shown.count("rank") == tables_shown
        plain = re.sub(r"\x1b\[\d+m", "", shown)
        assert len(re.findall("smaller\\s+is\\s+nearer", plain)) == 1
        assert re.search("\x1b\\[1mqueen *\x1b\\[0m", shown)
        assert not re.search("\x1b\\[[0-9;]*m(女王|王) *\x1b", shown)
        dim = re.findall("\x1b\\[2m([a-z]+) *\x1b\\[0m", shown)
        assert set(dim) - {"input"} <= {"king", "man", "woman"}
        assert "input" in dim
        title = " ".join(re.sub("\x1b\\[[0-9;]*m", "", shown).split("rank")[0].split())
        assert "(static | isolated, layer 2; squared L2, smaller is nearer)" in title


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("l2", "squared L2, smaller is nearer"),
        ("cosine", "cosine, larger is nearer"),
        ("ip", "inner product, larger is nearer"),
    ],
)
def test_a_title_says_how_to_read_a_score(store, capsys, metric, direction):
    answer = call(capsys, "query", "--store", store, "king", "--metric", metric)
    assert answer.out.splitlines()[0] == f"king  (static; {direction})"


def test_json_and_python_use_the_same_word(store, capsys):
    from kotovec.store import Store

    found = Store.open(store).search("king - man + woman", k=3)
    told = json.loads(call(capsys, "query", "--store", store, "--json", "-k", 3, "king - man + woman").out)
    assert [row["token"] for row in told["results"]] == [hit.token for hit in found.results]
    assert found.hits is found.results  # its name in kotovec 0.1


HYPHEN = 'king-man is read as king - man; for the word write "king-man", with its quotes'


@pytest.mark.parametrize("options", [[], ["--quiet"], ["--tsv"], ["--tsv", "--quiet"]])
def test_a_note_on_the_reading_is_printed_also_if_quiet(store, capsys, options):
    answer = call(capsys, "query", "--store", store, "king-man", *options)
    assert answer.code == 0
    note = "note: king-man is read as king - man; for the word write '\"king-man\"'\n"  # bash takes the outer quotes
    assert (answer.err if options else answer.out).endswith(note)
    assert (answer.err == "") == (options == [])
    assert ("note:" in answer.out) == (options == [])


def test_a_hyphenated_word_is_noted_in_json_files_the_shell_and_python(store, capsys, tmp_path):
    from kotovec.store import Store

    (tmp_path / "asked").write_text('king-man\nking-man+woman\n"king"\n', encoding="utf-8")
    lines = call(capsys, "query", "--store", store, "--file", tmp_path / "asked").out.splitlines()
    assert [json.loads(line)["notes"] for line in lines] == [[HYPHEN], [], []]
    assert json.loads(call(capsys, "query", "--store", store, "king-man", "--json").out)["notes"] == [HYPHEN]
    with Store.open(store) as opened:
        assert opened.search("king-man").notes == (HYPHEN,)
        assert opened.search("king - man").notes == ()
        assert opened.question("king-man").notes(opened.space("static")) == (HYPHEN,)


def test_what_a_hint_puts_in_quotes_has_the_quotes_that_a_shell_takes(store, capsys):
    for expression, hint in (
        ("king + + man", """hint: put an operator that is a token in quotes: '"+"'"""),
        ("king man", """hint: put + or - before this, or quotes around words that belong together: '"a b"'"""),
        ("-", """hint: use `--file -` for standard input, or '"-"' for the token"""),
    ):
        assert call(capsys, "query", "--store", store, expression).err.splitlines()[-1] == hint


def test_quotes_of_any_keyboard_and_an_apostrophe_are_read_on_a_command_line(ask, store):
    def expression(*arguments):
        return json.loads(ask("--json", "-k", 1, *arguments).out)["expression"]

    for quoted_ in ("”女王” - 王", "「女王」 - 王", "„女王“ - 王", "＂女王＂ - 王", "’女王’ - 王"):
        assert expression(quoted_) == "女王 - 王"
        assert expression(*quoted_.split()) == "女王 - 王"
    assert ask("king", "+", "don’t know").err.startswith("error: `don’t know` is not in the vocabulary")


def test_a_minus_between_kana_that_was_typed_for_a_long_vowel_is_noted(capsys, tmp_path):
    tokens = stores.make_tokens(["[UNK]", "ラ", "メン", "ラーメン"])
    path = stores.write_store(tmp_path / "kana.kotovec", tokens, np.eye(4))
    answer = json.loads(call(capsys, "query", "--store", path, "ラ－メン", "--json").out)
    assert answer["expression"] == "ラ - メン"
    assert answer["notes"] == ["ラ－メン is read as a subtraction; for the letter ー write ラーメン"]
    answer = json.loads(call(capsys, "query", "--store", path, "ラ-メン", "--json").out)
    assert answer["notes"] == ["ラ-メン is read as a subtraction; for the letter ー write ラーメン"]
