"""Texts into sentences, by the stops of Japanese and of languages written like Latin; or into lines, or lengths.

The rules see one line at a time, so that a text gives the same sentences however it is cut into pieces.
"""

import re
from collections.abc import Callable
from functools import cache
from unicodedata import category

from kotovec.cluster.corpus.corpus import LINE, Corpus
from kotovec.cluster.corpus.normal import SPACES, composed, normalise, one_blank

Split = Callable[[str], list[str]]  # texts, one per line, to sentences, some of them empty

_OTHER_BREAKS = "\r\x0b\x0c\x85\u2028\u2029"
_BREAKS = re.compile(f"\r\n|[{_OTHER_BREAKS}]")
_SPACES = re.compile(f"[{SPACES}]")

# Opening and closing brackets and quotation marks, of both kinds of writing.
_OPENING = "\"'(\\[{«»‹“‘„‚¿¡「『（【〈《〔［｛"
_CLOSING = "\"')\\]}»›”’」』）】〉》〕］｝｣"
_STOPS = "。｡！？"
_KANA_OR_KANJI = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"
)
_LATIN = "0-9A-Za-z０-９Ａ-Ｚａ-ｚ"
_GOING_ON = "[、，,・：:；;…‥〜～ー)）]"

# Latin: what stands before the full stop does not end a sentence, nor does what follows begin one.
# By their length, as what is looked back at has a fixed one.
_TITLES = {
    2: "Mr|Ms|Dr|St|Sr|Jr|Lt|Mt|Ft|Co|Bd|vs|cf|pp|Nr|Hr|Fr|ca|ff|al",
    3: "Mrs|Rev|Hon|Gen|Col|Maj|Cpl|Sgt|Gov|Sen|Rep|Adm|Inc|Ltd|Fig|fig|Sec|Vol|vol|Nos|nos|Art|bzw|Sra|Uds|Ave|Mme"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec",
    4: "Prof|Capt|Pres|Supt|Corp|Bros|Univ|Dept|dept|Sept|Blvd|Figs|figs|Secs|Vols|Insp|Assn|Srta",
    6: "Messrs|approx",
}
_LAST_LOWER = 0x1E943  # of Unicode 17: ADLAM SMALL LETTER SHA
_MOST_CLOSING = 3  # closing marks between a full stop and the blank


def splitter(corpus: Corpus) -> Split:
    """Return what cuts texts, one per line, into normalised sentences; some may be empty."""
    if corpus.characters is not None:
        most = corpus.characters
        return lambda texts: [piece for text in texts.split("\n") for piece in _pieces(normalise(text), most)]
    if corpus.split == LINE:
        return lambda texts: [line.strip(" ") for line in _cleaned(texts).split("\n")]
    return lambda texts: [sentence.strip(" ") for sentence in _ended(_cleaned(texts)).split("\n")]


def _cleaned(texts: str) -> str:
    """Return texts in normal form, but for their line breaks, all of which are line feeds."""
    texts = composed(texts)
    if any(char in texts for char in _OTHER_BREAKS):  # 20 times as fast as the pattern alone
        texts = _BREAKS.sub("\n", texts)
    return one_blank(_SPACES.sub(" ", texts))


def _ended(texts: str) -> str:
    """Return texts with a line feed after each sentence, in place of the blank or where there is none."""
    if not texts.isascii():
        texts = _japanese().sub(_with_line_feed, texts)
    return _latin().sub("\n", texts)


def _with_line_feed(match: "re.Match[str]") -> str:
    return f"{match[0]}\n"


@cache
def _japanese() -> "re.Pattern[str]":
    """Return the pattern of the end of a Japanese sentence: stops, and closing marks that follow them.

    `!` and `?` of ASCII count between kana or kanji: 本当?はい, but not Yahoo!ニュース. What goes on with a particle of
    quotation (「はい。」と, え？って) or a comma is no end, and a number (３．５) has no end in it.
    """
    ascii_stop = f"(?<=[{_KANA_OR_KANJI}」』）][!?])(?=[!?{_CLOSING}]*[{_KANA_OR_KANJI}])"
    full_point = f"(?<=[^{_LATIN}]．)(?![{_LATIN}])"
    # The character class comes first: `re` looks for it at 300 MB/s, and for one of several patterns at 31.
    stops = f"[{_STOPS}!?．](?:(?<=[{_STOPS}])|{ascii_stop}|{full_point})[{_STOPS}!?…‥]*"
    closed = f"[{_CLOSING}]+(?!{_GOING_ON}|と|って|[{_CLOSING}])"
    plain = f"(?!{_GOING_ON}|[{_CLOSING}{_STOPS}!?])(?!(?<=[！？!?])(?:と|って))"
    return re.compile(f"{stops}(?:{closed}|{plain})")


@cache
def _latin() -> "re.Pattern[str]":
    """Return the pattern of the blank between two sentences of Latin and similar scripts.

    It begins with the blank itself, for which `re` searches fastest, and looks back at one character before it looks at
    more (165 MB/s against 76). Before the blank are a stop and up to three closing marks; after it no lower-case
    letter, with any opening marks before it, and no sign that goes on.
    """
    stops = ".!?…؟۔।॥"
    closing = f"{_CLOSING}“«"  # „Ja.“ and »Nein.«, whose closing marks open elsewhere
    quick = f"(?<=[{stops}{closing}] )"
    before = "|".join(f"(?<=[{stops}]{f'[{closing}]' * count} )" for count in range(_MOST_CLOSING + 1))
    before += f"|(?<=[{stops}] » )"  # « Oui. » Puis…
    after = f"(?=[{_OPENING}]*[^{_OPENING}{_lower_case()},;:.!?…%&*+/=<>~\n ])"
    titles = "".join(rf"(?<!\b(?:{group})\. )" for group in _TITLES.values())
    # J. F. Kennedy, e.g. and U.S.; 3. Oktober, and the numbers of a list; No. 5.
    short = r"(?<!\b[^\W_]\. )(?<!\b\d\d\. )(?!(?<=\bNo\. )\d)"
    return re.compile(f" {quick}{after}(?:{before}){titles}{short}")


@cache
def _lower_case() -> str:
    """Return lower-case letters as ranges of a character class."""
    ranges: list[list[int]] = []
    for code in range(_LAST_LOWER + 1):
        if category(chr(code)) == "Ll":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _pieces(text: str, most: int) -> list[str]:
    """Return a text in pieces of at most so many characters, cut at a blank where the second half of one has any."""
    pieces = []
    while len(text) > most:
        end = text.rfind(" ", most // 2, most + 1)
        end = most if end < 0 else end
        pieces.append(text[:end].rstrip(" "))
        text = text[end:].lstrip(" ")
    return [*pieces, text]
