"""Data sets by name: those that an installed package carries."""

from importlib.util import find_spec
from pathlib import Path

from kotovec.errors import InputError, MissingDependencyError, choices, quoted

# gensim's tests have them, with the headers of their distributions as comments.
PAIRS = {"simlex999": "simlex999.txt", "wordsim353": "wordsim353.tsv"}
ANALOGIES = {"google": "questions-words.txt"}
_FOLDER = "test/test_data"


def locate(name: str, named: dict[str, str]) -> Path:
    """Return the path of a data set: a file or a folder of that name, or one that gensim carries.

    Args:
        name: a path, or the name of a data set.
        named: the files of data sets by their names, such as `PAIRS`.

    Raises:
        InputError: it is the name of a data set for another task.
        MissingDependencyError: it is the name of a data set, and gensim is not installed.
    """
    path = Path(name)
    if path.exists() or name not in PAIRS | ANALOGIES:
        return path
    if name not in named:
        raise InputError(f"{quoted(name)} is for another task", hint=f"choose {choices(named)}, or name a file")
    spec = find_spec("gensim")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [file for folder in folders if (file := Path(folder, _FOLDER, named[name])).is_file()]
    if not found:
        raise MissingDependencyError(f"{quoted(name)} is a file of gensim, which is missing", hint="pip install gensim")
    return found[0]


def title(name: str) -> str:
    """Return what results call a data set: its name, or that of its file or folder without the ending."""
    path = Path(name)
    return path.name if path.is_dir() else path.stem
