"""Models that fastText's own module trains: every vector is that of its `get_word_vector`, to the last bit."""

import numpy as np
import pytest

from kotovec.errors import InputError
from kotovec.store.exchange.importing import import_vectors

from exchanged import contents, same

fasttext = pytest.importorskip("fasttext")

WORDS = [
    *("king", "queen", "王", "女王", "café", "naïve", "🙂", "a", "é", "e\u0301", "a\u00a0b", "𠮷野家", "<x>", "a<b"),
    *("__label", "##s", "x" * 300, "\ufeff", "nan", "-1", "\u2028", "\x1c", "\x85"),
]
OTHERS = [
    *("kings", "王妃", "🙂🙂", "zzz", "b", "女", "y" * 1000, "a\u00a0c", "a b", "日本語の長い単語", "\u3000", "#"),
    *("<", ">", "<>", "\x85\x85", "\ufeffking", "x"),
]
# Each thread of fastText 0.9.2 sets a tenth of a new model's numbers, and fewer than ten leave the rest as memory was.
USUAL = {"dim": 10, "minCount": 1, "epoch": 1, "thread": 10, "bucket": 200, "lr": 0.01, "verbose": 0}
WITH_NGRAMS = {
    "cbow": {"model": "cbow"},
    "short": {"model": "skipgram", "minn": 1, "maxn": 2},
    "long": {"minn": 3, "maxn": 6, "bucket": 1000},
    "supervised": {"label": "__label__", "minn": 2, "maxn": 3},
    "hierarchical": {"label": "__label__", "minn": 2, "maxn": 3, "loss": "hs", "wordNgrams": 2},
}
WITHOUT = {
    "none": {"minn": 0, "maxn": 0},
    "no buckets": {"minn": 0, "maxn": 0, "bucket": 0},
    "none between": {"minn": 4, "maxn": 2},
    "supervised": {"label": "__label__"},
}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Train a model; return its file, and the model as fastText reads it from there."""
    folder = tmp_path_factory.mktemp("fasttext")
    lines = [" ".join(np.random.default_rng(seed).permutation(WORDS * 3)) for seed in range(10)]
    (folder / "plain").write_text("".join(f"{line}\n" for line in lines))
    (folder / "labelled").write_text("".join(f"__label__{row % 2} {line}\n" for row, line in enumerate(lines)))

    def made(options):
        if "label" in options:
            model = fasttext.train_supervised(str(folder / "labelled"), **USUAL | options)
        else:
            model = fasttext.train_unsupervised(str(folder / "plain"), t=0.1, **USUAL | options)
        model.save_model(str(folder / "model.bin"))
        return folder / "model.bin", fasttext.load_model(str(folder / "model.bin"))

    return made


@pytest.mark.parametrize("options", WITH_NGRAMS.values(), ids=WITH_NGRAMS)
def test_words_and_others_have_the_vectors_that_fasttext_gives(train, tmp_path, options):
    path, model = train(options)
    others = [word for word in OTHERS if reached(word, options)]
    (tmp_path / "others.txt").write_bytes("".join(f"{word}\n" for word in others).encode())
    import_vectors(path, tmp_path / "a.kotovec", words=tmp_path / "others.txt")
    words, vectors = contents(tmp_path / "a.kotovec")
    known = model.get_words()
    assert set(known) == {*WORDS, "</s>"}
    assert words == [*known, *others]
    assert same(vectors, np.stack([model.get_word_vector(word) for word in words]))
    assert (np.linalg.norm(vectors, axis=1) > 0).all()


def reached(word, options):
    """Whether a word of some characters has n-grams of the fewest."""
    return len(word) + 2 >= options.get("minn", 3)


@pytest.mark.parametrize("options", WITHOUT.values(), ids=WITHOUT)
def test_words_of_a_model_without_n_grams_have_its_rows_and_others_no_answer(train, tmp_path, options):
    path, model = train(options)
    import_vectors(path, tmp_path / "a.kotovec")
    words, vectors = contents(tmp_path / "a.kotovec")
    assert words == model.get_words()
    assert same(vectors, np.stack([model.get_word_vector(word) for word in words]))
    assert not model.get_word_vector("kings").any()  # fastText answers with zeros, which are no vector of a word
    (tmp_path / "others.txt").write_text("king\nkings\n")
    with pytest.raises(InputError, match="others.txt:2: `kings` has no n-gram") as caught:
        import_vectors(path, tmp_path / "b.kotovec", words=tmp_path / "others.txt")
    assert caught.value.hint == "leave it out"
    assert not (tmp_path / "b.kotovec").exists()


def test_a_quantised_model_is_refused(train, tmp_path):
    path, _ = train(WITH_NGRAMS["supervised"] | {"bucket": 300})
    model = fasttext.load_model(str(path))
    model.quantize()
    model.save_model(str(tmp_path / "a.ftz"))
    with pytest.raises(InputError, match="a.ftz is quantised") as caught:
        import_vectors(tmp_path / "a.ftz", tmp_path / "a.kotovec")
    assert caught.value.hint == "take the .bin of the model, and not its .ftz"
