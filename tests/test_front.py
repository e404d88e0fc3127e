"""`Store` and `Answer` as one meets them in Python: what they print, in a notebook too, closing, pandas, threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kotovec.errors import MissingDependencyError, StoreError, UnknownTokenError
from kotovec.store import Store

import stores
from commands import PROVENANCE, make_store


@pytest.fixture
def folder(tmp_path):
    return make_store(tmp_path / "a.kotovec")


@pytest.fixture
def odd(tmp_path):
    return Store.open(stores.write_odd_store(tmp_path / "odd.kotovec"))


def test_a_store_says_what_is_in_it(folder):
    store = Store.open(folder)
    assert repr(store).splitlines() == [
        f"Store({str(folder)!r})",
        f"    model: {PROVENANCE['model']!r}",
        "    tokens: 25 (17 word, 2 subword, 4 special, 1 unused, 1 empty)",
        "    static: 8 dimensions, float32",
        "    isolated@0: 8 dimensions, float32",
        "    isolated@2: 8 dimensions, float32",
    ]


def test_the_length_is_the_number_of_tokens_and_terms_are_in_it(folder):
    store = Store.open(folder)
    assert len(store) == len(store.tokens.ids)
    assert "king" in store
    assert "#3" in store
    assert "kings" not in store
    assert f"#{10**6}" not in store
    assert 3 not in store
    assert None not in store


def test_a_closed_store_says_so_and_arrays_that_it_gave_stay(folder):
    with Store.open(folder) as store:
        array, king = store.array("static"), store.vector("king")
        assert store.search("king", k=1).hits[0].token == "king"
        assert "king" in store
    assert repr(store) == f"Store({str(folder)!r}), closed"
    calls = (
        lambda: store.search("king"),
        lambda: store.search_many(["king"]),
        lambda: store.nearest(rows=[1]),
        lambda: store.tokens,
        lambda: "king" in store,
        lambda: len(store),
        store.info,
    )
    for call in calls:
        with pytest.raises(StoreError, match=r"a\.kotovec was closed\nhint: open it again$"):
            call()
    store.close()  # once more changes nothing
    assert np.array_equal(array[list(Store.open(folder).tokens.surfaces).index("king")], king)


def test_a_closed_store_holds_no_file(folder):
    script = (
        "import os, sys; from kotovec import Store\n"
        "def held(): return [name for name in maps() + files() if 'a.kotovec' in name]\n"
        "def maps(): return open('/proc/self/maps').read().splitlines()\n"
        "def files(): return [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if "
        "os.path.exists(f'/proc/self/fd/{n}')]\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    store.search('king'); store.search('king', metric='cosine'); assert held()\n"
        "print(held())"
    )
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_answer_is_a_table_in_a_notebook_and_tokens_are_no_markup_there(odd):
    answer = odd.search('"<script>window.hit = 1</script>"', k=len(odd))
    page = answer._repr_html_()
    assert page.startswith("<table><caption>&lt;script&gt;window.hit = 1&lt;/script&gt; (static)</caption><thead><tr>")
    assert "<tr><th>rank</th><th>token</th><th>id</th><th>squared L2</th><th>input</th></tr>" in page
    first = "<td>1</td><td>&lt;script&gt;window.hit = 1&lt;/script&gt;</td><td>0</td><td>0.0000</td><td>input</td>"
    assert f"<tbody><tr>{first}</tr>" in page
    assert page.count("<tr>") == len(odd) + 1
    assert "&lt;img src=x onerror=&#x27;window.hit = 1&#x27;&gt;" in page
    for markup in ("<script", "</script", "<img", "<!--"):
        assert markup not in page


def test_notes_are_below_the_table(odd):
    answer = replace(odd.search("王", k=1), notes=("<b> is read as b",))
    assert answer._repr_html_().endswith("</tbody></table><p>&lt;b&gt; is read as b</p>")


def test_an_answer_becomes_a_data_frame(odd):
    answer = odd.search("王 - 女", space="isolated", metric="cosine", k=5)
    frame = answer.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["rank", "token", "text", "id", "score", "is_input"]
    assert frame.to_dict("records") == [vars(hit) for hit in answer.hits]
    assert frame.attrs == {"expression": "王 - 女", "space": "isolated@1", "metric": "cosine"}
    assert list(replace(answer, results=()).to_pandas().columns) == list(frame.columns)


def test_pandas_is_imported_when_it_is_asked_for_and_named_where_it_is_missing(odd, monkeypatch):
    answer = odd.search("王", k=1)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match=r"to_pandas needs pandas\nhint: install it: pip install pandas$"):
        answer.to_pandas()


THREADS, SEARCHES = 8, 1000


@pytest.mark.parametrize("metrics", [["l2", "cosine"], []], ids=["indexes", "no indexes"])
def test_eight_threads_that_search_at_once_get_the_answers_of_one(tmp_path, metrics):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [f"w{number}" for number in range(2000)]
    tokens = stores.make_tokens(["[UNK]", *words, "un", "##known"], special=["[UNK]"])
    tokenizer = Tokenizer(models.WordPiece({text: row for row, text in enumerate(tokens.texts)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(5).standard_normal((len(tokens), 24)) + 10
    folder = stores.write_store(tmp_path / "a.kotovec", tokens, vectors, metrics=metrics, tokenizer=tokenizer)

    def ask(store, number):
        space, metric = ("static", "isolated")[number % 2], ("l2", "cosine", "ip")[number % 3]
        word = "unknown" if number % 7 == 0 else f"w{number}"
        if number % 50 == 0:
            with pytest.raises(UnknownTokenError):
                store.search("§")
        if number % 10 == 0:
            return store.search_many([word, *(f"w{number} - w{other}" for other in range(9))], space=space)
        return store.search(f"{word} - w{number // 2} + w7", space=space, metric=metric, exclude_inputs=number % 5 == 0)

    alone = Store.open(folder)
    expected = [ask(alone, number) for number in range(1, SEARCHES + 1)]
    shared = Store.open(folder)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda number: ask(shared, number), range(1, SEARCHES + 1)))
    assert found == expected
