"""Arguments from Python of a wrong type are refused as wrong values are: an `InputError` with the fix as its hint."""

import numpy as np
import pytest

import kotovec
from kotovec.errors import InputError

from commands import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with kotovec.open(make_store(tmp_path_factory.mktemp("arguments") / "s.kotovec")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("ask", "message", "hint"),
    [
        (lambda store: store.search("king", k="3"), "k is a whole number, not a str", "write it as `k=10`"),
        (lambda store: store.search("king", k=2.0), "k is a whole number, not a float", "write it as `k=10`"),
        (lambda store: store.search("king", k=True), "k is a whole number, not a bool", "write it as `k=10`"),
        (lambda store: store.nearest("king"), "nearest takes vectors, not a str", "use `search` for an expression"),
        (lambda store: store.nearest(["king"]), "these vectors are of dtype <U4", "give numbers, of shape (n, D)"),
        (
            lambda store: store.nearest(rows=[1.5]),
            "these rows are of dtype float64",
            "give whole numbers, of shape (n,)",
        ),
        (
            lambda store: store.nearest([[1], [2, 3]]),
            "these vectors are not an array of numbers",
            "give one of shape (n, D)",
        ),
        (
            lambda _: kotovec.open(None),
            "a store is opened by its path, not by None",
            "name its folder, such as `demo.kotovec`",
        ),
        (
            lambda store: store.search("king", space="both"),
            "`both` is not one space",
            "ask in one at a time, such as `static`",
        ),
        (
            lambda store: store.search("king", space=6),
            "a space is a str or a Space, not an int",
            "write it as `isolated@6`",
        ),
    ],
)
def test_a_wrong_type_is_refused_with_the_fix(store, ask, message, hint):
    with pytest.raises(InputError) as caught:
        ask(store)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_numbers_of_numpy_are_numbers(store):
    assert len(store.search("king", k=np.int64(3)).results) == 3
    assert len(store.nearest(rows=np.array([0, 1]), k=np.int32(2))) == 2
