"""`kotovec evaluate pairs`: correlations, their intervals, which pairs are asked, and what is printed."""

import json
import math
import re
import sys
from itertools import pairwise

import numpy as np
import pytest

from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.evaluation.correlations import Ranked, pearson, spearman
from kotovec.store.evaluation.intervals import Estimate, draw_items
from kotovec.store.evaluation.pairs import Asked, evaluate_pairs
from kotovec.store.evaluation.similarity import Pair
from kotovec.store.evaluation.words import Multi, Policy, find_words

import stores
from commands import TEXTS, WORDS, call, make_store, static_vectors


def samples():
    random = np.random.default_rng(5)
    for count in (2, 3, 10, 100):
        for ties in (2, 5, 10**6):
            yield random.integers(ties, size=count).astype(float), random.normal(size=count).round(1)


@pytest.mark.parametrize(("x", "y"), list(samples()))
@pytest.mark.filterwarnings("ignore")
def test_correlations_are_scipys(x, y):
    stats = pytest.importorskip("scipy.stats")
    assert Ranked(x).ranks().tolist() == stats.rankdata(x).tolist()
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12, nan_ok=True)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12, nan_ok=True)


def test_correlations_by_hand():
    assert spearman(np.array([1.0, 2, 2, 4]), np.array([10.0, 30, 30, 40])) == 1.0
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 4, 3: deviations −1.5, 0, 0, 1.5 and −1.5, −.5, 1.5, .5.
    assert spearman(np.array([1.0, 2, 2, 4]), np.array([1.0, 2, 4, 3])) == pytest.approx(3 / math.sqrt(4.5 * 5))
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert math.isnan(pearson(np.full(5, 0.1) * 3, np.arange(5.0)))
    assert math.isnan(pearson(np.empty(0), np.empty(0)))


def test_weights_count_as_often_as_the_values_would_stand_there():
    random = np.random.default_rng(1)
    x, y = random.integers(5, size=30).astype(float), random.normal(size=30)
    weights = next(iter(draw_items(30, seed=3, draws=4)))
    assert weights.sum(axis=1).tolist() == [30] * 4
    again = [np.repeat(np.arange(30), each) for each in weights]
    ranks = Ranked(x), Ranked(y)
    assert pearson(x, y, weights) == pytest.approx([float(pearson(x[each], y[each])) for each in again], abs=1e-12)
    weighted = pearson(*(each.ranks(weights) for each in ranks), weights)
    assert weighted == pytest.approx([spearman(x[each], y[each]) for each in again], abs=1e-12)


PAIRS = [Pair("king", "queen", 8), Pair("man", "woman", 9), Pair("boy", "princess", 2), Pair("王", "女王", 7)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The words, and in `context@2` all of them but 女王."""
    path = make_store(tmp_path_factory.mktemp("pairs") / "words.kotovec")
    counts = np.ones(len(TEXTS), dtype=np.int64)
    counts[TEXTS.index("女王")] = 0
    stores.add_means(path, Space("context", 2), static_vectors()[:, ::-1] ** 2, counts)
    return path


def cosine(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def test_all_spaces_are_asked_the_pairs_that_each_of_them_has(store):
    with Store.open(store) as opened:
        spaces = [Space("static"), Space("isolated", 2)]
        static, isolated = evaluate_pairs([Asked("a", opened, spaces)], PAIRS, Policy())
        both = evaluate_pairs([Asked("a", opened, [*spaces, Space("context", 2)])], PAIRS, Policy())
    vectors = static_vectors()
    expected = [cosine(vectors[TEXTS.index(each.word1)], vectors[TEXTS.index(each.word2)]) for each in PAIRS]
    assert static.cosines == pytest.approx(expected, abs=1e-12)
    assert static.spearman.value == pytest.approx(spearman(np.array(expected), np.array([8.0, 9, 2, 7])))
    assert static.difference is None
    assert isolated.difference.value == pytest.approx(isolated.spearman.value - static.spearman.value)
    assert [each.counts.asked for each in (static, isolated)] == [4, 4]
    assert [each.counts.asked for each in both] == [3, 3, 3]
    assert (both[0].counts.absent, both[0].counts.missing, both[0].counts.words) == (1, 1, 8)
    assert np.isnan(both[0].cosines).tolist() == [False, False, False, True]
    assert both[0].cosines[:3].tolist() == static.cosines[:3].tolist()
    assert both[0].spearman.value == pytest.approx(spearman(static.cosines[:3], np.array([8.0, 9, 2])))


def test_the_same_space_differs_by_nothing_and_the_seed_decides_the_draws(store, tmp_path):
    other = make_store(tmp_path / "other.kotovec")
    with Store.open(store) as first, Store.open(other) as second:
        asked = [Asked("a", first, [Space("static")]), Asked("b", second, [Space("static")])]
        alone = evaluate_pairs(asked, PAIRS, Policy())
        common = evaluate_pairs(asked, PAIRS, Policy(), common=True)
        many = [Pair(a, b, len(a)) for a, b in pairwise(WORDS)]
        seeded = [evaluate_pairs(asked[:1], many, Policy(), seed=seed)[0].pearson for seed in (0, 0, 1)]
    assert [each.difference for each in alone] == [None, None]
    assert common[1].difference == Estimate(0.0, 0.0, 0.0)
    assert common[0].spearman == alone[0].spearman
    assert seeded[0] == seeded[1] != seeded[2]
    assert seeded[0].value == seeded[2].value


def test_words_of_several_tokens_are_skipped_or_means(store):
    with Store.open(store) as opened:
        skipped = find_words(opened.lookup, ["king", "kings", "Queen", "xyz", "女王"], Policy())
        means = find_words(opened.lookup, ["king", "kings", "Queen"], Policy(Multi.MEAN, lower=True))
        array = opened.array("static")
    assert skipped.known.tolist() == [True, False, False, False, True]
    assert skipped.several.tolist() == [False, True, False, False, False]
    assert means.known.tolist() == [True, True, True]
    assert means.of(1).tolist() == [TEXTS.index("king"), TEXTS.index("##s")]
    king, kings, queen = means.vectors(array, np.array([0, 1, 2]))
    assert king.tolist() == array[TEXTS.index("king")].tolist()
    assert kings == pytest.approx((king + array[TEXTS.index("##s")]) / 2, abs=1e-12)
    assert queen.tolist() == array[TEXTS.index("queen")].tolist()


def test_a_store_without_a_tokenizer_has_no_words_of_several_tokens(tmp_path):
    path = stores.write_store(tmp_path / "a.kotovec", stores.make_tokens(["king", "##s"]), np.eye(2))
    with Store.open(path) as opened:
        found = find_words(opened.lookup, ["king", "kings"], Policy(Multi.MEAN))
    assert (found.known.tolist(), found.several.tolist()) == ([True, False], [False, False])


def write(path, pairs=PAIRS):
    path.write_text("".join(f"{each.word1}\t{each.word2}\t{each.score}\n" for each in pairs), encoding="utf-8")
    return path


def test_the_command_prints_a_table_with_what_was_asked(capsys, store, tmp_path):
    file = write(tmp_path / "few.tsv", [*PAIRS, Pair("kings", "no-such", 1)])
    answer = call(capsys, "evaluate", "pairs", file, "--store", store, "--space", "static,isolated,context")
    assert (answer.code, answer.err) == (0, "")
    title, head, _, *rows = answer.out.splitlines()
    assert title == (
        "few: 5 pairs, 3 asked; 3 of 10 words missing (1 unknown, 1 of several tokens, 1 without a vector in a space); "
        "--multi skip, words as they are"
    )
    assert re.split("  +", head) == ["space", "Spearman", "95 %", "Pearson", "95 %", "difference", "95 %"]
    assert [re.split("  +", row)[0] for row in rows] == ["static", "isolated@2", "context@2"]
    every = call(capsys, "evaluate", "pairs", file, "--store", store, "--space", "isolated", "--layers", "all").out
    assert [row.split()[0] for row in every.splitlines()[3:]] == ["isolated@0", "isolated@2"]


def test_json_has_a_stable_schema_and_details_have_every_pair(capsys, store, tmp_path):
    file, details = write(tmp_path / "few.tsv"), tmp_path / "d.jsonl"
    options = ["--space", "static,context", "--json", "--details", details, "--quiet"]
    answer = call(capsys, "evaluate", "pairs", file, "--store", store, *options)
    assert (answer.code, answer.err) == (0, "")
    static, context = map(json.loads, answer.out.splitlines())
    assert list(static) == [
        "task", "data", "store", "space", "pairs", "asked", "words", "unknown", "several", "absent", "spearman",
        "pearson", "difference", "multi", "lower", "common", "seed",
    ]  # fmt: skip
    assert (static["space"], static["pairs"], static["asked"], static["difference"]) == ("static", 4, 3, None)
    assert set(context["difference"]) == {"value", "low", "high"}
    lines = [json.loads(line) for line in details.read_text().splitlines()]
    assert [line["word2"] for line in lines] == ["queen", "woman", "princess", "女王"]
    assert lines[3]["cosines"] == {"words static": None, "words context@2": None}
    assert lines[0]["cosines"]["words static"] == pytest.approx(cosine(*static_vectors()[[5, 6]]), abs=1e-12)


def test_details_in_parquet_are_those_of_json_lines(capsys, store, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    file, lines, table = write(tmp_path / "few.tsv"), tmp_path / "d.jsonl", tmp_path / "d.PARQUET"
    for details in (lines, table):
        options = ["--store", store, "--space", "static,context", "--details", details]
        assert call(capsys, "evaluate", "pairs", file, file, *options).code == 0
    found = parquet.read_table(table)
    assert found.to_pylist() == [json.loads(line) for line in lines.read_text().splitlines()]
    assert [str(kind) for kind in found.schema.types[:4]] == ["string", "string", "string", "double"]
    assert found["cosines"].to_pylist()[3] == {"words static": None, "words context@2": None}


def test_details_in_parquet_need_pyarrow_before_anything_is_asked(capsys, store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    file, details = write(tmp_path / "few.tsv"), tmp_path / "d.parquet"
    answer = call(capsys, "evaluate", "pairs", file, "--store", store, "--details", details)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: Parquet needs pyarrow\nhint: install it: pip install pyarrow\n"
    assert not details.exists()


def test_each_of_several_stores_is_asked_for_the_spaces_that_it_has(capsys, store, tmp_path):
    other = make_store(tmp_path / "other.kotovec")
    file = write(tmp_path / "few.tsv")
    options = ["--store", store, "--store", other, "--space", "static,context", "--json"]
    lines = [json.loads(line) for line in call(capsys, "evaluate", "pairs", file, *options).out.splitlines()]
    found = [(line["store"], line["space"], line["asked"]) for line in lines]
    assert found == [("words", "static", 3), ("words", "context@2", 3), ("other", "static", 4)]
    lines = [
        json.loads(line) for line in call(capsys, "evaluate", "pairs", file, *options, "--common").out.splitlines()
    ]
    assert [line["asked"] for line in lines] == [3, 3, 3]
    lines = call(capsys, "evaluate", "pairs", file, "--store", store, "--space", "both", "--json").out.splitlines()
    assert [json.loads(line)["space"] for line in lines] == ["static", "isolated@2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "error: no task is given\nhint: choose `pairs` or `analogies`\n"),
        (["pears"], "error: unknown task `pears`\nhint: choose `pairs` or `analogies`\n"),
        (["pairs"], "error: no data set is given\nhint: name a file, as in `kotovec evaluate pairs FILE`"),
        (["pairs", "none.tsv"], "error: none.tsv cannot be read: No such file or directory\n"),
        (
            ["pairs", "few.tsv", "--multi", "max"],
            "error: unknown policy `max` for words of several tokens\nhint: choose",
        ),
        (["pairs", "few.tsv", "--space", "context@9"], "error: layer 9 is not in this store: it holds 2\n"),
        (["pairs", "few.tsv", "--space", "isolated", "--layers", "1"], "error: layer 1 is not in this store"),
        (["pairs", "few.tsv", "--layers", "x", "--space", "isolated"], "error: --layers `x` is not a list of layers\n"),
        (
            ["pairs", "few.tsv", "--measure", "l2"],
            "error: --measure is for analogies, not for pairs\nhint: leave it out",
        ),
        (
            ["analogies", "few.tsv", "--columns", "1,2,3"],
            "error: --columns is for pairs, not for analogies\nhint: leave",
        ),
        (["pairs", "few.tsv", "--seed", "-1"], "error: --seed is -1\nhint: use 0 or more"),
        (
            ["pairs", "google"],
            "error: `google` is for another task\nhint: choose `simlex999`, `wordsim353`, `men` or `rarewords`",
        ),
        (
            ["pairs", "odd.tsv"],
            "error: words: no pair of 1 has both words in all spaces, and a correlation needs 3\nhint: use --lower",
        ),
        (
            ["pairs", "two.tsv"],
            "error: words: 2 of 2 pairs have both words in all spaces, and a correlation needs 3\nhint: use --lower",
        ),
        (
            ["pairs", "even.tsv"],
            "error: words: the scores of all 3 pairs are 5: they correlate with nothing\nhint: choose another column",
        ),
        (["pairs", "empty.tsv"], "error: empty.tsv has no pairs\nhint: write two words and a score per line"),
        (["pairs", "head.tsv"], "error: head.tsv has no pairs below its header\nhint: write two words and a score"),
        (["analogies", "empty.tsv"], "error: `empty.tsv` has no analogies\nhint: write `a a* b b*` per line"),
        (["analogies", "head.txt"], "error: `head.txt` has no analogies\nhint: write `a a* b b*` per line"),
        (["analogies", "one.txt"], "error: `one.txt` has a single pair, and an analogy needs two\nhint: write `a a*"),
        (
            ["analogies", "few.tsv"],
            "error: few.tsv holds word pairs with scores, not analogies\nhint: use `kotovec evaluate pairs few.tsv`\n",
        ),
        (
            ["pairs", "google.txt"],
            "error: google.txt holds analogies, not word pairs with scores\nhint: use `kotovec evaluate analogies goo",
        ),
        (["pairs", "bats.txt"], "error: bats.txt holds analogies, not word pairs with scores\nhint: use `kotovec ev"),
        (["pairs", "verbs.txt"], "error: the first line of verbs.txt is neither a pair with its score nor a known"),
        (
            ["pairs", "few.tsv", "--details", "few.txt"],
            "error: --details few.txt: the name ends in .txt\nhint: name a file that ends in .jsonl or .parquet\n",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_one_error(capsys, monkeypatch, store, tmp_path, arguments, said):
    write(tmp_path / "few.tsv")
    write(tmp_path / "odd.tsv", [Pair("xyz", "zyx", 1)])
    write(tmp_path / "two.tsv", PAIRS[:2])
    write(tmp_path / "even.tsv", [Pair(each.word1, each.word2, 5) for each in PAIRS[:3]])
    others = {
        "empty.tsv": "\n", "head.tsv": "word1\tword2\tscore\n", "head.txt": ": family\n", "one.txt": "man\twoman\n",
        "google.txt": ": family\nman woman king queen\n", "bats.txt": "man\twoman\nking\tqueen\n",
        "verbs.txt": "man\twoman\tN\t6.5\nking\tqueen\tN\t6.25\n",
    }  # fmt: skip
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOTOVEC_STORE", str(store))
    answer = call(capsys, "evaluate", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(said)


def test_a_space_whose_cosines_are_all_equal_has_no_correlation_and_says_so(capsys, tmp_path):
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(6), np.ones((6, 3)))
    file = write(tmp_path / "few.tsv", [Pair(f"t{n}", f"t{n + 1}", n) for n in range(5)])
    answer = call(capsys, "evaluate", "pairs", file, "--store", path)
    assert (answer.code, answer.out.splitlines()[-1].split()) == (0, ["static", *"————"])
    assert answer.err == "note: all cosines of static are equal: they correlate with nothing\n"
    line = json.loads(call(capsys, "evaluate", "pairs", file, "--store", path, "--json").out)
    assert line["spearman"] == line["pearson"] == {"value": None, "low": None, "high": None}


def test_a_store_is_named_once(capsys, store, tmp_path):
    file = write(tmp_path / "few.tsv")
    answer = call(capsys, "evaluate", "pairs", file, "--store", store, "--store", f"{store}/")
    assert (answer.code, answer.err) == (2, "error: a store is named twice\nhint: name each store once\n")


def test_a_store_is_asked_in_some_space(store):
    with Store.open(store) as opened, pytest.raises(InputError, match="a: no space is asked"):
        evaluate_pairs([Asked("a", opened, [])], PAIRS, Policy())


def test_means_of_tokens_are_a_hint_where_words_are_several(capsys, store, tmp_path):
    for words, hint in ((["zyx", "yxz"], "use --lower, or"), (["kings", "mans"], "use --lower or --multi mean, or")):
        file = write(tmp_path / "few.tsv", [Pair(*words, 1)])
        answer = call(capsys, "evaluate", "pairs", file, "--store", store)
        assert f"hint: {hint} ask fewer spaces" in answer.err
