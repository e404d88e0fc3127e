"""Data sets by name, which installed packages carry, and files of data sets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kotovec.errors import InputError, MissingDependencyError, choices, quoted
from kotovec.store.evaluation.questions import Category, files_of, read_analogies
from kotovec.store.evaluation.similarity import Pair, number_of, read_pairs
from kotovec.text import argument


@dataclass(frozen=True)
class Carried:
    """A data set as a file of a package.

    Attributes:
        module: what the package is imported as; it is found, and not imported.
        file: the path of the file in it.
        install: what pip is asked for.
    """

    module: str
    file: str
    install: str


# gensim's tests have three, with the headers of their distributions as comments. The other package has plain files, and
# needs TensorFlow only if it is imported.
_GENSIM = "gensim", "gensim"
_EMBEDDINGS = "probabilistic_word_embeddings", "--no-deps probabilistic-word-embeddings"
PAIRS = {
    name: Carried(module, file, install)
    for name, file, (module, install) in (
        ("simlex999", "test/test_data/simlex999.txt", _GENSIM),
        ("wordsim353", "test/test_data/wordsim353.tsv", _GENSIM),
        ("men", "data/eval/MEN-TR-3k.tsv", _EMBEDDINGS),
        ("rarewords", "data/eval/RW-STANFORD.tsv", _EMBEDDINGS),
    )
}
ANALOGIES = {"google": Carried("gensim", "test/test_data/questions-words.txt", "gensim")}


def load_pairs(name: str, columns: str | None = None) -> list[Pair]:
    """Return the word pairs of a data set.

    Args:
        name: a path, or one of the names of `PAIRS`.
        columns: as for `read_pairs`.

    Raises:
        InputError: as `read_pairs`, or the file holds analogies.
        MissingDependencyError: it is the name of a data set, and its package is not installed.
    """
    path = locate(name, PAIRS)
    try:
        return read_pairs(path, columns)
    except InputError as error:
        if columns is None and _holds_analogies(path):
            other = f"use {quoted(f'kotovec evaluate analogies {argument(name)}')}"
            raise InputError(f"{path} holds analogies, not word pairs with scores", hint=other) from error
        raise


def load_analogies(name: str) -> list[Category]:
    """Return the analogies of a data set.

    Args:
        name: a path, or one of the names of `ANALOGIES`.

    Raises:
        InputError: as `read_analogies`, or the file holds word pairs.
        MissingDependencyError: it is the name of a data set, and its package is not installed.
    """
    path = locate(name, ANALOGIES)
    try:
        return read_analogies(path)
    except InputError as error:
        if _holds_pairs(path):
            other = f"use {quoted(f'kotovec evaluate pairs {argument(name)}')}"
            raise InputError(f"{path} holds word pairs with scores, not analogies", hint=other) from error
        raise


def _holds_analogies(path: Path) -> bool:
    """Return whether a file that is none of pairs is one of analogies: its answers are words, and no scores."""
    try:
        categories = read_analogies(path)
    except InputError:
        return False
    answers = [answer for category in categories for question in category.questions for answer in question.answers]
    return any(number_of(answer) is None for answer in answers)


def _holds_pairs(path: Path) -> bool:
    try:
        return bool(read_pairs(path))
    except InputError:
        return False


def locate(name: str, named: Mapping[str, Carried]) -> Path:
    """Return the path of a data set: a file or a folder of that name, or one that a package carries.

    Args:
        name: a path, or the name of a data set.
        named: data sets by their names, such as `PAIRS`.

    Raises:
        InputError: it is the name of a data set for another task.
        MissingDependencyError: it is the name of a data set, and its package is not installed.
    """
    path = Path(name)
    if path.exists() or name not in PAIRS | ANALOGIES:
        return path
    if name not in named:
        raise InputError(f"{quoted(name)} is for another task", hint=f"choose {choices(named)}, or name a file")
    carried = named[name]
    spec = find_spec(carried.module)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [file for folder in folders if (file := Path(folder, carried.file)).is_file()]
    if not found:
        problem = f"{quoted(name)} is a file of {carried.module}, which is missing"
        raise MissingDependencyError(problem, hint=f"pip install {carried.install}")
    return found[0]


def inputs_of(names: Iterable[str]) -> list[Path]:
    """Return the files that data sets are read from, but for those of packages that are not installed."""
    found = []
    for name in names:
        try:
            found += files_of(locate(name, PAIRS | ANALOGIES))
        except MissingDependencyError:
            continue
    return found


def title(name: str) -> str:
    """Return what results call a data set: its name, or that of its file or folder without the ending."""
    path = Path(name)
    return path.name if path.is_dir() else path.stem


def titles(names: Sequence[str]) -> list[str]:
    """Return what results call data sets: their titles, or what they were named where these are the same."""
    found = [title(name) for name in names]
    return [each if found.count(each) == 1 else name for each, name in zip(found, names, strict=True)]
