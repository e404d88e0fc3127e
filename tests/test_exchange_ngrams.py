"""fastText's own models: the vectors are those that gensim gives, of words and of words that are not there."""

import os
import struct

import numpy as np
import pytest

from kotovec.errors import InputError
from kotovec.store.exchange.importing import import_vectors
from kotovec.store.exchange.ngrams import ngram_hashes

from commands import call
from exchanged import contents

SENTENCES = [["king", "queen", "王", "女王", "café"], ["king", "man", "woman", "</s>", "aé"]] * 5


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    fasttext = pytest.importorskip("gensim.models.fasttext")
    trained = fasttext.FastText(
        SENTENCES, vector_size=6, min_count=1, bucket=50, min_n=2, max_n=4, epochs=2, seed=1, workers=1
    )
    path = tmp_path_factory.mktemp("ngrams") / "model.bin"
    fasttext.save_facebook_model(trained, str(path))
    return path


def test_the_words_have_the_vectors_that_gensim_gives(model, tmp_path):
    from gensim.models.fasttext import load_facebook_vectors

    made = import_vectors(model, tmp_path / "a.kotovec")
    words, vectors = contents(tmp_path / "a.kotovec")
    expected = load_facebook_vectors(str(model))
    assert (made.format, made.dimensions) == ("fasttext-bin", 6)
    assert words == expected.index_to_key
    assert {"王", "女王", "café"} <= set(words)
    others = [word for word in words if word != "</s>"]  # which fastText gives its own row alone, and gensim does not
    rows = [words.index(word) for word in others]
    assert np.allclose(vectors[rows], [expected[word] for word in others], rtol=1e-5, atol=1e-8)


def test_words_that_are_not_there_are_answered_by_their_n_grams(model, tmp_path):
    from gensim.models.fasttext import load_facebook_vectors

    more = ["kings", "王妃", "naïve", "🙂"]
    (tmp_path / "more.txt").write_text("\n".join(["kings", "king", "", *more[1:]]))
    import_vectors(model, tmp_path / "a.kotovec", words=tmp_path / "more.txt")
    words, vectors = contents(tmp_path / "a.kotovec")
    assert words[-4:] == more
    expected = load_facebook_vectors(str(model))
    assert "kings" not in expected.key_to_index
    assert np.allclose(vectors[-4:], [expected[word] for word in more], rtol=1e-5, atol=1e-8)


def reference(word, buckets, least, most):
    """The n-grams of a word by Python's own characters, hashed byte by byte as signed numbers."""
    text = f"<{word}>"
    found = []
    for start in range(len(text)):
        for size in range(least, most + 1):
            ngram = text[start : start + size]
            if len(ngram) == size and ngram not in "<>":
                number = 2166136261
                for byte in ngram.encode():
                    number = ((number ^ (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF) * 16777619 % 2**32
                found.append(number % buckets)
    return found


@pytest.mark.parametrize("word", ["king", "王", "é", "🙂x", "a"])
@pytest.mark.parametrize(("least", "most"), [(1, 3), (3, 6), (2, 2)])
def test_the_n_grams_are_those_of_an_independent_count(word, least, most):
    found = [number % 97 for number in ngram_hashes(f"<{word}>".encode(), least, most)]
    assert found == reference(word, 97, least, most)


def test_what_is_no_complete_model_is_one_error(model, tmp_path):
    data = model.read_bytes()
    for size in (4, 60, 90, len(data) // 3):
        (tmp_path / "a.bin").write_bytes(data[:size])
        with pytest.raises(InputError, match="a.bin is no complete model of fastText"):
            import_vectors(tmp_path / "a.bin", tmp_path / "a.kotovec")
    (tmp_path / "a.bin").write_bytes(data[:4] + struct.pack("<i", 99) + data[8:])
    with pytest.raises(InputError, match="a.bin is no model of fastText"):
        import_vectors(tmp_path / "a.bin", tmp_path / "a.kotovec")
    assert os.listdir(tmp_path) == ["a.bin"]


def test_the_command_says_what_a_store_of_a_model_lacks(model, tmp_path, capsys):
    made = call(capsys, "convert", model, tmp_path / "a.kotovec")
    note = "note: a store holds no n-grams, and answers no other words; --words FILE adds those of a file\n"
    assert (made.code, made.err) == (0, note)
    (tmp_path / "more.txt").write_text("kings\n")
    made = call(capsys, "convert", model, tmp_path / "b.kotovec", "--words", tmp_path / "more.txt")
    assert (made.code, made.err) == (0, "")
    (tmp_path / "a.vec").write_text("1 1\na 1\n")
    made = call(capsys, "convert", tmp_path / "a.vec", tmp_path / "c.kotovec", "--words", tmp_path / "more.txt")
    assert made.err.startswith(f"error: {tmp_path / 'a.vec'} has no n-grams that answer other words (fasttext)\n")
    made = call(capsys, "convert", tmp_path / "a.kotovec", tmp_path / "d.bin", "--format", "fasttext-bin")
    assert made.err.startswith("error: fasttext-bin is imported only\n")
