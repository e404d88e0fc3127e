"""gensim's own file of `KeyedVectors`: a pickle, of which only texts, numbers and arrays are read.

Reading a pickle calls what it names. Here it can name only the stand-ins of this module, which keep what they are
given; anything else is refused before it is looked up.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from kotovec.errors import InputError, quoted
from kotovec.store.exchange.arrays import ArraySource, Rows, map_npy
from kotovec.store.exchange.streams import reading

HINT = 'save it from gensim with `kv.save_word2vec_format("NAME.txt")`'
_WORDS, _VECTORS = ("index_to_key", "index2word"), ("vectors", "syn0")  # of gensim 4, and before
_BESIDE = "__numpys"  # the attributes whose arrays lie beside the file
_DTYPES = ("f2", "f4", "f8")


class _Kept:
    """An object of which only what it was made with and its state are kept."""

    def __init__(self, *given: Any) -> None:
        self.given = given


class _Stated(_Kept):
    """One whose state is no dictionary of attributes."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Stated):
    """An array, with its shape, dtype, order and bytes among what is kept."""

    def parts(self) -> tuple[Any, Any, Any, Any]:
        """Return its shape, dtype, order and bytes."""
        _, shape, dtype, is_fortran, data = self.state
        return shape, dtype, "F" if is_fortran else "C", data


class _Buffer(_Array):
    """The same in protocol 5."""

    def parts(self) -> tuple[Any, Any, Any, Any]:
        """Return its shape, dtype, order and bytes."""
        data, dtype, shape, order = self.given
        return shape, dtype, order, data


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes that protocol 2 holds as a text."""
    if encoding != "latin1":
        raise ValueError(encoding)
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("gensim.models.keyedvectors", "KeyedVectors"): _Kept,
    ("gensim.models.keyedvectors", "Word2VecKeyedVectors"): _Kept,
    ("gensim.models.keyedvectors", "Vocab"): _Kept,
    ("numpy", "ndarray"): _Kept,
    ("numpy", "dtype"): _Stated,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Buffer for core in ("core", "_core")},
    ("_codecs", "encode"): _encode,
    ("__builtin__", "frozenset"): frozenset,
    ("builtins", "frozenset"): frozenset,
}


class _Reader(pickle.Unpickler):
    """Reads a pickle, and calls nothing that it names."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a class.

        Raises:
            InputError: it has none.
        """
        found = _NAMES.get((module, name))
        if found is None:
            raise InputError(f"{self._path} holds {quoted(f'{module}.{name}')}, which is not read", hint=HINT)
        return found


def open_keyedvectors(path: Path) -> ArraySource:
    """Return the vectors of a file that `KeyedVectors.save` wrote, with the array beside it where it is a large one.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        with reading(path) as file:
            kept = vars(_Reader(file, path).load())
        texts = kept[next(name for name in _WORDS if name in kept)]
        encoded = [str.encode(text, "utf-8", "surrogatepass") for text in texts]
        rows, shape = _vectors(path, kept)
        _check_enough(shape, len(texts))
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"{path} is no file of gensim's KeyedVectors, or is damaged", hint=HINT) from error
    return ArraySource(path, rows, (len(texts), *shape[1:]), encoded)


def _vectors(path: Path, kept: Mapping[str, Any]) -> tuple[Rows, tuple[int, ...]]:
    """Return the array of the vectors, which lies beside the file where it is a large one, and its shape."""
    name = next(name for name in _VECTORS if name in (*kept, *kept.get(_BESIDE, ())))
    if name not in kept:
        return map_npy(path.with_name(f"{path.name}.{name}.npy"))
    shape, dtype, order, data = kept[name].parts()
    text, byteorder = dtype.given[0], dtype.state[1]
    if text not in _DTYPES or byteorder not in ("<", ">", "=", "|"):
        raise ValueError(text)
    rows = np.frombuffer(data, dtype=np.dtype(text).newbyteorder(byteorder)).reshape(shape, order=order)
    return rows, rows.shape


def _check_enough(shape: tuple[int, ...], words: int) -> None:
    if shape[0] < words:
        raise ValueError("fewer vectors than words")
