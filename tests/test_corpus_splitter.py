"""Texts into sentences: Japanese, English and other languages, by rules and on real text; lines; lengths."""

import hashlib
import random
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.cluster.corpus import Corpus, hash_sentences, normalise
from kotovec.cluster.corpus.splitter import splitter

DATA = Path(__file__).parent / "data"


def split(text, how="sentence"):
    return [sentence for sentence in splitter(Corpus(("x",), split=how))(text) if sentence]


@pytest.mark.parametrize(
    "marked",
    [
        "今日は雨です。|明日は晴れる！|本当ですか？|はい。",
        "「はい。」|彼は去った。",
        "「はい。」と言った。|そして去った。",
        "「はい」と言った。",
        "「行こう！」と彼は叫んだ。|「待って。」",
        "「行こう！」|彼は叫んだ。",
        "え？って思った。|なに！？|うそ！！|もう！…|だめ。」|はい。",
        "彼は（驚いて。）|帰った。",
        "『走れ。』」|次。",
        "質問？、そして答え！・終わり。",
        "本当?|はい!|えっ!?」|そう。|Yahoo!ニュースを見た。|OK!",
        "次です．|値は３．５です．|終わり．",
        "ｶﾀｶﾅ｡|ﾃﾞｽ｡",
        "改行\n|しても。|終わり",
        "前。 |後。　|次。",
        "中文也可以。|真的吗？|是的！",
        "これは3.5です。|v1.2を使う。",
    ],
)
def test_japanese_sentences_end_where_a_reader_ends_them(marked):
    text = marked.replace("|", "")
    assert split(text) == [normalise(sentence) for sentence in marked.split("|")]


@pytest.mark.parametrize(
    "marked",
    [
        "He came. |She went! |Did they? |Yes.",
        '"Was he?" |"No." |He left.',
        'He said "No." and left.',
        "Mr. Smith met Dr. J. F. Kennedy and Mrs. Jones. |They ate.",
        "See No. 5 and Fig. 3. The end.",
        "No. |I will not.",
        "It cost 3.5 dollars. |Then 1990 came. |In 1990. |The end.",
        "e.g. The U.S. Senate, i.e. Congress, at 5 p.m. Monday.",
        "It was so... |Then it was not… |Well.",
        "so it goes. and goes on.",
        "(He came.) |[She went.] |“Really?” |‘Yes.’ |It's true.",
        "Wait!! |What?! |“No!” |(Stop.)” |Go.",
        "Visit example.com. |Or http://a.b/c.html?x=Y now.",
        "He came.She went.",
        "one line\n|another line. |Third",
        "He came. |„Ja.“ |»Nein.« |«Sí.» |¿Qué? |¡Ah! |¿No?",
        "Il a dit : « Oui. » |Puis rien.",
        "Am 3. Oktober kam Hr. Meier bzw. Frau Meier. |Er ging. |Über alles.",
        "Он пришёл. |Она ушла. |А. С. Пушкин писал.",
        "वह आया। |वह गया।",
        "هل جاء؟ |نعم.",
        "He came. * She went. |- It ran. |1 came.",
        "wait . . . what",
        "He asked? yes! ok.",
        "Vol. 3, pp. 5, Sept. 5, St. Paul, Gen. Lee, approx. Ten.",
    ],
)
def test_other_sentences_end_at_a_stop_and_a_blank(marked):
    text = marked.replace("|", "")
    assert split(text) == [normalise(sentence) for sentence in marked.split("|")]


def test_the_lines_of_a_text_end_sentences_whatever_ends_them():
    assert split("a b\r\nc\rd\x0be\x0cf\x85g\u2028h\u2029i\n\n \nj") == ["a b", *"cdefghij"]
    assert split("a b\r\nHe. She\rd", "line") == ["a b", "He. She", "d"]


def test_a_text_is_cut_by_its_length_at_blanks_where_there_are_any():
    assert split("aaaa bbbb cccc dddd", "10") == ["aaaa bbbb", "cccc dddd"]
    assert split("aaaa bbbbbbbbbbbb", "10") == ["aaaa bbbbb", "bbbbbbb"]
    assert split("あ" * 25, "10") == ["あ" * 10, "あ" * 10, "あ" * 5]
    assert split("one. Two.\nthree", "10") == ["one. Two.", "three"]


def boundaries(sentences):
    """The numbers of characters, blanks aside, at which sentences end."""
    return set(accumulate(len(sentence.replace(" ", "")) for sentence in sentences))


def found(lines, joint):
    """Right, found and true ends of sentences, in texts of four sentences each."""
    right = ours = true = 0
    for start in range(0, len(lines), 4):
        group = [normalise(line) for line in lines[start : start + 4]]
        expected, given_ = boundaries(group), boundaries(split(joint.join(group)))
        right, ours, true = right + len(expected & given_), ours + len(given_), true + len(expected)
    return right, ours, true


def test_english_of_the_brown_corpus_is_split_as_its_editors_did():
    right, ours, true = found((DATA / "brown" / "english.txt").read_text().splitlines(), " ")
    assert right / ours > 0.998
    assert right / true > 0.91  # the rest are mostly headlines, and sentences that end in a semicolon


def test_japanese_of_tatoeba_is_split_as_its_authors_did():
    lines = (DATA / "tatoeba" / "japanese.txt").read_text(encoding="utf-8").splitlines()
    right, ours, true = found(lines, "")
    assert right / true > 0.99
    assert right / ours > 0.96  # the rest are lines of several sentences


TEXTS = st.text(alphabet=st.sampled_from("aB .!?。」「とっ\"')(\r\t\u3000\x00é\u0301が1"), max_size=40)


@given(st.lists(TEXTS, max_size=8), st.sampled_from(["sentence", "line", "9"]))
def test_texts_together_give_the_sentences_of_each(texts, how):
    assert split("\n".join(texts), how) == [sentence for text in texts for sentence in split(text, how)]


@given(TEXTS)
def test_sentences_are_in_normal_form_and_lose_nothing_but_blanks(text):
    sentences = split(text)
    assert [normalise(sentence) for sentence in sentences] == sentences
    assert "".join(sentences).replace(" ", "") == normalise(text).replace(" ", "")


@given(st.text(max_size=30))
def test_the_normal_form_is_normal(text):
    once = normalise(text)
    assert normalise(once) == once
    assert not any(char.isspace() and char != " " for char in once)
    assert "\x00" not in once


def test_the_normal_form_joins_marks_and_blanks_and_keeps_everything_else():
    assert normalise(" e\u0301\u3000\x00 か\u3099\n\tＡ\u200b\ufeffa ") == "é が Ａ\u200b\ufeffa"


def test_hashes_are_keyed_blake2b_of_the_text():
    key = (7).to_bytes(8, "big")
    texts = ["王", "", "He came."]
    expected = [
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, key=key).digest(), "big") for text in texts
    ]
    hashes = hash_sentences(texts, 7)
    assert hashes.dtype == "uint64"
    assert hashes.tolist() == expected
    assert expected[0] == 13597695978508606753
    assert hash_sentences([], 7).shape == (0,)
    assert hash_sentences(texts, 8).tolist() != expected


def test_hashes_are_spread_evenly():
    texts = [str(random.Random(number).random()) for number in range(4000)]
    hashes = hash_sentences(texts, 0) / 2.0**64
    assert abs(hashes.mean() - 0.5) < 0.02
    assert len(set(hashes.tolist())) == 4000
