"""Terms are found in the vocabulary as they stand, else through the tokenizer, and the answer says how."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from kotovec.errors import DamagedError, NotStoredError, UnknownTokenError
from kotovec.store import Store
from kotovec.store.expression import Term, parse
from kotovec.store.terms import Lookup
from kotovec.store.tokenizer import checksums
from kotovec.store.tokens import FEW, Marking, Strings

import stores
from commands import call

WORDPIECE = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "王", "##王", "女", "##子", "王子", "king", "##dom", "##s", "queen", "man",
    "woman", "é", "", "u", "##nk", "C++", "2000",
]  # fmt: skip


def wordpiece_tokenizer(texts=WORDPIECE):
    vocabulary = {text: number for number, text in enumerate(texts)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def lookup(tmp_path, texts, marking, tokenizer=None, **more):
    tokens = stores.make_tokens(texts, marking=marking, **more)
    if tokenizer is not None:
        tokenizer.save(str(tmp_path / "tokenizer.json"))
    return Lookup(tokens, tmp_path)


@pytest.fixture
def wordpiece(tmp_path):
    return lookup(tmp_path, WORDPIECE, Marking.WORDPIECE, wordpiece_tokenizer(), special=WORDPIECE[:4])


def found(lookup, text, *, literal=False):
    """The texts of the tokens that a term stands for, and the note."""
    term = lookup.resolve(Term(text, 1.0, 0, literal))
    return [lookup.tokens.texts[row] for row in term.rows], term.note


@pytest.mark.parametrize("text", ["王", "##王", "王子", "[CLS]", "C++", "2000", "##s", "é"])
def test_a_token_is_found_exactly_as_the_vocabulary_spells_it(wordpiece, text):
    assert wordpiece.known(text)
    assert found(wordpiece, text) == ([text], None)


def test_the_tokenizer_alone_would_take_the_continuing_token_apart(wordpiece):
    """Why the vocabulary is asked first."""
    assert wordpiece.tokenize("##王") != ["##王"]
    assert found(wordpiece, "##王") == (["##王"], None)


def test_a_term_keeps_its_text_and_weight(wordpiece):
    term = wordpiece.resolve(Term("王", -0.5, 3))
    assert (term.text, term.weight, term.rows, term.tokens) == ("王", -0.5, (4,), ("王",))


def test_a_word_of_a_text_is_never_a_form_that_only_continues_words(tmp_path):
    """Of SimLex-999, 339 words had the vector of `smart`, in place of `▁smart` or of `▁ang` and `er`."""
    texts = ["<unk>", "▁", "smart", "▁smart", "anger", "▁ang", "er", "王", "▁王", "##ly"]
    pieces = [(text, -1.0 if text.startswith(("▁", "er")) else -9.0) for text in texts]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    of_texts = lookup(tmp_path, texts, Marking.METASPACE, tokenizer, special=["<unk>"], unknown="<unk>")
    for word, expected in {
        "smart": ["▁smart"], "anger": ["▁ang", "er"], "王": ["王"], "_smart": ["▁smart"], "▁smart": ["▁smart"],
    }.items():  # fmt: skip
        assert [texts[row] for row in of_texts.rows(word)] == expected
    assert found(of_texts, "smart")[0] == ["smart"]
    assert [WORDPIECE[row] for row in lookup(tmp_path, WORDPIECE, Marking.WORDPIECE).rows("##s")] == ["##s"]


def test_empty_quotes_name_the_empty_token(wordpiece):
    assert found(wordpiece, "", literal=True) == ([""], None)


def test_without_an_empty_token_empty_quotes_are_unknown(tmp_path):
    with pytest.raises(UnknownTokenError, match="no token ``"):
        found(lookup(tmp_path, ["王", "女"], Marking.WORDPIECE), "", literal=True)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [("王王", ["王", "##王"]), ("kingdoms", ["king", "##dom", "##s"]), ("Kings", ["king", "##s"])],
)
def test_a_word_of_several_subwords_is_their_mean_and_says_so(wordpiece, text, pieces):
    assert not wordpiece.known(text)
    assert found(wordpiece, text) == (pieces, f"{text} is not one token: the mean of {' | '.join(pieces)}")


def test_a_word_that_the_tokenizer_reads_as_another_token_says_which(wordpiece):
    assert found(wordpiece, "KING") == (["king"], "KING is read as king")


@pytest.mark.parametrize(("text", "row"), [("#4", 4), ("#0", 0), ("#16", 16)])
def test_a_token_is_found_by_its_number(wordpiece, text, row):
    assert wordpiece.known(text)
    assert wordpiece.resolve(Term(text, 1.0, 0)).rows == (row,)


@pytest.mark.parametrize("text", ["#21", "#99999999999999999999", "#" + "9" * 5000])
def test_a_number_of_no_token_names_the_last_one(wordpiece, text):
    assert not wordpiece.known(text)
    with pytest.raises(NotStoredError, match="ids go up to 20"):
        found(wordpiece, text)


def test_numbers_are_token_ids_not_rows(tmp_path):
    gaps = lookup(tmp_path, ["王", "女", "男"], Marking.WORDPIECE, ids=[3, 10, 500])
    assert found(gaps, "#10") == (["女"], None)
    with pytest.raises(NotStoredError, match="no token #4: its ids go up to 500"):
        found(gaps, "#4")


def test_a_number_that_is_also_a_text_is_an_id_and_a_note_says_how_to_write_the_text(tmp_path):
    """`#2` was the token with this id without a word, and the token of this text was not found."""
    table = lookup(tmp_path, ["a", "#2", "b", "#1", "#9", "＃3"], Marking.WORDPIECE)
    assert found(table, "#2") == (["b"], '#2 is the id of b; for the token #2 write "#2", with its quotes')
    assert found(table, "#1") == (["#2"], '#1 is the id of #2; for the token #1 write "#1", with its quotes')
    assert found(table, "＃3") == (["#1"], '＃3 is the id of #1; for the token ＃3 write "＃3", with its quotes')
    assert found(table, "#2", literal=True) == (["#2"], None)
    assert found(table, "#0") == (["a"], None)
    with pytest.raises(NotStoredError, match=r'no token #9.*\nhint: for the token #9 write "#9", with its quotes'):
        found(table, "#9")
    same = lookup(tmp_path, ["a", "#1"], Marking.WORDPIECE)
    assert found(same, "#1") == (["#1"], None)


def test_a_text_that_looks_like_an_id_keeps_its_quotes_in_the_answer(tmp_path, capsys):
    store = stores.write_store(tmp_path / "x.kotovec", stores.make_tokens(["a", "#2", "b"]), np.eye(3))
    by_id, by_text = (Store.open(store).search(asked) for asked in ("#2 + a", '"#2" + a'))
    assert (by_id.expression, by_text.expression) == ("#2 + a", '"#2" + a')
    assert [hit.token for hit in by_id.results[:2]] == ["a", "b"]
    assert [hit.token for hit in by_text.results[:2]] == ["a", "#2"]
    assert Store.open(store).search(by_text.expression).results == by_text.results
    out = call(capsys, "query", "#2", "--store", store).out
    assert "note: #2 is the id of b; for the token #2 write '\"#2\"'\n" in out
    assert call(capsys, "norms", '"#2"', "--store", store).out.splitlines()[2].split()[:2] == ['"#2"', "#2"]


def test_in_quotes_a_number_is_a_text(tmp_path):
    assert found(lookup(tmp_path, ["a", "b", "#0"], Marking.WORDPIECE), "#0", literal=True) == (["#0"], None)


@pytest.mark.parametrize(
    ("text", "near"),
    [("qveen", "queen"), ("wonan", "woman"), ("QVEEN", "queen")],
)
def test_an_unknown_term_names_the_nearest_tokens(wordpiece, text, near):
    with pytest.raises(UnknownTokenError, match="not in the vocabulary, nor made of its tokens") as caught:
        found(wordpiece, text)
    assert caught.value.hint.split("`")[:2] == ["try ", near]


def test_an_unknown_term_that_is_near_nothing_names_nothing(wordpiece):
    problem, hint = "`☃☃☃☃` is not in the vocabulary, nor made of its tokens", "see what there is with `kotovec tokens`"
    with pytest.raises(UnknownTokenError, match=f"^{problem}\nhint: {hint}$"):
        found(wordpiece, "☃☃☃☃")


def test_a_term_that_is_known_only_in_part_is_unknown(wordpiece):
    with pytest.raises(UnknownTokenError, match="王 ☃"):
        found(wordpiece, "王 ☃")


@pytest.mark.parametrize("text", [" ", "\t", "\u3000"])
def test_blank_quotes_are_no_token(wordpiece, text):
    with pytest.raises(UnknownTokenError, match="no token"):
        found(wordpiece, text, literal=True)


def test_a_store_built_with_a_filter_says_so_of_what_it_lacks(tmp_path):
    """The store was built with --token-filter word: it has no ##dom."""
    tokenizer = wordpiece_tokenizer()
    tokens = stores.make_tokens(WORDPIECE, special=WORDPIECE[:4]).keep(["word"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    filtered = Lookup(tokens, tmp_path, token_filter="word")
    assert found(filtered, "king") == (["king"], None)
    with pytest.raises(UnknownTokenError, match="`kingdom` is not in this store, .* --token-filter word,"):
        found(filtered, "kingdom")
    with pytest.raises(UnknownTokenError, match=r"nor made of its tokens\nhint: try `queen`"):
        found(filtered, "qveen")
    with pytest.raises(NotStoredError, match="no token #5"):
        found(filtered, "#5")


def test_without_a_tokenizer_whole_tokens_are_found_and_others_say_why_not(tmp_path):
    bare = lookup(tmp_path, WORDPIECE, Marking.WORDPIECE)
    assert found(bare, "王") == (["王"], None)
    with pytest.raises(UnknownTokenError, match=r"`王王` is not a token of this store; .* only whole tokens"):
        found(bare, "王王")


SENTENCEPIECE = ["<s>", "<unk>", "▁", "▁王", "王", "▁king", "dom", "▁queen", "s"]


def test_of_a_token_for_which_the_model_has_no_row_this_is_said(tmp_path):
    tokens = stores.make_tokens(SENTENCEPIECE, marking=Marking.METASPACE, unknown="<unk>")
    rowless = Lookup(tokens, tmp_path, rowless=lambda: {"450": "<norow>", "451": "king"})
    with pytest.raises(NotStoredError, match="the model has no row for the token #450 \\(`<norow>`\\)"):
        found(rowless, "<norow>")
    note = "king is ▁king, which begins a word; the model has no row for its bare form"
    assert found(rowless, "king") == (["▁king"], note)


@pytest.mark.parametrize(
    ("text", "token", "note"),
    [
        ("王", "王", "王 is the form inside a word; for the one that begins a word write _王"),
        ("▁王", "▁王", None),
        ("king", "▁king", "king is ▁king, which begins a word; it has no bare form"),
        ("▁king", "▁king", None),
        ("dom", "dom", None),
        ("▁", "▁", None),
    ],
)
def test_of_a_word_initial_and_a_bare_form_the_answer_says_which_was_taken(tmp_path, text, token, note):
    sentencepiece = lookup(tmp_path, SENTENCEPIECE, Marking.METASPACE, unknown="<unk>")
    assert sentencepiece.known(text)
    assert found(sentencepiece, text) == ([token], note)


@pytest.mark.parametrize(("text", "note"), [("_王", "_王 is read as ▁王"), (" 王", None)])
def test_a_mark_that_is_on_no_keyboard_is_typed_as_an_underscore_or_a_space(tmp_path, text, note):
    sentencepiece = lookup(tmp_path, SENTENCEPIECE, Marking.METASPACE, unknown="<unk>")
    assert sentencepiece.known(text)
    assert found(sentencepiece, text, literal=True) == (["▁王"], note)


@pytest.mark.parametrize(
    ("others", "written"), [([], "_王"), (["_王"], '" 王"'), (["▁_王"], '" 王"'), (["_王", " 王"], "#1")]
)
def test_what_a_note_says_to_write_names_that_token(tmp_path, others, written):
    tokens = lookup(tmp_path, ["王", "▁王", *others], Marking.METASPACE)
    note = f"王 is the form inside a word; for the one that begins a word write {written}"
    assert found(tokens, "王") == (["王"], note)
    (term,) = parse(written, tokens.known)
    assert tokens.resolve(term).rows == (1,)


@pytest.mark.parametrize(
    ("expression", "terms"),
    [("_王-王", ["_王", "王"]), ("2*_王 + _king", ["_王", "_king"]), ('" 王" - 王', [" 王", "王"])],
)
def test_marks_that_are_typed_are_read_in_expressions(tmp_path, expression, terms):
    sentencepiece = lookup(tmp_path, SENTENCEPIECE, Marking.METASPACE, unknown="<unk>")
    parsed = parse(expression, sentencepiece.known)
    assert [term.text for term in parsed] == terms
    assert sentencepiece.tokens.texts[sentencepiece.resolve(parsed[0]).rows[0]] == "▁王"


NORMAL = ["が", "ガ", "king", "▁queen", "C++", "2000", "é-x", "e-mail", "カ\u3099"]


@pytest.mark.parametrize(
    ("text", "token", "note"),
    [
        ("か\u3099", "が", "か\u3099 is read as が (NFC)"),
        ("e\u0301-x", "é-x", "e\u0301-x is read as é-x (NFC)"),
        ("ｋｉｎｇ", "king", "ｋｉｎｇ is read as king (NFKC)"),
        ("ｑｕｅｅｎ", "▁queen", "ｑｕｅｅｎ is read as ▁queen (NFKC)"),
        ("２０００", "2000", "２０００ is read as 2000 (NFKC)"),
        ("Ｃ＋＋", "C++", "Ｃ＋＋ is read as C++ (NFKC)"),
        ("ｶﾞ", "ガ", "ｶﾞ is read as ガ (NFKC)"),
        ("カ\u3099", "カ\u3099", None),  # the vocabulary's own spelling comes first
    ],
)
def test_a_word_in_another_normal_form_is_found_and_the_answer_says_in_which(tmp_path, text, token, note):
    assert found(lookup(tmp_path, NORMAL, Marking.METASPACE), text) == ([token], note)


@pytest.mark.parametrize(
    ("text", "tokens", "note"),
    [
        ("ＫＩＮＧ", ["king"], "ＫＩＮＧ is read as king (NFKC)"),
        ("Ｋｉｎｇ", ["king"], "Ｋｉｎｇ is read as king (NFKC)"),
        ("ＫＩＮＧＤＯＭ", ["king", "##dom"], "ＫＩＮＧＤＯＭ is not one token: the mean of king | ##dom (NFKC)"),
        ("KING", ["king"], "KING is read as king"),
    ],
)
def test_full_width_capitals_are_normalized_and_then_lower_cased_by_the_tokenizer(wordpiece, text, tokens, note):
    """Each alone found no token: `ＫＩＮＧ` was not in the vocabulary."""
    assert found(wordpiece, text) == (tokens, note)


def test_an_unknown_full_width_word_is_named_as_it_was_typed(wordpiece):
    with pytest.raises(UnknownTokenError, match="`ＺＺＺ` is not in the vocabulary, nor made of its tokens"):
        found(wordpiece, "ＺＺＺ")


def test_full_width_signs_stay_signs_and_ascii_ones_in_a_full_width_word_do_not(tmp_path):
    normal = lookup(tmp_path, NORMAL, Marking.METASPACE)
    assert normal.known("ｅ-mail")
    assert not normal.known("e－mail")
    assert not normal.known("Ｃ＋＋")


@pytest.mark.parametrize(
    ("marking", "texts", "pieces", "note"),
    [
        (
            Marking.METASPACE,
            ["▁", "女王", "蜂"],
            ["女王", "蜂"],
            "女王蜂 is not one token: the mean of 女王 | 蜂, without the lone ▁",
        ),
        (Marking.METASPACE, ["▁", "女王蜂", "女王"], ["女王蜂"], None),
        (Marking.METASPACE, ["▁女王", "蜂"], ["▁女王", "蜂"], "女王蜂 is not one token: the mean of ▁女王 | 蜂"),
    ],
)
def test_a_word_of_several_pieces_is_their_mean_without_a_lone_mark(tmp_path, marking, texts, pieces, note):
    tokenizer = Tokenizer(models.Unigram([("<unk>", -99.0), *((text, -1.0) for text in texts)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    words = lookup(tmp_path, ["<unk>", *texts], marking, tokenizer, unknown="<unk>")
    assert found(words, "女王蜂") == (pieces, note)


@pytest.mark.parametrize(
    ("marking", "texts", "forms"),
    [
        (Marking.METASPACE, ["王", "▁王", "▁", "king"], {0: [0, 1], 1: [0, 1], 2: [2], 3: [3]}),
        (Marking.WORDPIECE, ["王", "##王", "##", "[CLS]"], {0: [0, 1], 1: [0, 1], 2: [2], 3: [3]}),
        (Marking.BYTELEVEL, ["king", "Ġking", "Ġ"], {0: [0, 1], 1: [0, 1], 2: [2]}),
        (Marking.SUFFIX, ["king", "king</w>"], {0: [0, 1], 1: [0, 1]}),
        (Marking.NONE, ["王", "▁王"], {0: [0], 1: [1]}),
    ],
)
def test_the_forms_of_a_word_are_those_with_and_without_its_mark(tmp_path, marking, texts, forms):
    tokens = lookup(tmp_path, texts, marking)
    assert {row: tokens.forms(np.array([row])).tolist() for row in forms} == forms


def test_inputs_are_left_out_in_all_their_forms(tmp_path):
    """▁王 was the first answer to 王 - 男 + 女."""
    texts = ["王", "▁王", "男", "女", "▁女", "皇", "▁皇"]
    vectors = np.eye(7) + 1
    vectors[1], vectors[4] = vectors[0] + 0.1, vectors[3] + 0.1
    tokens = stores.make_tokens(texts, marking=Marking.METASPACE)
    with Store.open(stores.write_store(tmp_path / "a.kotovec", tokens, vectors)) as store:
        answer = store.search("王 - 男 + 女", k=7, exclude_inputs=True)
        assert [hit.token for hit in answer.hits] == ["皇", "▁皇"]
        assert [hit.token for hit in store.search("王", k=2).hits] == ["王", "▁王"]


# GPT-2's alphabet writes the bytes of 王 (e7 8e 8b) as çİĭ, those of é (c3 a9) as Ã©, and a space as Ġ.
BYTELEVEL = ["<s>", "<unk>", "king", "Ġking", "Ġqueen", "çİĭ", "ĠçİĭåŃĲ", "Ã©", "é", "Ġ", "ing", "çİ"]


@pytest.mark.parametrize(
    ("text", "token", "note"),
    [
        ("king", "king", "king is the form inside a word; for the one that begins a word write _king"),
        ("▁king", "Ġking", None),
        ("Ġking", "Ġking", None),
        ("queen", "Ġqueen", "queen is ▁queen, which begins a word; it has no bare form"),
        ("王", "çİĭ", None),
        ("çİĭ", "çİĭ", "çİĭ is taken as the vocabulary's spelling of 王"),
        ("▁王子", "ĠçİĭåŃĲ", None),
        ("王子", "ĠçİĭåŃĲ", "王子 is ▁王子, which begins a word; it has no bare form"),
        ("<s>", "<s>", None),
        ("é", "Ã©", None),  # and not the lone byte e9, which is spelled é
        ("Ã©", "Ã©", "Ã© is taken as the vocabulary's spelling of é"),
        ("Ġ王子", "ĠçİĭåŃĲ", None),
        ("▁", "Ġ", None),
        ("Ġ", "Ġ", None),
    ],
)
def test_byte_level_tokens_are_found_by_their_readable_form(tmp_path, text, token, note):
    bytelevel = lookup(tmp_path, BYTELEVEL, Marking.BYTELEVEL, unknown="<unk>")
    assert bytelevel.known(text)
    assert found(bytelevel, text) == ([token], note)


@pytest.mark.parametrize(
    ("text", "token", "note"),
    [
        ("king", "king", "king is the form inside a word; for the one that ends a word write king</w>"),
        ("king</w>", "king</w>", None),
        ("queen", "queen</w>", "queen is queen</w>, which ends a word; it has no bare form"),
    ],
)
def test_where_marks_end_words_the_notes_say_so(tmp_path, text, token, note):
    assert found(lookup(tmp_path, ["king", "king</w>", "queen</w>"], Marking.SUFFIX), text) == ([token], note)


def test_the_vector_of_a_word_is_the_mean_of_its_subwords_in_both_spaces(tmp_path):
    random = np.random.default_rng(3)
    static = random.standard_normal((len(WORDPIECE), 5)).astype(np.float32)
    isolated = random.standard_normal((2, len(WORDPIECE), 7)).astype(np.float32)
    store = Store.open(
        stores.write_store(
            tmp_path / "a.kotovec",
            stores.make_tokens(WORDPIECE, special=WORDPIECE[:4]),
            static,
            isolated,
            layers=(0, 2),
            tokenizer=wordpiece_tokenizer(),
        )
    )
    rows = [9, 10, 11]
    assert store.vector("kingdoms").tolist() == static[rows].astype(np.float64).mean(axis=0).tolist()
    for place, layer in enumerate((0, 2)):
        expected = isolated[place, rows].astype(np.float64).mean(axis=0) - 2 * isolated[place, 4].astype(np.float64)
        assert store.vector("kingdoms - 2*王", "isolated", layer) == pytest.approx(expected, rel=1e-14)
    note = "kingdoms is not one token: the mean of king | ##dom | ##s"
    approximate = "a mean of isolated vectors only approximates the word: the model never saw it whole"
    assert store.search("kingdoms", k=1).notes == (note,)
    assert store.search("kingdoms", space="isolated", k=1).notes == (note, approximate)
    left_out = store.search("kingdoms", k=len(WORDPIECE), exclude_inputs=True)
    assert {hit.id for hit in left_out.hits} == set(range(len(WORDPIECE))) - set(rows)


def test_a_tokenizer_that_is_not_the_stores_own_is_not_asked(tmp_path):
    """Damaged, or swapped in with another store while this one is open."""
    tokenizer = wordpiece_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokens = stores.make_tokens(WORDPIECE, special=WORDPIECE[:4])
    files = checksums(tmp_path)
    assert found(Lookup(tokens, tmp_path, files), "kings")[0] == ["king", "##s"]
    text = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(text.replace("Lowercase", "Lowercose"), encoding="utf-8")
    assert found(Lookup(tokens, tmp_path, files), "king") == (["king"], None)
    with pytest.raises(
        DamagedError,
        match=r"does not match the vectors\nhint: open the store again, or build it again with --overwrite$",
    ):
        found(Lookup(tokens, tmp_path, files), "kings")


@pytest.mark.parametrize("asked_before", [0, FEW], ids=["looked through", "in a dictionary"])
def test_a_string_is_found_as_it_stands_however_many_were_looked_for(asked_before):
    strings = Strings(["", "a", "ab", "王", "ab"])
    for _ in range(asked_before):
        strings.find("a")
    wanted = {"": 0, "a": 1, "ab": 4, "王": 3, "b": None, "abc": None, "a\0": None, "\0": None, "\ud800": None}
    assert {text: strings.find(text) for text in wanted} == wanted
    assert strings.at(np.array([3, 1])) == ["王", "a"]
