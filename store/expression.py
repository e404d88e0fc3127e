"""Read an expression such as `王 - 男 + 0.5*(女 - "new york")` into a weighted sum of terms.

A term is looked up unsplit before it is split at its operators, so the parser asks the vocabulary while it reads:
`e-mail` is one term if the vocabulary has it, and `e - mail` if not.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kotovec.errors import ExpressionError
from kotovec.store.lookalikes import advice

PLUS = "+＋"
MINUS = "-－−‐‑–﹣"  # ASCII, full-width, minus sign, hyphens, en dash; never ー, which is a letter
HYPHENS = "-‐‑–﹣"  # what also joins the parts of a word, as in `twenty-one`
TIMES = "*＊×"
EXPONENT, EXPONENT_SIGNS = ("e", "E", "ｅ", "Ｅ"), ("+", "-", "＋", "－", "−")  # of a weight such as 1e-3
OPEN, CLOSE = "(（", ")）"
SIGNS = PLUS + MINUS + TIMES + OPEN + CLOSE
# What closes each quote that may open: an input method types ” or ’ on both sides, a word processor „ and “.
QUOTES = {
    **{mark: mark for mark in "\"'＂＇”’"},
    "“": "”“",
    "‘": "’‘",
    "„": "“”",
    "‚": "‘’",
    "「": "」",
    "『": "』",
    "〝": "〟",
    "«": "»",
}
APOSTROPHES = "’‘＇"  # a quote only if it is closed: else a word begins so
DEEPEST = 50  # most levels of nested parentheses; Python itself gives up at about 200
LONGEST = 1000  # most characters that are looked up as one token: no vocabulary has one half as long
LARGEST = 1e9  # largest weight: far above it, sums of squares would overflow
_KANA = r"[\u3041-\u30ff\uff66-\uff9f]"
_LONG_VOWELS = re.compile(rf"{_KANA}+(?:[{MINUS}]{_KANA}+)+")
_LONG_VOWEL_AT_END = re.compile(rf"(?:{_KANA}+[{MINUS}])+$")
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_ID = re.compile(r"[#＃]\d+")
_CHUNK = re.compile(rf"\S{{0,{LONGEST + 1}}}")
_NOT_TEXT = re.compile("[\ud800-\udfff]")
_NO_ID = 2**63 - 1


@dataclass(frozen=True)
class Term:
    """A term with its weight in the sum.

    Attributes:
        text: the term as written, without quotes.
        weight: the factor that its vector is multiplied by.
        position: the index of its first character in the expression.
        literal: whether it was in quotes, so that `#12` is not a token id.
    """

    text: str
    weight: float
    position: int
    literal: bool = False

    @property
    def token_id(self) -> int | None:
        """The number in `#12`, or None."""
        if self.literal or not _ID.fullmatch(self.text):
            return None
        try:
            return min(int(self.text[1:]), _NO_ID)
        except ValueError:  # thousands of digits
            return _NO_ID


def parse(expression: str, known: Callable[[str], bool]) -> list[Term]:
    """Return the terms whose weighted sum the expression is.

    Args:
        expression: what the user typed.
        known: returns whether the vocabulary has a text as it stands.

    Raises:
        ExpressionError: the expression is empty or malformed; the error gives the position.
    """
    reader = _Reader(expression, known)
    if broken := _NOT_TEXT.search(expression):
        raise reader.error(
            "this is not a character (the text is not valid UTF-8)", broken.start(), hint="type it again in its place"
        )
    reader.skip_spaces()
    if reader.at_end:
        raise ExpressionError("the expression is empty", expression, 0, hint="type one, such as `king - man + woman`")
    terms = reader.sum()
    if not reader.at_end:
        hint = f"leave out this {reader.char}, or open it before with {OPEN[CLOSE.index(reader.char)]}"
        raise reader.error("there is no ( for this )", hint=hint)
    return terms


def render(terms: list[Term]) -> str:
    """Return the sum as kotovec understood it: `王 - 男 + 0.5*女`."""
    parts: list[str] = []
    for term in terms:
        size = f"{abs(term.weight):g}"
        if "e" in size:  # 1e+06 would be read as a sum
            size = f"{abs(term.weight):.15f}".rstrip("0").rstrip(".")
        text = f'"{term.text}"' if term.literal and _ID.fullmatch(term.text) else term.text  # not the token's number
        text = f"{size}*{text}" if size != "1" else text
        sign = "-" if term.weight < 0 and size != "0" else "+"
        if parts:
            parts.append(f"{sign} {text}")
        else:
            parts.append(f"-{text}" if sign == "-" else text)
    return " ".join(parts)


def hyphenated(expression: str, terms: Sequence[Term]) -> list[str]:
    """Return a sentence for every hyphenated word that was read as a subtraction, such as `twenty-one`.

    Such a word stands alone, between spaces or parentheses, and only hyphens join its parts: `王-男+女` has another
    operator, and is meant as arithmetic.

    Args:
        expression: what the user typed.
        terms: the terms that it was read into.
    """
    if not any(char in expression for char in HYPHENS):
        return []
    found = []
    for index, term in enumerate(terms):
        before = term.position
        while before and expression[before - 1] in SIGNS:
            before -= 1
        if term.literal or (before and not expression[before - 1].isspace()):
            continue
        chunk = _CHUNK.match(expression, term.position)[0].rstrip(CLOSE)  # type: ignore[index]  # matches everywhere
        parts = "".join("-" if char in HYPHENS else char for char in chunk).split("-")
        if chunk == term.text or len(parts) == 1 or not all(map(_may_be_part, parts)):
            continue
        end = term.position + len(chunk)
        read = [each.text for each in terms[index : index + len(parts)] if each.position < end]
        found.append(f'{chunk} is read as {" - ".join(read)}; for the word write "{chunk}", with its quotes')
    return found


def lengthened(expression: str, terms: Sequence[Term], known: Callable[[str], bool]) -> dict[str, str]:
    """Return a sentence by every word of kana whose ー was typed as a minus and read as one, such as `ラ－メン`.

    Only where the vocabulary has the word with ー: kana can be subtracted from kana.

    Args:
        expression: what the user typed.
        terms: the terms that it was read into.
        known: returns whether the vocabulary has a text as it stands.
    """
    found = {}
    for word in _LONG_VOWELS.finditer(expression):
        instead = _lengthened(word[0])
        if any(term.position == word.start() and not term.literal for term in terms) and known(instead):
            found[word[0]] = f"{word[0]} is read as a subtraction; for the letter ー write {instead}"
    return found


def _lengthened(word: str) -> str:
    return "".join("ー" if char in MINUS else char for char in word)


def is_number(text: str) -> bool:
    """Return whether a text is a number as a weight is written, in either width."""
    return _NUMBER.fullmatch(unicodedata.normalize("NFKC", text)) is not None


def _may_be_part(text: str) -> bool:
    return text != "" and text[0] not in "#＃" and text[0] not in QUOTES and not any(char in SIGNS for char in text)


class _Reader:
    """A recursive-descent parser: sum → product → term, each a list of weighted terms."""

    def __init__(self, expression: str, known: Callable[[str], bool]) -> None:
        self.text, self.known, self.at, self.depth = expression, known, 0, 0

    @property
    def at_end(self) -> bool:
        return self.at >= len(self.text)

    @property
    def char(self) -> str:
        """The next character, or a space at the end (which no set of operators contains)."""
        return " " if self.at_end else self.text[self.at]

    def skip_spaces(self) -> None:
        while not self.at_end and self.text[self.at].isspace():
            self.at += 1

    def error(self, problem: str, position: int | None = None, hint: str | None = None) -> ExpressionError:
        return ExpressionError(problem, self.text, self.at if position is None else position, hint=hint)

    def sum(self) -> list[Term]:
        """Read `[-] product (+|- product)*`, up to the end or a closing parenthesis."""
        terms: list[Term] = []
        weight = 1.0
        if self.char in PLUS + MINUS and not self.longest():
            weight = self.read_sign()
        while True:
            terms += _scaled(self.product(), weight)
            self.skip_spaces()
            if self.at_end or self.char in CLOSE:
                return terms
            if self.char not in PLUS + MINUS:
                hint = 'put + or - before this, or quotes around words that belong together: "a b"'
                hint = advice(self.char) or self.weight_meant(terms[-1]) or hint
                raise self.error("an operator is missing here", hint=hint)
            weight = self.read_sign()

    def weight_meant(self, term: Term) -> str | None:
        """Return the hint where the term before, or what follows, is a number: `1.5*king` for `1.5 king`."""
        chunk = self.chunk()
        after = chunk[: next((at for at, char in enumerate(chunk) if char in SIGNS), len(chunk))]
        if not term.literal and is_number(term.text):
            word = after if after and after[0] not in QUOTES else "token"
            return f"write a weight as `{term.text}*{word}`"
        return f"write a weight as `{after}*{term.text}`" if not term.literal and is_number(after) else None

    def vowel_meant(self) -> str | None:
        """Return the hint where a minus that ends a word of kana may be meant as ー: `サ－バ－`."""
        before = self.text[max(0, self.at - LONGEST) : self.at].rstrip()
        found = _LONG_VOWEL_AT_END.search(before)
        return f"write {_lengthened(found[0])} with the letter ー: {before[-1]} is a minus" if found else None

    def read_sign(self) -> float:
        weight = -1.0 if self.char in MINUS else 1.0
        self.at += 1
        self.skip_spaces()
        return weight

    def product(self) -> list[Term]:
        """Read a term with its weights: `0.5*王`, `王*0.5`, `2*(王 - 男)`."""
        start = self.at
        weighted = 1.0
        while (factor := self.number_before_times()) is not None:
            weighted *= factor
        begin = self.at
        terms = self.operand()
        while True:
            back = self.at
            self.skip_spaces()
            if self.char not in TIMES:
                self.at = back
                terms = _scaled(terms, weighted)
                if not all(abs(term.weight) <= LARGEST for term in terms):
                    raise self.error(f"a weight is at most {LARGEST:g}", start, hint="write a smaller number")
                return terms
            self.at += 1
            self.skip_spaces()
            number = self.number()
            if number is None:
                raise self.no_weight(begin, self.text[begin:back])
            weighted *= number

    def no_weight(self, begin: int, before: str) -> ExpressionError:
        """Return the error of a sign of multiplication without a number, at what is meant as one: `1,5*女`, `王*女`."""
        if any(map(str.isnumeric, before)) and not any(map(str.isalpha, before)):
            meant = unicodedata.normalize("NFKC", before).replace(",", ".")
            shown = meant if is_number(meant) else "0.5"
            return self.error("this weight is not a number", begin, hint=f"write a weight as `{shown}*token`")
        return self.error("this weight is not a number", hint="write a weight as `0.5*token`")

    def number_before_times(self) -> float | None:
        """Read `0.5 *`, or nothing: a number without a multiplication sign after it is a token."""
        start = self.at
        number = self.number()
        if number is not None and not self.in_token(start):
            self.skip_spaces()
            if self.char in TIMES:
                self.at += 1
                self.skip_spaces()
                return number
        self.at = start
        return None

    def in_token(self, start: int) -> bool:
        """Return whether the text read from `start` on is the beginning of a longer token, such as `2*3`."""
        end, self.at = self.at, start
        token = self.longest()
        self.at = end
        return len(token) > end - start

    def number(self) -> float | None:
        end = self.digits_end(self.at, ".．")
        if end > self.at and self.text[end : end + 1] in EXPONENT:
            signed = end + 2 if self.text[end + 1 : end + 2] in EXPONENT_SIGNS else end + 1
            end = past if (past := self.digits_end(signed)) > signed else end
        digits = unicodedata.normalize("NFKC", self.text[self.at : end]).replace("−", "-")
        if not _NUMBER.fullmatch(digits):
            return None
        self.at = end
        return float(digits)

    def digits_end(self, start: int, others: str = "") -> int:
        """Return where the digits, or some other characters, that begin at `start` end."""
        rest = range(start, len(self.text))
        return next(
            (at for at in rest if not self.text[at].isdecimal() and self.text[at] not in others), len(self.text)
        )

    def chunk(self) -> str:
        """Return the characters up to the next space, or enough of them to see that they are too long for a token."""
        return _CHUNK.match(self.text, self.at)[0]  # type: ignore[index]  # matches everywhere

    def is_token(self, chunk: str) -> bool:
        """Return whether the vocabulary has a chunk that is more than operators: a bare `-` is always an operator."""
        return len(chunk) <= LONGEST and bool(chunk.strip(SIGNS)) and self.known(chunk)

    def longest(self) -> str:
        """Return the token that begins here and ends with the chunk, operators included, or an empty text.

        As many closing parentheses at its end as are open belong to the expression: of `C++)`, `C++` is looked up.
        """
        chunk = self.chunk()
        if chunk in QUOTES and closing_quote(self.text, self.at) >= 0:
            return ""  # `" a"` is quoted, not the token `"`
        closing = len(chunk) - len(chunk.rstrip(CLOSE))
        for less in range(min(closing, self.depth), closing + 1):
            if self.is_token(token := chunk[: len(chunk) - less]):
                return token
        return ""

    def operand(self) -> list[Term]:
        """Read a parenthesis, a quoted text or a token."""
        start, chunk = self.at, self.chunk()
        if not chunk:
            only = self.text.strip()
            hint = f"write a token after {only[-1]}, or leave it out" if only.strip(SIGNS) or only[-1] in OPEN else None
            lone = f'put an operator that is a token in quotes: "{only}"'
            raise self.error("a token is missing here", hint=self.vowel_meant() or hint or lone)
        if token := self.longest():
            self.at += len(token)
            return [Term(token, 1.0, start)]
        if chunk[0] in QUOTES and not (chunk[0] in APOSTROPHES and closing_quote(self.text, self.at) < 0):
            return [self.quoted()]
        if chunk[0] in OPEN:
            return self.parenthesis()
        # Not a regular expression: compiling one with these operators takes 2 ms of a cold query's 250 ms.
        rest = range(start, len(self.text))
        self.at = next((at for at in rest if self.text[at] in SIGNS or self.text[at].isspace()), len(self.text))
        if self.at == start:
            operator = f'put an operator that is a token in quotes: "{self.text[start]}"'
            raise self.error("a token is missing here", hint=self.vowel_meant() or operator)
        return [Term(self.text[start : self.at], 1.0, start)]

    def quoted(self) -> Term:
        start, end = self.at, closing_quote(self.text, self.at)
        if end < 0:
            first = QUOTES[self.char][0]
            hint = f"close it with {first}, or leave out {self.char}"
            raise self.error("this quote is not closed", start, hint=hint)
        self.at = end + 1
        return Term(self.text[start + 1 : end], 1.0, start, literal=True)

    def parenthesis(self) -> list[Term]:
        start = self.at
        if self.depth == DEEPEST:
            hint = "leave some out: a - (b - c) is a - b + c"
            raise self.error(f"more than {DEEPEST} parentheses inside each other", hint=hint)
        self.at, self.depth = self.at + 1, self.depth + 1
        self.skip_spaces()
        terms = self.sum()
        if self.char not in CLOSE:
            opened = self.text[start]
            hint = f"close it with {CLOSE[OPEN.index(opened)]}, or leave out {opened}"
            raise self.error("this parenthesis is not closed", start, hint=hint)
        self.at, self.depth = self.at + 1, self.depth - 1
        return terms


def closing_quote(text: str, start: int) -> int:
    """Return where the quote that opens at an index is closed, or -1."""
    ends = (text.find(mark, start + 1) for mark in QUOTES[text[start]])
    return min((end for end in ends if end >= 0), default=-1)


def _scaled(terms: list[Term], weight: float) -> list[Term]:
    return [replace(term, weight=term.weight * weight) for term in terms]
