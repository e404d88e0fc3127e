"""Expressions: sums of weighted terms, as a person types them."""

import contextlib
import time
from unicodedata import east_asian_width

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kotovec.errors import ExpressionError
from kotovec.store.expression import DEEPEST, LONGEST, Term, hyphenated, lengthened, parse, render
from kotovec.store.lookalikes import mistaken

VOCABULARY = {
    "王", "女", "男", "king", "man", "woman", "e-mail", "C++", "2000", "2", "##王", "##-", "ラーメン",
    "-", "+", "*", "(", ")", '"', "'s", "王)", "2*3", "#7",
}  # fmt: skip


def known(text):
    return text in VOCABULARY


def terms(expression):
    """The terms as (text, weight)."""
    return [(term.text, term.weight) for term in parse(expression, known)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("王", [("王", 1)]),
        ("王 - 男 + 女", [("王", 1), ("男", -1), ("女", 1)]),
        ("王-男+女", [("王", 1), ("男", -1), ("女", 1)]),
        ("  王-  男 +女 ", [("王", 1), ("男", -1), ("女", 1)]),
        ("王\u3000-\u3000男", [("王", 1), ("男", -1)]),
        ("- 男 + 王", [("男", -1), ("王", 1)]),
        ("-男", [("男", -1)]),
        ("+男", [("男", 1)]),
        ("王 + 王", [("王", 1), ("王", 1)]),
        # weights
        ("0.5*王", [("王", 0.5)]),
        ("1e-3*王", [("王", 0.001)]),
        ("王*1E2", [("王", 100.0)]),
        ("２ｅ−１＊王", [("王", 0.2)]),
        ("2.5e+1 * 王 - 1e1*女", [("王", 25.0), ("女", -10.0)]),
        ("1e - 3*王", [("1e", 1.0), ("王", -3.0)]),
        ("王*0.5", [("王", 0.5)]),
        ("2 * 王 * 0.25", [("王", 0.5)]),
        (".5*王 - 2.*女", [("王", 0.5), ("女", -2)]),
        ("3*2*王", [("王", 6)]),
        ("0*王 + 女", [("王", 0), ("女", 1)]),
        ("０．５＊王", [("王", 0.5)]),
        ("2×王", [("王", 2)]),
        ("-0.5*王", [("王", -0.5)]),
        # parentheses
        ("王 - (男 - 女)", [("王", 1), ("男", -1), ("女", 1)]),
        ("2*(王 - 0.5*男)", [("王", 2), ("男", -1)]),
        ("(王 - 男)*2 + 女", [("王", 2), ("男", -2), ("女", 1)]),
        ("-(王-(男-(女)))", [("王", -1), ("男", 1), ("女", -1)]),
        ("((王))", [("王", 1)]),
        ("(王)", [("王", 1)]),
        ("(-王 + 女)", [("王", -1), ("女", 1)]),
        # full-width signs
        ("王－男＋女", [("王", 1), ("男", -1), ("女", 1)]),
        ("王−男", [("王", 1), ("男", -1)]),
        ("２＊（王－男）", [("王", 2), ("男", -2)]),
        # ー is a letter
        ("ラーメン", [("ラーメン", 1)]),
        ("ラーメン-王", [("ラーメン", 1), ("王", -1)]),
        ("スーパー", [("スーパー", 1)]),
        # quotes
        ('"new york" - 王', [("new york", 1), ("王", -1)]),
        ("“new york”", [("new york", 1)]),
        ('王 - "-"', [("王", 1), ("-", -1)]),
        ("”new york” - 王", [("new york", 1), ("王", -1)]),  # as a Japanese input method types them
        ("“new york“", [("new york", 1)]),
        ("„new york“ + „a b”", [("new york", 1), ("a b", 1)]),
        ("「new york」-王", [("new york", 1), ("王", -1)]),
        ("『女 王』", [("女 王", 1)]),
        ("＂new york＂", [("new york", 1)]),
        ("＇new york＇", [("new york", 1)]),
        ("’new york’", [("new york", 1)]),
        ("‘new york’", [("new york", 1)]),
        ("«new york»", [("new york", 1)]),
        ("〝new york〟", [("new york", 1)]),
        ("king - ’tis", [("king", 1), ("’tis", -1)]),  # an apostrophe
        ('"+"', [("+", 1)]),
        ('""', [("", 1)]),
        ('" 王"', [(" 王", 1)]),
        ('" - "', [(" - ", 1)]),
        ('2*"2000"', [("2000", 2)]),
        ('"王-男"', [("王-男", 1)]),
        ("'it is'+王", [("it is", 1), ("王", 1)]),
        # whole chunks first
        ("e-mail", [("e-mail", 1)]),
        ("e - mail", [("e", 1), ("mail", -1)]),
        ("e-mails", [("e", 1), ("mails", -1)]),
        ("C++", [("C++", 1)]),
        ("(C++)", [("C++", 1)]),
        ("2*(王 - C++)", [("王", 2), ("C++", -2)]),
        ("C++ + C++", [("C++", 1), ("C++", 1)]),
        ("2000", [("2000", 1)]),
        ("2000 - 王", [("2000", 1), ("王", -1)]),
        ("2 * 2", [("2", 2)]),
        ("2", [("2", 1)]),
        ("2*3", [("2*3", 1)]),
        ("2 * 3", [("3", 2)]),
        ("##王", [("##王", 1)]),
        ("##-", [("##-", 1)]),
        ("王)", [("王)", 1)]),
        ("(王))", [("王)", 1)]),
        ("'s", [("'s", 1)]),
        ('"', [('"', 1)]),
        ("#7", [("#7", 1)]),
        ("#12-#13", [("#12", 1), ("#13", -1)]),
        ("0.5*#12", [("#12", 0.5)]),
        ("1.5", [("1.5", 1)]),
        ("unknown", [("unknown", 1)]),
    ],
)
def test_an_expression_is_a_sum_of_weighted_terms(expression, expected):
    assert terms(expression) == expected


@pytest.mark.parametrize(
    ("expression", "token_id"),
    [
        ("#12", 12),
        ("#0", 0),
        ("#007", 7),
        ("#", None),
        ("#a", None),
        ("#-1", None),
        ("##12", None),
        ('"#12"', None),
        ("#" + "9" * 30, 2**63 - 1),
        ("#" + "9" * 5000, 2**63 - 1),
    ],
)
def test_a_token_can_be_named_by_its_number_outside_quotes(expression, token_id):
    assert parse(expression, lambda _: True)[0].token_id == token_id


def test_a_term_knows_where_it_stands():
    assert [(term.text, term.position) for term in parse('王 - 2*(男 + "a b")', known)] == [
        ("王", 0),
        ("男", 7),
        ("a b", 11),
    ]


@pytest.mark.parametrize(
    ("expression", "position", "problem"),
    [
        ("", 0, "empty"),
        ("   ", 3, "empty"),
        ("\u3000", 1, "empty"),
        ("王 -", 3, "missing"),
        ("王-", 2, "missing"),
        ("-", 1, "missing"),
        ("+", 1, "missing"),
        ("*", 0, "missing"),
        ("*王", 0, "missing"),
        ("王 + - 女", 4, "missing"),
        ("王 -- 女", 3, "missing"),
        ("()", 1, "missing"),
        ("王 + ()", 5, "missing"),
        ("(", 1, "missing"),
        (")", 0, "missing"),
        ("2*", 2, "missing"),
        ("0.5 * ", 6, "missing"),
        ("(王", 0, "not closed"),
        ("王 + ((女)", 4, "not closed"),
        ("女)", 1, r"no \("),
        ("女 ) + 男", 2, r"no \("),
        ("王 女", 2, r"an operator is missing here\n.*\n.*\nhint: put \+ or -"),
        ("王(女)", 1, r"an operator is missing here\n.*\n.*\nhint: put \+ or -"),
        ("(王)女", 3, r"an operator is missing here\n.*\n.*\nhint: put \+ or -"),
        ('"a"b', 3, r"an operator is missing here\n.*\n.*\nhint: put \+ or -"),
        ("2 王", 2, r"an operator is missing here\n.*\n.*\nhint: write a weight as `2\*王`$"),
        ("”new york", 0, "quote is not closed"),
        ("「女", 0, "quote is not closed"),
        ('"new york', 0, "quote is not closed"),
        ("王 + “a", 4, "quote is not closed"),
        ("王*女", 2, r"weight is not a number\n.*\n.*\nhint: write a weight as `0\.5\*token`$"),
        ("王 - 1,5*女", 4, r"weight is not a number\n.*\n.*\nhint: write a weight as `1\.5\*token`$"),
        ("0.5*１，５ * 女", 4, r"weight is not a number\n.*\n.*\nhint: write a weight as `1\.5\*token`$"),
        ("½*女", 0, r"weight is not a number\n.*\n.*\nhint: write a weight as `0\.5\*token`$"),
        ("1/2*女", 0, r"weight is not a number\n.*\n.*\nhint: write a weight as `0\.5\*token`$"),
        ("王 * ", 4, r"weight is not a number\n.*\n.*\nhint: write a weight as `0\.5\*token`$"),
        ("王*-2", 2, r"weight is not a number\n.*\n.*\nhint: write a weight as `0\.5\*token`$"),
        ("王 + 9999999999*女", 4, "at most 1e"),
        ("0*" + "9" * 400 + "*女", 0, "at most 1e"),
        ("99999*(99999*女)", 0, "at most 1e"),
        ("王 + \udce7", 4, "not a character"),
        ("(" * 1000 + "王" + ")" * 1000, DEEPEST, "parentheses inside each other"),
    ],
)
def test_a_malformed_expression_is_refused_at_its_place(expression, position, problem):
    with pytest.raises(ExpressionError, match=problem) as caught:
        parse(expression, known)
    if "empty" in problem:
        position = 0
    assert caught.value.position == position
    assert caught.value.expression == expression


@pytest.mark.parametrize(
    ("expression", "column"),
    [("man woman", 4), ("王 女", 3), ("ｋｉｎｇ 女", 9), ("ラーメン) 女", 8), ("ﾗｰﾒﾝ 女", 5), ("王 - 男 女", 8)],
)
def test_the_caret_stands_under_the_place_where_wide_characters_take_two_columns(expression, column):
    with pytest.raises(ExpressionError) as caught:
        parse(expression, known)
    problem, shown, caret = str(caught.value).split("\n")
    assert problem == caught.value.problem
    assert shown == f"  {expression}"
    assert caret == " " * (2 + column) + "^"
    wide = sum(1 + (east_asian_width(sign) in "WF") for sign in expression[: caught.value.position])
    assert column == wide


def test_as_deep_as_allowed_is_read():
    assert terms("(" * DEEPEST + "王" + ")" * DEEPEST) == [("王", 1)]
    assert len(terms(" + ".join(["(王)"] * 500))) == 500


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("王−男＋女", "王 - 男 + 女"),
        ("2*(王 - 0.5*男)", "2*王 - 男"),
        ("-(王-女)", "-王 + 女"),
        ("0.25*王", "0.25*王"),
    ],
)
def test_the_sum_is_shown_as_it_was_understood(expression, expected):
    assert render(parse(expression, known)) == expected


# Trees of numbers and tokens, written out with random spaces and signs, and evaluated by themselves.
tokens = st.sampled_from(["王", "女", "king", "e-mail", "C++", '"2000"', "##王", '"new york"', "#12", "ラーメン"])
weights = st.sampled_from(["2", "0.5", ".25", "3", "０．５", "1"])
VALUES = {"2": 2, "0.5": 0.5, ".25": 0.25, "3": 3, "０．５": 0.5, "1": 1}


def scaled(sum_, factor):
    return {token: weight * factor for token, weight in sum_.items()}


def added(left, right):
    return {token: left.get(token, 0) + right.get(token, 0) for token in {**left, **right}}


@st.composite
def sums(draw, depth=3):
    """A text, and the weight of each token in its sum."""
    text, total = "", {}
    for place in range(draw(st.integers(1, 4))):
        minus = draw(st.booleans())
        sign = draw(st.sampled_from("-－−" if minus else "+＋"))
        if place or minus:
            text += f" {sign} " if place else f"{sign} "
        if depth and draw(st.booleans()):
            inner, value = draw(sums(depth=depth - 1))
            part = draw(st.sampled_from(["({})", "（{}）", "( {} )"])).format(inner)
        else:
            token = draw(tokens)
            # With a space behind it: e-mail*2 is a chunk that is no token, and so split at its signs.
            part, value = f"{token} " if token in ("e-mail", "C++") else token, {token.strip('"'): 1}
        times = draw(st.sampled_from(["*", " * ", "＊"]))
        match draw(st.sampled_from(["none", "before", "after"])):
            case "before":
                weight = draw(weights)
                part, value = f"{weight}{times}{part}", scaled(value, VALUES[weight])
            case "after":
                weight = draw(weights)
                part, value = f"{part}{times}{weight}", scaled(value, VALUES[weight])
            case _:
                pass
        text += part
        total = added(total, scaled(value, -1 if minus else 1))
    return text, total


@settings(max_examples=300, deadline=None)
@given(sums())
def test_any_sum_means_what_it_says(case):
    text, expected = case
    found = {}
    for token, weight in terms(text):
        found = added(found, {token: weight})
    assert found == pytest.approx(expected)
    again = {}
    for token, weight in terms(render(parse(text, known)).replace("new york", '"new york"').replace("2000", '"2000"')):
        again = added(again, {token: weight})
    assert again == pytest.approx(expected, rel=1e-5)


signs = st.text(st.sampled_from("王女aC+-*()（）＋－−＊ 　\"'“”#12.0９．ー\0\ud800\n\t~"), max_size=30)


@settings(max_examples=1000, deadline=None)
@given(signs | st.text(st.characters(codec=None), max_size=30))
@example("\0")
@example("\ud800")
@example("#" + "9" * 5000)
@example("9" * 500 + "*王")
@example("(" * 3000)
@example("-(" * 3000)
@example("٣*王")
@example("²*王")
def test_any_text_is_read_or_refused_with_a_place_in_it(text):
    for vocabulary in (known, lambda _: False, lambda _: True):
        try:
            found = parse(text, vocabulary)
        except ExpressionError as error:
            assert 0 <= error.position <= len(text)
            assert str(error).endswith("^") or not text.strip()
        else:
            assert found
            assert all(abs(term.weight) <= 1e9 for term in found)
            render(found)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.text("王女aCーé", min_size=1, max_size=3), st.floats(-1e9, 1e9)), min_size=1, max_size=5))
@example([("王", 1234567.0), ("女", -1e-7), ("a", 0.30000000000000004), ("C", -1.0000001)])
@example([("王", -0.0), ("女", 1e-20), ("a", 1e9)])
def test_a_sum_of_words_that_is_shown_can_be_typed_again(terms):
    shown = render([Term(text, weight, 0) for text, weight in terms])
    again = parse(shown, lambda _: False)
    assert [term.text for term in again] == [text for text, _ in terms]
    assert [term.weight for term in again] == pytest.approx([weight for _, weight in terms], rel=1e-5, abs=1e-14)
    assert render(again) == shown


@pytest.mark.parametrize(
    "text",
    [
        "王+" * 20_000 + "王",
        "王 + " * 20_000 + "王",
        "(" * 100_000,
        "王" + ")" * 100_000,
        "王" * 100_000,
        "1*" * 50_000 + "王",
    ],
    ids=["signs", "spaces", "open", "closed", "token", "weights"],
)
def test_a_very_long_expression_is_read_or_refused_without_copying_the_rest_at_every_step(text):
    begin = time.perf_counter()
    with contextlib.suppress(ExpressionError):
        parse(text, known)
    assert time.perf_counter() - begin < 5  # some 0.1 s; minutes where every step copies the rest


def test_a_chunk_longer_than_any_token_is_not_looked_up_whole():
    asked = []

    def asking(text):
        asked.append(len(text))
        return False

    assert len(parse("王+" * LONGEST + "王", asking)) == LONGEST + 1
    assert max(asked) <= LONGEST
    assert parse("王" * (LONGEST + 5), asking)[0].text == "王" * (LONGEST + 5)


@pytest.mark.parametrize(
    ("expression", "read"),
    [
        ("twenty-one", {"twenty-one": "twenty - one"}),
        ("state-of-the-art", {"state-of-the-art": "state - of - the - art"}),
        ("e-mails", {"e-mails": "e - mails"}),
        ("anti-e-mail", {"anti-e-mail": "anti - e-mail"}),
        ("twenty‐one + twenty‑two – e–f", {"twenty‐one": "twenty - one", "twenty‑two": "twenty - two", "e–f": "e - f"}),
        ("king-man", {"king-man": "king - man"}),
        ("(twenty-one) - king", {"twenty-one": "twenty - one"}),
        ("king -twenty-one", {"twenty-one": "twenty - one"}),
        ("mother-in-law's + king", {"mother-in-law's": "mother - in - law's"}),
        # arithmetic
        ("e-mail", {}),
        ("王-男+女", {}),
        ("king-man+woman", {}),
        ("king - man", {}),
        ("king -man +woman", {}),
        ("-king", {}),
        ("2*king-man", {}),
        ("king-2*man", {}),
        ("(king)-(man)", {}),
        ("#12-#13", {}),
        ("##s-##dom", {}),
        ('"twenty-one"', {}),
        ('"a"-"b"', {}),
        ("王－男", {}),
        ("王−男", {}),
    ],
)
def test_a_hyphenated_word_that_is_subtracted_is_named(expression, read):
    notes = hyphenated(expression, parse(expression, known))
    assert notes == [
        f'{word} is read as {split}; for the word write "{word}", with its quotes' for word, split in read.items()
    ]


def test_many_hyphens_take_no_time():
    expression = " + ".join(["twenty-one"] * 20_000)
    terms_of_it = parse(expression, known)
    start = time.perf_counter()
    assert len(hyphenated(expression, terms_of_it)) == 20_000
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("king—man", "write - for a subtraction: — is a dash"),
        ("王ー男", "write - for a subtraction: ー is a letter"),
        ("kingーman", "write - for a subtraction: ー is a letter"),
        ("king/2", "write a weight, such as 0.5*king: / is no division"),
        ("/2", "write a weight, such as 0.5*king: / is no division"),
        ("king÷2", "write a weight, such as 0.5*king: ÷ is no division"),
        ("スーパー", None),
        ("ｽｰﾊﾟｰマン", None),
        ("ラーーメン", None),
        ("and/or", None),
        ("—", None),
        ("ー", None),
        ("2000", None),
        ("", None),
    ],
)
def test_what_is_mistaken_for_an_operator_is_named(text, instead):
    assert mistaken(text) == instead


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("king — man", "write - for a subtraction: — is a dash"),
        ("king ー man", "write - for a subtraction: ー is a letter"),
        ("king / 2", "write a weight, such as 0.5*king: / is no division"),
        ("king = man", "leave out = and what follows it"),
        ("-", 'put an operator that is a token in quotes: "-"'),
        ("+ ", 'put an operator that is a token in quotes: "+"'),
        ("king +", "write a token after +, or leave it out"),
        ("1.5 king", "write a weight as `1.5*king`"),
        ("１．５ king", "write a weight as `１．５*king`"),
        ("man + 2 king-man", "write a weight as `2*king`"),
        ("king .5 + man", "write a weight as `.5*king`"),
        ("2 (king - man)", "write a weight as `2*token`"),
        ('2 "new york"', "write a weight as `2*token`"),
        ('"2" king', 'put + or - before this, or quotes around words that belong together: "a b"'),
        ("サ－バ－", "write サーバー with the letter ー: － is a minus"),
        ("王 - サ−バ- + 女", "write サーバー with the letter ー: - is a minus"),
        ("コ-ヒ-＋王", "write コーヒー with the letter ー: - is a minus"),
        ("king - サ － バ －", "write a token after －, or leave it out"),
        ("王－", "write a token after －, or leave it out"),
    ],
)
def test_the_hint_about_a_character_that_is_no_operator_says_what_to_write(expression, hint):
    with pytest.raises(ExpressionError) as caught:
        parse(expression, known)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("ラ－メン", {"ラ－メン": "ラーメン"}),
        ("王 + ラ−メン - ラ-メン", {"ラ−メン": "ラーメン", "ラ-メン": "ラーメン"}),
        ("ラ － メン", {}),
        ("ラーメン－ラ－メン", {}),  # a subtraction, as it is all one word of kana
        ("キング－マン", {}),  # キングーマン is no token
        ('"ラ－メン" + 王', {}),
    ],
)
def test_a_minus_that_was_typed_for_a_long_vowel_is_named(expression, words):
    found = lengthened(expression, parse(expression, known), known)
    assert found == {
        word: f"{word} is read as a subtraction; for the letter ー write {instead}" for word, instead in words.items()
    }


@pytest.mark.parametrize(("text", "sign"), [("*", "*"), ("+", "+"), ("king + *", "*"), ("(*)", "*")])
def test_the_hint_names_the_operator_that_was_typed(text, sign):
    """A lone `*` was told to put "+" in quotes."""
    with pytest.raises(ExpressionError) as caught:
        parse(text, lambda _: False)
    assert f'"{sign}"' in caught.value.hint
