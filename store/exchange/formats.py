"""The formats of files of vectors: which a name means, and which texts each can hold."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kotovec.errors import InputError, choices, quoted

GZIP = ".gz"
GENSIM = "gensim"  # what its `KeyedVectors.load_word2vec_format` reads: another name of word2vec's binary format


class Format(StrEnum):
    """A format of a file of vectors, as `--format` names it."""

    WORD2VEC = "word2vec"
    WORD2VEC_BIN = "word2vec-bin"
    GLOVE = "glove"
    FASTTEXT = "fasttext"
    FASTTEXT_BIN = "fasttext-bin"
    NPY = "npy"
    SAFETENSORS = "safetensors"
    PARQUET = "parquet"
    ARROW = "arrow"
    PROJECTOR = "projector"
    KEYEDVECTORS = "keyedvectors"


@dataclass(frozen=True)
class About:
    """What a format is.

    Attributes:
        endings: of the names of its files; the first is that of an export.
        unfit: matches, in a block of texts each between two NULs, a text that the format cannot hold; None for none.
        words: ending of the file of the words, if that is another one, in place of that of the file.
        zipped: whether its files may be compressed with gzip.
    """

    endings: tuple[str, ...]
    unfit: re.Pattern[bytes] | None
    words: str = ""
    zipped: bool = False


BOM = b"\xef\xbb\xbf"  # which some programs put before a text: not a part of the first word
_BEGINS = rb"\0" + BOM  # a text that begins with one, which would be lost from the first line
_SPACES = rb"[\t-\r ]|\0\0"  # what C's isspace takes for the end of a word, and the empty text
_SPACED = re.compile(_SPACES)
FORMATS = {
    Format.WORD2VEC: About((".txt", ".w2v"), _SPACED, zipped=True),
    Format.WORD2VEC_BIN: About((".bin",), _SPACED, zipped=True),
    Format.GLOVE: About((".glove", ".txt"), re.compile(_SPACES + b"|" + _BEGINS), zipped=True),
    Format.FASTTEXT: About((".vec",), _SPACED, zipped=True),
    Format.FASTTEXT_BIN: About((), None),  # a model, which is imported only
    Format.KEYEDVECTORS: About((), None),  # gensim's own, which is imported only
    Format.NPY: About((".npy",), re.compile(rb"[\n\r]|" + _BEGINS), ".words.txt"),
    Format.SAFETENSORS: About((".safetensors",), None),
    Format.PARQUET: About((".parquet",), None),
    Format.ARROW: About((".arrow", ".feather"), None),
    Format.PROJECTOR: About((".tsv",), re.compile(rb"[\t\n\r]|\0\0|" + _BEGINS), ".metadata.tsv"),
}
MODEL = (793712314).to_bytes(4, "little")  # what a model of fastText begins with
KEYED = ".kv"  # gensim's KeyedVectors
_PICKLES = (KEYED, ".model", ".pkl", ".pickle")


def named(text: str) -> Format:
    """Return the format that `--format` names.

    Raises:
        InputError: it names none.
    """
    if text == GENSIM:
        return Format.WORD2VEC_BIN
    try:
        return Format(text)
    except ValueError as error:
        raise InputError(f"unknown format {quoted(text)}", hint=f"choose {choices((*Format, GENSIM))}") from error


def ending_of(path: Path) -> str:
    """Return the ending of a name in lower case, without that of gzip."""
    name = path.name.lower().removesuffix(GZIP)
    return Path(name).suffix


def is_zipped(path: Path) -> bool:
    """Return whether a name is that of a file compressed with gzip."""
    return path.name.lower().endswith(GZIP)


def of_target(path: Path, given: Format | None) -> Format:
    """Return the format that an export to a path has.

    Raises:
        InputError: the name says none, or it ends in .gz and the format is compressed otherwise.
    """
    ending = ending_of(path)
    found = given or next((each for each, about in FORMATS.items() if ending in about.endings), None)
    if found is None or (ending in _PICKLES and given is not None):
        raise _unknown(path, ending)
    if not FORMATS[found].endings:
        problem = f"{found} is imported only"
        raise InputError(problem, hint="choose `fasttext` or `word2vec-bin` with --format")
    return checked(path, found)


def of_source(path: Path, start: bytes, given: Format | None) -> Format:
    """Return the format of a file to import.

    Args:
        path: the file.
        start: its first bytes, after decompression.
        given: the format that the user names, if any.

    Raises:
        InputError: it is a pickle, or neither its name nor its beginning says what it is.
    """
    ending = ending_of(path)
    is_pickle = re.match(rb"\x80[\x02-\x05]", start) is not None
    if given is Format.KEYEDVECTORS or (given is None and is_pickle and ending == KEYED):
        return Format.KEYEDVECTORS
    if is_pickle or (ending in _PICKLES and given is None):
        problem = f"{path} is a pickle, which runs whatever code is in it when it is read"
        raise InputError(problem, hint='save its vectors from gensim with `kv.save("NAME.kv")`')
    if start.startswith(MODEL) and given is None and not is_zipped(path):
        return Format.FASTTEXT_BIN
    if given is not None:
        return checked(path, given)
    if ending == ".txt":
        return Format.WORD2VEC if re.match(rb"(\xef\xbb\xbf)?\d+ \d+ *\r?\n", start) else Format.GLOVE
    return of_target(path, None)


def checked(path: Path, found: Format) -> Format:
    """Return a format that may have this path."""
    if is_zipped(path) and not FORMATS[found].zipped:
        raise InputError(f"{path} ends in .gz, and {found} is not compressed so", hint="name a file without .gz")
    return found


def _unknown(path: Path, ending: str) -> InputError:
    if ending in _PICKLES:
        problem = f"{path} has the ending of a pickle, which kotovec neither reads nor writes"
        raise InputError(problem, hint="name a file that ends in .bin, which gensim's load_word2vec_format reads")
    endings = dict.fromkeys(ending for about in FORMATS.values() for ending in about.endings)
    problem = f"{path} has an ending of no known format" if ending else f"{path} has no ending that says its format"
    return InputError(problem, hint=f"choose {choices(endings)}, or name the format with --format")
