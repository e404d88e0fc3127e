"""A space as a value: written, read, named as a file, ordered, and found among those that a store holds."""

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.errors import InputError, NotStoredError
from kotovec.space import LAYERED, STEM, TABLES, Origin, Space, Stored, parse_spaces, resolve

STORED = (Space("static"), Space("isolated", 0), Space("isolated", 6), Space("isolated", 12))
STEPS = st.lists(st.from_regex(r"[a-z][a-z0-9.:]{0,5}", fullmatch=True), max_size=3).map(tuple)
SPACES = st.one_of(
    st.builds(Space, st.sampled_from(TABLES), steps=STEPS),
    st.builds(Space, st.sampled_from(LAYERED), st.integers(0, 99), steps=STEPS),
    st.builds(Space, st.sampled_from(LAYERED), st.integers(5, 9), st.integers(0, 4), STEPS),
)


@pytest.mark.parametrize(
    ("text", "space", "stem", "title"),
    [
        ("static", Space("static"), "static", "static"),
        ("output", Space("output"), "output", "output"),
        ("isolated@12", Space("isolated", 12), "isolated-12", "isolated, layer 12"),
        ("context@0-6", Space("context", 6, 0), "context-0-6", "context, layers 0 to 6"),
        ("static+center", Space("static", steps=("center",)), "static+center", "static, center"),
        (
            "isolated@12+center+abtt3",
            Space("isolated", 12, None, ("center", "abtt3")),
            "isolated-12+center+abtt3",
            None,
        ),
    ],
)
def test_a_space_is_written_as_it_is_read(text, space, stem, title):
    assert Space.parse(text) == space
    assert str(space) == text
    assert space.stem == stem
    assert Space.of_stem(stem) == space
    assert title in (space.title, None)


@given(SPACES)
def test_every_space_is_read_back_from_what_is_written_and_from_its_file(space):
    assert Space.parse(str(space)) == space
    assert Space.of_stem(space.stem) == space
    assert re.fullmatch(STEM, space.stem)
    assert "/" not in space.stem
    assert hash(Space.parse(str(space))) == hash(space)


@given(SPACES, SPACES)
def test_of_two_spaces_one_is_first_unless_they_are_equal(one, other):
    assert (one < other) + (other < one) + (one == other) == 1


def test_the_order_is_by_name_then_by_layer_as_a_number():
    texts = ["imported", "isolated@12", "isolated@2", "static+center", "context@1", "static", "output", "isolated@2-4"]
    assert [str(space) for space in sorted(map(Space.parse, texts))] == [
        "static",
        "static+center",
        "isolated@2",
        "isolated@2-4",
        "isolated@12",
        "context@1",
        "output",
        "imported",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "contextual",
            (
                "unknown space `contextual`\nhint: "
                r"choose `static`, `isolated`, `template`, `context`, `prototypes`, `output` or `imported`$"
            ),
        ),
        ("static@3", r"static has no layer 3\nhint: choose `isolated` for a layer$"),
        ("isolated@", r"^`isolated@` is not a space\nhint: choose `static`, `isolated`, or `isolated@12` for a layer$"),
        ("isolated@x", "is not a space"),
        ("Isolated", "is not a space"),
        ("", "is not a space"),
        ("isolated@6-3", r"the layers of a mean do not ascend\nhint: write the smaller one first: `context@0-6`$"),
        ("isolated@1+", "is not a space"),
        ("../static", "is not a space"),
    ],
)
def test_what_is_no_space_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        Space.parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("static", "static"),
        ("isolated", "isolated@12"),
        ("isolated@-1", "isolated@12"),
        ("isolated@-3", "isolated@0"),
        ("isolated@6", "isolated@6"),
    ],
)
def test_a_space_is_resolved_against_what_is_stored(text, found):
    assert str(Space.parse(text).among(STORED)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "isolated@3",
            ("layer 3 is not in this store: it holds 0, 6, 12\nhint: choose one of these"),
        ),
        (
            "isolated@-4",
            (
                "layer -4 is not in this store: it holds 0, 6, 12\n"
                "hint: choose one of these, or add more with `kotovec build MODEL --layers all`"
            ),
        ),
        (
            "output",
            (
                "output is not in this store: it holds static, isolated@0, isolated@6, isolated@12\n"
                "hint: choose `static`, `isolated@0`, `isolated@6` or `isolated@12`, or add it "
                "with `kotovec build MODEL --spaces output`"
            ),
        ),
        (
            "isolated+center",
            (
                "isolated+center is not in this store: it holds static, isolated@0, isolated@6, isolated@12\n"
                "hint: choose `static`, `isolated@0`, `isolated@6` or `isolated@12`"
            ),
        ),
    ],
)
def test_what_is_not_stored_is_named_with_what_is(text, said):
    with pytest.raises(NotStoredError) as caught:
        Space.parse(text).among(STORED)
    assert "\n".join([str(caught.value), *caught.value.__notes__]) == said


def test_a_space_that_every_build_makes_is_named_with_the_build():
    with pytest.raises(NotStoredError) as caught:
        Space.parse("isolated").among([Space("static")])
    assert str(caught.value) == "isolated is not in this store: it holds static"
    assert caught.value.hint == "choose `static`, or add it with `kotovec build MODEL`"


def test_a_list_of_spaces_is_each_once_and_both_is_short_for_two():
    assert parse_spaces("both,static") == parse_spaces("both")
    assert parse_spaces("isolated@3, both") == parse_spaces("isolated@3,static,isolated")
    assert parse_spaces("both") == parse_spaces("static,isolated") == (Space("static"), Space("isolated"))
    assert resolve(parse_spaces("isolated@12, static,isolated,static"), STORED) == (STORED[3], STORED[0])


def test_the_hint_about_an_unknown_space_names_those_of_the_store():
    for text in ("contextual", "static,isolatd", "both,", "isolated@x"):
        with pytest.raises(InputError, match="unknown space") as caught:
            parse_spaces(text, [Space("static"), Space("isolated", 6)])
        assert caught.value.hint == "choose `static` or `isolated@6`"
    with pytest.raises(InputError, match="unknown space `x`") as caught:
        parse_spaces("x", [Space("static"), *(Space("isolated", layer) for layer in range(13))])
    assert caught.value.hint == "choose `static` or `isolated`"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("isolated@7", "choose one of these; the model has the layers 0 to 6"),
        ("isolated@5", "choose one of these, or add it with `kotovec build demo --layers 5`"),
        ("context", "choose `isolated@6`, or add it with `kotovec build demo --corpus FILE`"),
        ("context@3", "choose `isolated@6`, or add it with `kotovec build demo --corpus FILE --layers 3`"),
        ("template", 'choose `isolated@6`, or add it with `kotovec build demo --template "this is a {}."`'),
        ("context@0-6", "choose `isolated@6`"),
        ("isolated@-4", "choose one of these, or add more with `kotovec build demo --layers all`"),
    ],
)
def test_the_hint_names_only_a_layer_that_the_model_has(text, hint):
    stored = Stored.of([Space("isolated", 6)], {}, lambda: Origin("kotovec build demo", 6))
    with pytest.raises(NotStoredError) as caught:
        Space.parse(text).among(stored)
    assert caught.value.hint == hint
    assert pickle.loads(pickle.dumps(stored)) == stored  # noqa: S301 — made here
