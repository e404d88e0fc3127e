"""Unicode scripts: which one a letter belongs to, and which tokens are written in given ones.

Python has no table of scripts. The first words of a letter's name name its script: CJK UNIFIED IDEOGRAPH-738B is Han,
CYRILLIC SMALL LETTER A is Cyrillic.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, quoted
from kotovec.store.tokens import Kind, Tokens

COMMON = "Common"  # what has no letters: digits, punctuation, marks of words
# The scripts of Unicode 15.1, as its Scripts.txt spells them; a letter of any other has none.
SCRIPTS = tuple(
    """
    Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki
    Bopomofo Brahmi Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian
    Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan
    Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati
    Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic
    Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi
    Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian
    Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui
    Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari
    Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic
    Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage
    Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan
    Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri
    Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan
    Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square
    """.split()  # noqa: SIM905 — 160 quoted names would be hard to read
)
_LONGEST = 3  # most words in a script's name that say which it is
_BY_WORDS = {name.upper(): name for name in SCRIPTS}
# What begins the names of letters whose script is called otherwise.
_BY_WORDS |= {
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "HANGZHOU": "Han",
    "HENTAIGANA": "Hiragana",
    "CANADIAN": "Canadian_Aboriginal",
    "EGYPTIAN": "Egyptian_Hieroglyphs",
    "ANATOLIAN": "Anatolian_Hieroglyphs",
    "MEROITIC_HIEROGLYPHIC": "Meroitic_Hieroglyphs",
    "ZANABAZAR": "Zanabazar_Square",
    "ROMAN": "Latin",
}
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
Masks = dict[frozenset[str], npt.NDArray[np.bool_]]  # (V,) for each set of scripts
_NO_TEXT = (Kind.SPECIAL, Kind.UNUSED, Kind.BYTE)  # their letters are no text
_EXAMPLES = ("Han", "Hiragana", "Katakana", "Latin", "Cyrillic")


def parse_scripts(text: str | Sequence[str]) -> frozenset[str]:
    """Return the scripts that are named, as Unicode spells them.

    Args:
        text: names of Unicode, such as `Han,Hiragana,Katakana` or `Latin`, in upper or lower case, as one text or a
            sequence; `Common` is what has no letters.

    Raises:
        InputError: a name is not that of a script.
    """
    parts = text.split(",") if isinstance(text, str) else text
    folded = [part.strip().lower().replace(" ", "_").replace("-", "_") for part in parts]
    for part, name in zip(parts, folded, strict=True):
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


def scripts_of(char: str) -> frozenset[str]:
    """Return the script of a letter or a mark, two for ー, and none for any other character."""
    found: set[str] = set()
    for each in unicodedata.normalize("NFKC", char):
        category = unicodedata.category(each)
        if category[0] not in "LM" and category != "Nl":
            continue
        name = unicodedata.name(each, "")
        if name.startswith("KATAKANA-HIRAGANA"):
            found |= {"Hiragana", "Katakana"}
        words = name.replace("-", "_").split(" ")
        heads = ("_".join(words[:count]) for count in range(_LONGEST, 0, -1))
        found |= {script for head in heads if (script := _BY_WORDS.get(head))}
    return frozenset(found)


def written_in(tokens: Tokens, scripts: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Return for each of the V tokens whether all its letters are of these scripts.

    Tokens without letters, and special, unused and byte tokens, whose letters are no text, are of the script Common.
    250,000 tokens take 0.2 s: each character is judged once.
    """
    codes = np.frombuffer(tokens.surfaces.block.decode().encode("utf-32-le"), dtype=np.uint32)
    present = np.flatnonzero(np.bincount(codes)).tolist()
    right, wrong = np.zeros((2, present[-1] + 1), dtype=np.bool_)
    for code in present:
        names = scripts_of(chr(code))
        right[code], wrong[code] = bool(names & scripts), bool(names) and not names & scripts
    starts = np.flatnonzero(codes == 0)[:-1]  # of the NUL before each token
    is_text = ~np.isin(tokens.kinds, _NO_TEXT)
    has_right = np.logical_or.reduceat(right[codes], starts) & is_text
    has_wrong = np.logical_or.reduceat(wrong[codes], starts) & is_text
    return ~has_wrong & (has_right | (COMMON in scripts))


def scripts_by_token(tokens: Tokens) -> list[str]:
    """Return for each of the V tokens the scripts of its letters, such as `Han` or `Han+Hiragana`, else `Common`.

    A ー counts as the kana beside it. Special, unused and byte tokens are Common, as in `written_in`.
    """
    known: dict[str, frozenset[str]] = {}
    found = []
    for surface, kind in zip(tokens.surfaces, tokens.kinds.tolist(), strict=True):
        names: set[str] = set()
        either: set[str] = set()
        for char in surface if kind not in _NO_TEXT else "":
            if char not in known:
                known[char] = scripts_of(char)
            if len(known[char]) > 1:
                either |= known[char]
            else:
                names |= known[char]
        if either and not either & names:
            names.add("Katakana" if "Katakana" in either else min(either))
        found.append("+".join(sorted(names)) or COMMON)
    return found


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
        raise InputError(f"no {'word' if words_only else 'token'} of this store is in {', '.join(sorted(scripts))}")
    return chosen
