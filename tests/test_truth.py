"""The contexts of real models are those of brute force."""

import os
from pathlib import Path

import pytest
import truth

DATA = Path(__file__).parent / "data"
E5 = Path(os.environ.get("KOTOVEC_E5", "/nowhere"))


def lines_of(name, count):
    return (DATA / name).read_text(encoding="utf-8").splitlines()[:count]


def assert_true(found, *, tokens, words):
    assert found.different == ()
    assert found.tokens > tokens
    assert len(found.deviations) == words
    assert max(found.deviations.values()) < truth.MOST


def test_the_contexts_of_the_demo_are_those_of_brute_force(minilm):
    found = truth.compare(minilm, lines_of("brown/english.txt", 300), contexts=3, words=40)
    assert_true(found, tokens=2000, words=40)
    assert found.inside > 10


@pytest.mark.skipif(not E5.is_dir(), reason="KOTOVEC_E5 names no folder of multilingual-e5-small")
def test_the_contexts_of_a_multilingual_model_are_those_of_brute_force():
    """Its vocabulary marks blanks, which Japanese has none of, and has 250,002 tokens."""
    found = truth.compare(E5, lines_of("tatoeba/japanese.txt", 500), contexts=3, words=50)
    assert_true(found, tokens=1500, words=50)


def test_what_differs_is_found(minilm, monkeypatch):
    """A comparison that could not fail would say nothing."""
    import brute

    lines = lines_of("brown/english.txt", 100)
    monkeypatch.setattr(brute, "hashed", lambda text, seed: -brute.hashlib.sha256(text.encode()).digest()[0])
    found = truth.compare(minilm, lines, contexts=1, words=5)
    assert found.different
    assert not found.holds
