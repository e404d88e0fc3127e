"""gensim's own file of KeyedVectors: read without running anything that it names."""

import os
import pickle

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors

from kotovec.errors import InputError
from kotovec.store import Store
from kotovec.store.exchange.importing import import_vectors

WORDS = ["king", "new york", "é", "王", "nan"]
VECTORS = np.random.default_rng(3).standard_normal((5, 7)).astype(np.float32)


def saved(path, words=WORDS, vectors=VECTORS, **how):
    keyed = KeyedVectors(vectors.shape[1])
    keyed.add_vectors(words, vectors)
    keyed.save(str(path), **how)
    return path


@pytest.mark.parametrize("how", [{}, {"separately": ["vectors"]}, {"pickle_protocol": 2}, {"pickle_protocol": 5}])
def test_words_and_vectors_are_those_that_gensim_saved(tmp_path, how):
    path = saved(tmp_path / "k.kv", **how)
    assert (tmp_path / "k.kv.vectors.npy").exists() == ("separately" in how)
    found = import_vectors(path, tmp_path / "k.kotovec")
    assert (str(found.format), found.words, found.dimensions) == ("keyedvectors", 5, 7)
    again = KeyedVectors.load(str(path))
    with Store.open(tmp_path / "k.kotovec") as store:
        assert list(store.tokens.texts) == again.index_to_key
        assert np.array(store.array("imported")).tobytes() == again.vectors.tobytes()
        assert store.verify() == []


class Trap:
    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_names_anything_else_is_refused_and_nothing_in_it_runs(tmp_path):
    trap = Trap()
    trap.path = str(tmp_path / "ran")
    keyed = KeyedVectors(7)
    keyed.add_vectors(WORDS, VECTORS)
    keyed.trap = trap
    (tmp_path / "evil.kv").write_bytes(pickle.dumps(keyed))
    with pytest.raises(
        InputError, match=r"evil\.kv holds `posix\.mkdir`, which is not read\nhint: save it from gensim"
    ):
        import_vectors(tmp_path / "evil.kv", tmp_path / "x.kotovec")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "x.kotovec").exists()


def test_another_model_of_gensim_is_refused(tmp_path):
    FastText([["king", "queen"] * 5], vector_size=4, min_count=1, epochs=1).wv.save(str(tmp_path / "f.kv"))
    with pytest.raises(InputError, match="FastTextKeyedVectors`, which is not read"):
        import_vectors(tmp_path / "f.kv", tmp_path / "x.kotovec")


def test_what_is_damaged_is_one_line(tmp_path):
    whole = saved(tmp_path / "k.kv").read_bytes()
    path = tmp_path / "d.kv"
    random = np.random.default_rng(0)
    cut = [whole[:size] for size in random.integers(2, len(whole), 60)]
    places = random.integers(2, len(whole), 200).tolist()
    flipped = [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in places]
    problems = 0
    for number, data in enumerate([*cut, *flipped, pickle.dumps([1, 2]), pickle.dumps(object)]):
        path.write_bytes(data)
        try:
            import_vectors(path, tmp_path / f"{number}.kotovec")
        except InputError:
            problems += 1
            assert not (tmp_path / f"{number}.kotovec").exists()
    assert problems >= len(cut) + 2


def test_the_array_beside_it_is_missing_or_another(tmp_path):
    path = saved(tmp_path / "k.kv", separately=["vectors"])
    (tmp_path / "k.kv.vectors.npy").unlink()
    with pytest.raises(InputError, match=r"k\.kv\.vectors\.npy is no array of numbers"):
        import_vectors(path, tmp_path / "x.kotovec")
    np.save(tmp_path / "k.kv.vectors.npy", VECTORS[:3])
    with pytest.raises(InputError, match=r"k\.kv is no file of gensim's KeyedVectors, or is damaged"):
        import_vectors(path, tmp_path / "x.kotovec")
