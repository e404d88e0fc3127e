"""Analogies as questions, a is to a* as b is to what: Google's, MSR's, and categories of pairs as BATS has them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kotovec.errors import InputError, quoted
from kotovec.store.evaluation.lines import Line, Problems, part_head, read_lines
from kotovec.text import counted

WORDS = 4  # of a question with its answer
MSR = "word_relationship.questions"
ANSWERS = ".answers"  # of MSR's questions
_PAIR = 2  # fields of a line of BATS
_HINT = (
    "write `a a* b b*` per line (Google), or `b` and its answers `b1/b2` between tabs (BATS), or name MSR's file"
    " `.questions` with its `.answers` beside it"
)
_MSR_HINT = "write `a a* b` per line of the questions, and a category and `b*` on the same line of the answers"


@dataclass(frozen=True)
class Question:
    """A question: a is to a* as b is to one of the answers."""

    a: str
    a_star: str
    b: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Category:
    """Questions about one relation.

    Attributes:
        name: its name, as its file says.
        questions: the questions.
        pairs: the distinct pairs of the relation, a word and what it may become, in their order.
    """

    name: str
    questions: tuple[Question, ...]
    pairs: tuple[tuple[str, tuple[str, ...]], ...] = field(repr=False)

    @classmethod
    def of(cls, name: str, questions: Sequence[Question]) -> "Category":
        """Return the category of some questions, whose pairs are (a, a*) and (b, answers), each once.

        A word may be in several pairs, such as Glendale in Arizona and in California; a pair whose answers are some of
        those of another is that one.
        """
        pairs: dict[str, list[tuple[str, ...]]] = {}
        for each in questions:
            for word, answers in ((each.a, (each.a_star,)), (each.b, each.answers)):
                known = pairs.setdefault(word, [])
                if not any(set(answers) <= set(other) for other in known):
                    known[:] = [*(other for other in known if not set(other) < set(answers)), answers]
        return cls(name, tuple(questions), tuple((word, each) for word, found in pairs.items() for each in found))

    @classmethod
    def of_pairs(cls, name: str, pairs: Sequence[tuple[str, tuple[str, ...]]]) -> "Category":
        """Return the category whose questions are all ordered pairs of two of its pairs; a* is the first answer."""
        questions = [
            Question(a, a_star[0], b, answers)
            for index, (a, a_star) in enumerate(pairs)
            for other, (b, answers) in enumerate(pairs)
            if index != other
        ]
        return cls(name, tuple(questions), tuple(pairs))


def read_analogies(path: Path) -> list[Category]:
    """Return the categories of a data set.

    Args:
        path: a file of Google's kind, with `: category` before the questions; MSR's `word_relationship.questions`,
            beside which its answers are, or its folder; or a file or a folder of files `.txt` of BATS' kind, each a
            category with `b`, a tab and `b1/b2` on a line. Case is as it is. First lines that begin with `#` are
            comments where they are no items of the format, and where `: category` follows.

    Raises:
        InputError: a file cannot be read, has no question, or has malformed lines, which are all named.
    """
    problems = Problems()
    found = list(_read(path, problems))
    is_msr = any(file.suffix == Path(MSR).suffix for file in files_of(path))
    problems.check(_MSR_HINT if is_msr else _HINT)
    categories = _distinct([category for category in found if category.questions])
    if not categories:
        has = "a single pair, and an analogy needs two" if any(each.pairs for each in found) else "no analogies"
        raise InputError(f"{quoted(path)} has {has}", hint=_HINT)
    return categories


def _distinct(categories: Sequence[Category]) -> list[Category]:
    """Return categories with different names: the second `plural` of two files becomes `plural (2)`."""
    seen: Counter[str] = Counter()
    found = []
    for category in categories:
        seen[category.name] += 1
        number = seen[category.name]
        found.append(category if number == 1 else replace(category, name=f"{category.name} ({number})"))
    return found


def files_of(path: Path) -> list[Path]:
    """Return the files that are read for a path, as `read_analogies` does: MSR's are its questions and its answers."""
    if path.is_dir() and not (path / MSR).is_file():
        # An archive that macOS made has hidden files beside all others.
        return sorted(file for file in path.rglob("*.txt") if not file.name.startswith("."))
    file = path / MSR if path.is_dir() else path
    return [file, file.with_suffix(ANSWERS)] if file.suffix == Path(MSR).suffix else [file]


def _read(path: Path, problems: Problems) -> Iterator[Category]:
    files = files_of(path)
    if files and files[0].suffix == Path(MSR).suffix:
        yield from _read_msr(files[0], files[1], problems)
        return
    for file in files:
        yield from _read_file(file, problems)


def _read_file(path: Path, problems: Problems) -> Iterator[Category]:
    head, body = part_head(list(read_lines(path, problems)))
    first = (body or head or [(0, "")])[0][1]
    is_pairs = not first.startswith(":") and len(first.split("\t")) == _PAIR
    fields, count = (_columns, _PAIR) if is_pairs else (_words, WORDS)
    if first.startswith(":"):
        head = []
    lines = [line for line in head if len(found := fields(line[1])) == count and all(found)] + body
    yield from _pairs_of(path, lines, problems) if is_pairs else _google(path, lines, problems)


def _words(line: str) -> list[str]:
    """Return the words of a question of Google's kind, between tabs or blanks."""
    return _columns(line) if line.count("\t") == WORDS - 1 else line.split()


def _columns(line: str) -> list[str]:
    return [each.strip() for each in line.split("\t")]


def _google(path: Path, lines: Sequence[Line], problems: Problems) -> Iterator[Category]:
    questions: dict[str, list[Question]] = {}
    name = path.stem
    for number, line in lines:
        if line.startswith(":"):
            name = line[1:].strip() or path.stem
            continue
        words = _words(line)
        if len(words) == WORDS and all(words):
            a, a_star, b, answer = words
            questions.setdefault(name, []).append(Question(a, a_star, b, (answer,)))
        else:
            problems.add(path, number, f"has {counted(len(words), 'word')}, not 4")
    yield from (Category.of(name, each) for name, each in questions.items())


def _pairs_of(path: Path, lines: Sequence[Line], problems: Problems) -> Iterator[Category]:
    pairs = []
    for number, line in lines:
        fields = _columns(line)
        answers = tuple(dict.fromkeys(filter(None, map(str.strip, fields[1].split("/"))))) if len(fields) > 1 else ()
        if len(fields) != _PAIR:
            problems.add(path, number, f"has {counted(len(fields), 'column')}, not 2")
        elif not fields[0] or not answers:
            problems.add(path, number, "has an empty word")
        else:
            pairs.append((fields[0], answers))
    yield Category.of_pairs(path.stem, pairs)


def _numbered(path: Path, count: int, problems: Problems) -> dict[int, list[str]]:
    """Return the words of lines by their numbers, without comments: first lines with `#` and another count of words."""
    head, body = part_head(list(read_lines(path, problems)))
    items = [line for line in head if len(line[1].split()) == count]
    return {number: text.split() for number, text in [*items, *body]}


def _read_msr(path: Path, other: Path, problems: Problems) -> Iterator[Category]:
    """Yield MSR's categories: a line of questions has three words, the same line of answers a category and a word."""
    asked, answered = _numbered(path, WORDS - 1, problems), _numbered(other, _PAIR, problems)
    questions: dict[str, list[Question]] = {}
    for number in sorted(asked.keys() | answered.keys()):
        words, answer = asked.get(number, []), answered.get(number, [])
        if len(words) != WORDS - 1:
            problems.add(path, number, f"has {counted(len(words), 'word')}, not 3")
        elif len(answer) != _PAIR:
            problems.add(other, number, f"has {counted(len(answer), 'word')}, not a category and a word")
        else:
            questions.setdefault(answer[0], []).append(Question(words[0], words[1], words[2], (answer[1],)))
    yield from (Category.of(name, each) for name, each in questions.items())
