"""`kotovec contexts`: the sentences of an item, from a store with a sample written beside it."""

import json

import pytest

from kotovec.cluster.contexts.sampling import Sampling
from kotovec.errors import DamagedError, InputError, NotStoredError, StoreError
from kotovec.store import Store
from kotovec.store.layout import Layout

from commands import call
from stores import add_contexts

SENTENCES = ("the king is in the city", "a king", "the\u0085queen <b>reads</b> の本", "KING and queen")


@pytest.fixture
def with_contexts(store):
    """The store of the other tests with a sample of four sentences: king has three of seven, man one inside a word."""

    def write(*, keep_text=True):
        contexts, occurrences = {"king": [0, 1, 3], "man": [2]}, {"king": 7.2}
        add_contexts(store, contexts, SENTENCES, inside={"man"}, occurrences=occurrences, keep_text=keep_text)
        return store

    yield write
    Layout(store).contexts.unlink(missing_ok=True)


def test_the_sentences_of_a_token_are_printed(with_contexts, capsys):
    answer = call(capsys, "contexts", "king", "man", "--store", with_contexts())
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "king  (id 8; 3 contexts of about 7 (±71 %) sentences with it)",
        "1  the king is in the city",
        "2  a king",
        "3  KING and queen",
        "man  (id 9; 1 context of 1 sentence with it)",
        r"1  the\u0085queen <b>reads</b> の本",
    ]
    assert answer.err == "note: man was never seen as a whole word: its contexts have it inside of other words\n"
    assert call(capsys, "contexts", "king", "-k", 1, "--store", with_contexts()).out.splitlines()[1:] == [
        "1  the king is in the city"
    ]


def test_who_asks_for_what_no_sentence_has_is_told_where_it_has_a_vector(with_contexts, capsys):
    answer = call(capsys, "contexts", "queen", "--store", with_contexts())
    assert answer.code == 0
    assert answer.out.startswith("queen  (id ")
    assert "; 0 contexts of 0 sentences with it)" in answer.out
    spaces = "static, isolated@0, isolated@3, isolated@12"
    assert answer.err == f"note: queen has no contexts; it has a vector in {spaces} alone\n"


def test_json_has_the_sentences_as_they_are(with_contexts, capsys):
    path = with_contexts()
    found = json.loads(call(capsys, "contexts", "man", "--json", "--store", path).out)
    assert found == {
        "term": "man", "row": found["row"], "token": "man", "id": 9, "sentences": [SENTENCES[2]], "inside": True,
        "occurrences": 1.0, "limit": 3, "spaces": [], "error": 0.0,
    }  # fmt: skip
    with Store.open(path) as opened:
        assert opened.contexts("king").sentences == (SENTENCES[0], SENTENCES[1], SENTENCES[3])
        assert opened.contexts("king").row == opened.tokens.row_of_id(8)
        assert opened.contexts("queen").sentences == ()
        assert opened.verify() == []


@pytest.mark.parametrize(
    ("limit", "fraction", "occurrences", "count", "shown", "error"),
    [
        (3, 1.0, 7.2, 3, "about 7 (±71 %) sentences", 0.7071),
        (2, 1.0, 7.2, 2, "about 7 (±100 %) sentences", 1.0),
        (1, 1.0, 7.2, 1, "about 7 sentences", None),
        (3, 1.0, 3.0, 3, "3 sentences", 0.0),
        (3, 1.0, 2.0, 2, "2 sentences", 0.0),
        (5, 1.0, 1234.0, 3, "about 1,234 (±50 %) sentences", 0.5),  # taken from a store whose five were not all found
        (5, 0.02, 150.0, 3, "about 150 (±57 %) sentences", 0.5715),  # √(.98 / 3)
        (3, 0.02, 400.0, 3, "about 400 (±71 %) sentences", 0.7071),
        (3, 0.5, 0.0, 0, "about 0 sentences", None),
    ],
)
def test_an_estimate_is_printed_with_its_error(store, capsys, limit, fraction, occurrences, count, shown, error):
    seen = {"king": occurrences}
    made = {"fraction": fraction}
    add_contexts(store, {"king": [0, 1, 3][:count]}, SENTENCES, occurrences=seen, limit=limit, made=made)
    try:
        title = call(capsys, "contexts", "king", "--store", store).out.splitlines()[0]
        assert title == f"king  (id 8; {count} context{'' if count == 1 else 's'} of {shown} with it)"
        found = json.loads(call(capsys, "contexts", "king", "--json", "--store", store).out)
        assert found["error"] == (error if error is None else pytest.approx(error, abs=1e-4))
    finally:
        Layout(store).contexts.unlink()


def test_no_estimate_exceeds_the_sentences_of_the_corpus(store, capsys):
    """`30 contexts of about 2,100 sentences` came out of a corpus of 2,000."""
    for read, shown in ((5, 5), (7, 7), (8, 7)):
        made = {"counts": {"sentences": read}}
        add_contexts(store, {"king": [0, 1, 3]}, SENTENCES, occurrences={"king": 7.2}, made=made)
        with Store.open(store) as opened:
            assert opened.contexts("king").occurrences == min(7.2, read)
        assert f"of about {shown} (±71 %) sentences" in call(capsys, "contexts", "king", "--store", store).out
    Layout(store).contexts.unlink()


def test_what_has_no_contexts_to_show_is_refused(with_contexts, store):
    with (
        Store.open(store) as opened,
        pytest.raises(NotStoredError, match=r"^\S*\.kotovec has no contexts\n") as refused,
    ):
        opened.contexts("king")
    assert refused.value.hint == "add them with `kotovec build MODEL --corpus FILE --keep-text`"
    with Store.open(with_contexts(keep_text=False)) as opened:
        with pytest.raises(NotStoredError, match="this store does not keep its sentences") as refused:
            opened.contexts("king")
        assert refused.value.hint == "build it again with --overwrite and --keep-text"
    with Store.open(with_contexts()) as opened:
        with pytest.raises(InputError, match="`king - man` is an expression, and contexts are those of one") as refused:
            opened.contexts("king - man")
        assert refused.value.hint == "ask for one: king, man"


@pytest.mark.parametrize("flip", [1, 0x80])
def test_a_damaged_sentence_is_neither_printed_nor_taken(with_contexts, capsys, flip):
    """A flipped bit was printed, and with --contexts-from the vectors of another sentence were built."""
    store = with_contexts()
    path = Layout(store).contexts
    content = bytearray(path.read_bytes())
    content[content.index(b"a king") + 3] ^= flip
    path.write_bytes(content)
    answer = call(capsys, "contexts", "king", "--store", store)
    assert (answer.code, answer.out) == (DamagedError.exit_code, "")
    assert answer.err.splitlines() == [
        f"error: {path}: text does not match its checksum", "hint: build it again with --overwrite"
    ]  # fmt: skip
    with pytest.raises(DamagedError):
        Sampling(store).check()
    assert call(capsys, "verify", "--store", store).code == DamagedError.exit_code


def test_sentences_that_may_not_be_read_are_no_damage(with_contexts, monkeypatch):
    def refuse(path):
        raise StoreError(f"{path} cannot be opened: Permission denied", hint="give this user access to it")

    store = with_contexts()
    monkeypatch.setattr("kotovec.store.contexts.File", refuse)
    with Store.open(store) as opened, pytest.raises(StoreError, match="Permission denied"):
        opened.verify()
