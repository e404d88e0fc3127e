"""What a map points at: true neighbours and an expression's way; and the command's bad input, without a browser."""

import json
import sys

import numpy as np
import pytest

from kotovec.cli.page import script_of
from kotovec.store import Store
from kotovec.store.cartography import MapRequest, make_map
from kotovec.store.landmarks import trace
from kotovec.store.neighbours import neighbours

import stores
from commands import call, nearest


@pytest.fixture
def store(tmp_path_factory):
    return stores.write_odd_store(tmp_path_factory.mktemp("odd") / "odd.kotovec")


def test_every_layer_has_its_page(store, capsys, tmp_path):
    options = ["--space", "isolated", "--layer", "0", "--method", "pca", "--html", tmp_path / "-x.html", "--json"]
    answer = call(capsys, "map", "--store", store, *options)
    assert answer.code == 0, answer.err
    assert [json.loads(line)["name"] for line in answer.out.splitlines()] == ["isolated-0.pca", "static.pca"]
    assert (tmp_path / "-x.html").is_file()


def test_the_neighbours_are_the_true_ones_where_an_index_gives_others(store, capsys):
    made = make_map(Store.open(store), MapRequest(method="pca"))
    before = neighbours(Store.open(store), made.record.space, 10, rows=made.rows)
    assert call(capsys, "index", "--store", store, "--metric", "cosine", "--factory", "IVF16,Flat").code == 0
    assert "approximate" in call(capsys, "query", "王", "--metric", "cosine", "--store", store).out
    after = neighbours(Store.open(store), made.record.space, 10, rows=made.rows)
    np.testing.assert_array_equal(after.rows, before.rows)


def test_a_way_goes_over_the_places_of_its_terms_and_where_their_sums_land(store, capsys):
    opened = Store.open(store)
    made = make_map(opened, MapRequest(method="pca"))
    way = trace(opened, made, '王 - "word7" + 2*女')
    places = dict(zip(opened.tokens.surfaces, made.coordinates, strict=True))
    assert [stop.label for stop in way.terms] == ["word7", "女"]
    np.testing.assert_array_equal([stop.position for stop in way.terms], [places["word7"], places["女"]])
    assert way.stops[0].label == "王"
    np.testing.assert_array_equal(way.stops[0].position, places["王"])
    for stop, expression in zip(way.stops[1:], ["王 - word7", "王 - word7 + 2*女"], strict=True):
        ((token, _), *_) = nearest(capsys, store, expression)
        assert stop.label == f"{expression} ≈ {token}"
        np.testing.assert_array_equal(stop.position, places[token])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--expression", "word1 + word2"],
            "--expression is drawn on a page, and there is none\nhint: add --html FILE\n",
        ),
        (["--label", "word1"], "--label names words on a picture, and there is none\nhint: add --png FILE\n"),
        (["--html", "no/where/x.html"], "there is no folder no/where"),
        (["--html", "."], ". is a folder\nhint: name a file in it\n"),
        (
            ["--html", "m.png"],
            "--html m.png: the name ends in .png\nhint: name a file that ends in .html, or use --png\n",
        ),
        (
            ["--png", "m.html"],
            "--png m.html: the name ends in .html\nhint: name a file that ends in .png, or use --html\n",
        ),
        (["--png", "m.jpg"], "--png m.jpg: the name ends in .jpg\nhint: name a file that ends in .png\n"),
        (["--html", "x", "--png", "x"], "x is named for both the picture and the page\nhint: name one file for each\n"),
        (["--png", "x.png", "--labels", "-1"], "--labels is -1\nhint: use 0 or more\n"),
        (["--html", "x.html", "--expression", "word1 +"], "word1 +"),
        (
            ["--html", "x.html", "--sample", "5", "--expression", "word1 - word50"],
            "not on this map, which is of a sample",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_leaves_no_page(store, capsys, tmp_path, monkeypatch, options, reason):
    monkeypatch.chdir(tmp_path)
    answer = call(capsys, "map", "--store", store, "--method", "pca", *options)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named_before_a_map_is_made(store, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    answer = call(capsys, "map", "--store", store, "--method", "pca", "--html", tmp_path / "x.html")
    assert (answer.code, answer.err) == (2, "error: --html needs bokeh\nhint: install it: pip install 'kotovec[map]'\n")
    assert not (store / "maps").exists()


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("王様", "kanji"),
        ("##ねこ", "kana"),
        ("ﾈｺ", "kana"),
        ("東京タワー", "kana"),
        ("king", "Latin"),
        ("é", "Latin"),
        ("2010", "digits"),
        ("１", "digits"),
        ("①", "digits"),
        ("한국", "other"),
        ("##", "other"),
        ("", "other"),
    ],
)
def test_the_script_of_a_token(text, script):
    assert script_of(text) == script
