"""Unicode scripts: which ones a character belongs to, and which tokens are written in given ones.

The property is Unicode's own, as `regex` has it (https://www.unicode.org/reports/tr24/). `regex` is imported only where
a script is asked for, which a query seldom does: that takes 15 ms, and its patterns for all scripts 18 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted
from kotovec.store.tokens import Kind, Tokens
from kotovec.text import parts

COMMON = "Common"  # what is of no script: digits, punctuation, marks of words
# The scripts of Unicode 17.0, as its Scripts.txt spells them; what is of any other has none.
SCRIPTS = tuple(
    """
    Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Beria_Erfe
    Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham
    Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru
    Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek
    Gujarati Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana
    Imperial_Aramaic Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li
    Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B
    Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin
    Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar
    Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal
    Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic
    Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang
    Runic Samaritan Saurashtra Sharada Shavian Siddham Sidetic SignWriting Sinhala Sogdian Sora_Sompeng Soyombo
    Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Tai_Yo Takri Tamil Tangsa
    Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Tolong_Siki Toto Tulu_Tigalari Ugaritic Vai
    Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square
    """.split()  # noqa: SIM905 — 170 quoted names would be hard to read
)
Scripts = frozenset[str]  # one of them is the script of a character
_BY_FOLDED = {name.lower(): name for name in SCRIPTS}
# What people call a script: names of languages, and codes of ISO 15924.
_KANA, _JAPANESE = ("Hiragana", "Katakana"), ("Han", "Hiragana", "Katakana")
_CALLED = (
    dict.fromkeys(("kanji", "hanzi", "hanja", "chinese", "mandarin", "cjk", "hani", "hans", "hant"), ("Han",))
    | dict.fromkeys(("japanese", "jpan"), _JAPANESE)
    | dict.fromkeys(("kana", "hrkt"), _KANA)
    | {"hira": ("Hiragana",), "korean": ("Hangul",), "hang": ("Hangul",), "kore": ("Hangul", "Han")}
    | dict.fromkeys(("english", "german", "french", "spanish", "roman", "romaji", "ascii", "latn"), ("Latin",))
    | dict.fromkeys(("russian", "ukrainian", "bulgarian", "serbian", "cyrl"), ("Cyrillic",))
    | dict.fromkeys(("hindi", "nepali", "marathi", "sanskrit", "deva"), ("Devanagari",))
    | dict.fromkeys(("persian", "farsi", "urdu", "arab"), ("Arabic",))
    | {"grek": ("Greek",), "hebr": ("Hebrew",), "yiddish": ("Hebrew",), "burmese": ("Myanmar",)}
)
_CLOSE = 0.7  # of difflib, from 0 to 1: at its default of 0.6, Rejang is close to Korean
Masks = dict[Scripts, npt.NDArray[np.bool_]]  # (V,) for each set of scripts
_NO_TEXT = (Kind.SPECIAL, Kind.UNUSED, Kind.BYTE)  # their letters are no text
_EXAMPLES = ("Han", "Hiragana", "Katakana", "Latin", "Cyrillic")


def parse_scripts(text: str | Sequence[str]) -> Scripts:
    """Return the scripts that are named, as Unicode spells them.

    Args:
        text: names of Unicode, such as `Han,Hiragana,Katakana` or `Latin`, in upper or lower case, as one text or a
            sequence; `Common` is what has no letters.

    Raises:
        InputError: a name is not that of a script.
    """
    names = parts(text) if isinstance(text, str) else text
    folded = [part.strip().lower().replace(" ", "_").replace("-", "_") for part in names]
    for part, name in zip(names, folded, strict=True):
        if name not in _BY_FOLDED:
            raise InputError(f"unknown script {quoted(part.strip())}", hint=f"choose {choices(_near(name))}")
    if not folded:
        raise InputError("no script is named", hint=f"choose {choices(_EXAMPLES)}")
    return frozenset(_BY_FOLDED[name] for name in folded)


def _near(name: str) -> Sequence[str]:
    """Return what may be meant by an unknown name in lower case: names to choose from, or one list of several."""
    if name in _CALLED:
        return [",".join(_CALLED[name])]
    from difflib import get_close_matches

    return [_BY_FOLDED[each] for each in get_close_matches(name, _BY_FOLDED, n=3, cutoff=_CLOSE)] or _EXAMPLES


@cache
def scripts_of(char: str) -> Scripts:
    """Return the scripts one of which a character is of: one for most letters, two for ー, none for 1 and ▁.

    It is the character's Script. A letter that is Common may be of any of its Script_Extensions: ー of Hiragana or
    Katakana. Whatever else is Common, and marks that are Inherited, are of none.
    """
    by_script, by_extension = _patterns()
    found = by_script.match(char)
    if found is not None:
        return frozenset((found.lastgroup,))
    found = by_extension.match(char)
    extensions = {} if found is None else found.groupdict()
    return frozenset(name for name, has in extensions.items() if has is not None)


@cache
def _patterns() -> tuple[Any, Any]:
    """Return patterns whose groups are named as scripts: that of a character, and all extensions of a letter."""
    import regex

    names = [name for name in SCRIPTS if name != COMMON]
    one_of = "|".join(rf"(?P<{name}>\p{{Script={name}}})" for name in names)
    each_of = "".join(rf"(?=(?P<{name}>\p{{Script_Extensions={name}}})?)" for name in names)
    return regex.compile(one_of), regex.compile(rf"(?=\p{{L}}){each_of}")


@dataclass(frozen=True)
class _Written:
    """What the characters of V tokens are written in.

    Attributes:
        classes: (N,) the index in `sets` of each character of all tokens, one token after the other.
        starts: (V,) where the characters of each token begin; the first is one of no script.
        sets: what `scripts_of` returns, each once.
    """

    classes: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    sets: list[Scripts]

    @classmethod
    def of(cls, tokens: Tokens) -> "_Written":
        """Look up every character once; special, unused and byte tokens are no text, and so of no script."""
        codes = np.frombuffer(tokens.surfaces.block.decode().encode("utf-32-le"), dtype=np.uint32)
        present = np.flatnonzero(np.bincount(codes))
        indexes: dict[Scripts, int] = {frozenset(): 0}
        of_code = np.zeros(present[-1] + 1, dtype=np.int64)
        of_code[present] = [indexes.setdefault(scripts_of(chr(code)), len(indexes)) for code in present.tolist()]
        bounds = np.flatnonzero(codes == 0)  # the NUL before each token, and one behind the last
        classes = of_code[codes[:-1]]
        classes[np.repeat(np.isin(tokens.kinds, _NO_TEXT), np.diff(bounds))] = 0
        return cls(classes, bounds[:-1], list(indexes))


def written_in(tokens: Tokens, scripts: Scripts) -> npt.NDArray[np.bool_]:
    """Return for each of the V tokens whether all its characters that are of a script are of these scripts.

    Tokens without any, and special, unused and byte tokens, whose letters are no text, are of the script Common.
    """
    written = _Written.of(tokens)
    right = np.array([bool(each & scripts) for each in written.sets])
    wrong = np.array([bool(each) for each in written.sets]) & ~right
    has_right = np.logical_or.reduceat(right[written.classes], written.starts)
    has_wrong = np.logical_or.reduceat(wrong[written.classes], written.starts)
    return np.asarray(~has_wrong & (has_right | (COMMON in scripts)))


def scripts_by_token(tokens: Tokens) -> list[str]:
    """Return for each of the V tokens its scripts: `Han`, `Han+Hiragana` for both, or else `Common`.

    A ー is of the kana beside it; in a token without one, it is of `Hiragana/Katakana`. So `written_in` is true where
    the scripts have at least one of each part.
    """
    written = _Written.of(tokens)
    ends = np.append(written.starts[1:], len(written.classes))
    owners = np.repeat(np.arange(len(tokens)), ends - written.starts)
    count = len(written.sets)
    pairs = np.unique((owners * count + written.classes)[written.classes > 0])  # a token, and a class that it has
    firsts = np.searchsorted(pairs, np.arange(len(tokens) + 1) * count).tolist()
    classes = (pairs % count).tolist()
    name = cache(lambda chosen: _name([written.sets[each] for each in chosen]))
    return [name(tuple(classes[start:end])) for start, end in pairwise(firsts)]


def _name(sets: Sequence[Scripts]) -> str:
    """Return the name of what sets of scripts require, without those that another one implies."""
    least = [each for each in sets if not any(other < each for other in sets)]
    return "+".join(sorted("/".join(sorted(each)) for each in least)) or COMMON


def answerable(
    tokens: Tokens, script: str | Sequence[str] | None, masks: Masks, *, words_only: bool
) -> npt.NDArray[np.bool_] | None:
    """Return which of the V tokens may be answers, or None for all; what was computed is kept in `masks`.

    Raises:
        InputError: a script is unknown, or no token is left.
    """
    keep = tokens.kinds == Kind.WORD if words_only else None
    if script is None:
        return keep
    scripts = parse_scripts(script)
    if scripts not in masks:
        masks[scripts] = written_in(tokens, scripts)
    chosen = masks[scripts] if keep is None else keep & masks[scripts]
    if not chosen.any():
        problem = f"no {'word' if words_only else 'token'} of this store is in {', '.join(sorted(scripts))}"
        raise InputError(problem, hint="name other scripts")
    return chosen
