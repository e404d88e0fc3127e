"""Arguments of `kotovec.build` of a wrong type, which are refused in one line with the fix, as wrong values are."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from os import PathLike

from kotovec.errors import InputError, quoted
from kotovec.space import Space
from kotovec.store.arguments import kind_of

_TEXT, _PATH = (str,), (str, PathLike)
# Of each argument: its types, what they are in a message, and how it is written.
_TYPES: dict[str, tuple[tuple[type, ...], str, str]] = {
    "model": (_PATH, "a str or a path", 'model="demo"'),
    "store": ((*_PATH, type(None)), "a str or a path", 'store="demo.kotovec"'),
    "workers": ((Integral, type(None)), "a whole number", "workers=2"),
    "spaces": ((str, Space, Iterable), "a str or a list", 'spaces="static,isolated"'),
    "layers": ((str, Integral, Iterable), "a str, a number or a list", 'layers="last"'),
    "dtype": (_TEXT, "a str", 'dtype="float32"'),
    "store_dtype": (_TEXT, "a str", 'store_dtype="float32"'),
    "device": (_TEXT, "a str", 'device="cpu"'),
    "token_filter": ((str, Iterable, type(None)), "a str or a list", 'token_filter="word,subword"'),
    "mecab_dic": ((str, type(None)), "a str", 'mecab_dic="ipadic"'),
    "bos": ((bool,), "True or False", "bos=False"),
    "template": ((str, type(None)), "a str", 'template="This is {}."'),
    "revision": ((str, type(None)), "a str", 'revision="main"'),
    "address": ((str, type(None)), "a str", 'address="auto"'),
    "words": ((*_PATH, Iterable, type(None)), "a path or a list of words", 'words=["king", "queen"]'),
    "words_column": ((str, type(None)), "a str", 'words_column="word"'),
    "pooling": ((str, type(None)), "a str", 'pooling="mean"'),
    "corpus": ((*_PATH, Iterable, type(None)), "a path or a list of paths", 'corpus="texts/*.txt"'),
    "corpus_field": ((str, type(None)), "a str", 'corpus_field="text"'),
    "split": ((str, type(None)), "a str", 'split="sentence"'),
    "min_chars": ((Integral, type(None)), "a whole number", "min_chars=8"),
    "max_chars": ((Integral, type(None)), "a whole number", "max_chars=512"),
    "contexts": ((Integral, type(None)), "a whole number", "contexts=30"),
    "fraction": ((Real, type(None)), "a number", "fraction=0.1"),
    "seed": ((Integral, type(None)), "a whole number", "seed=0"),
    "keep_text": ((bool,), "True or False", "keep_text=True"),
    "contexts_from": ((*_PATH, type(None)), "a path", 'contexts_from="first.kotovec"'),
    "prototypes": ((Integral, type(None)), "a whole number", "prototypes=3"),
    "overwrite": ((bool,), "True or False", "overwrite=True"),
}


def check_types(given: Mapping[str, object]) -> None:
    """Refuse an argument of `kotovec.build` of a wrong type; others than those of `build` are not looked at.

    Raises:
        InputError: one is; the message names it, and the hint how it is written.
    """
    for name, (types, what, how) in _TYPES.items():
        value = given[name]
        is_none_of_them = isinstance(value, bool) and bool not in types  # which Python takes for a number
        if isinstance(value, bytes) or is_none_of_them or not isinstance(value, types):
            raise InputError(f"{name} is {what}, not {kind_of(value)}", hint=f"write it as {quoted(how)}")


def listed(value: object, name: str, *kinds: type) -> str:
    """Return a list as the command line takes it: `0,12` of 0 and 12, a number or several.

    Raises:
        InputError: a part is of another type.
    """
    parts = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (str, *kinds)):
            how = _TYPES[name][2]
            raise InputError(f"{kind_of(part)} is in {name}", hint=f"write it as {quoted(how)}")
    return ",".join(map(str, parts))
