"""`kotovec map --png`: labels that do not overlap, glyphs that are there, and a file that is whole."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from kotovec.cli.picture import Boxes, compose, import_font
from kotovec.store import Store
from kotovec.store.cartography import MapRequest, make_map

import stores
from commands import call, make_store

COUNT, SIZE = 600, 8
RANDOM = np.random.default_rng(7)
VECTORS = RANDOM.standard_normal((COUNT, SIZE)).astype(np.float32)
ODD = {4: "王", 5: "女", 6: "$x$", 7: "한국", 8: "👑", 9: "<b>"}


@pytest.fixture
def store(tmp_path):
    tokens = stores.make_tokens([ODD.get(number, f"word{number}") for number in range(COUNT)])
    return stores.write_store(tmp_path / "odd.kotovec", tokens, VECTORS, VECTORS[np.newaxis], layers=(1,))


def test_labels_do_not_overlap_and_those_asked_for_are_there(store):
    opened = Store.open(store)
    made = make_map(opened, MapRequest(method="pca"))
    figure = compose(made, opened.tokens, [4, 5], COUNT, "title")
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert {"王", "女"} <= set(texts)
    assert 20 < len(texts) < COUNT
    assert len(set(texts)) == len(texts)
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in axes.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    legend = axes.get_legend()
    assert not any(box.overlaps(legend.get_window_extent()) for box in boxes)
    assert [text.get_text() for text in legend.get_texts()] == ["word 600"]


@pytest.mark.parametrize("count", [5, 25, COUNT])
def test_the_marker_in_the_legend_stays_in_its_box(tmp_path, count):
    """That of a map of 25 tokens was 40 pixels wide, and left the box."""
    tokens = stores.make_tokens([f"word{number}" for number in range(count)])
    opened = Store.open(stores.write_store(tmp_path / "few.kotovec", tokens, VECTORS[:count]))
    figure = compose(make_map(opened, MapRequest(method="pca")), opened.tokens, [0], 0, "title")
    legend = figure.axes[0].get_legend()
    lines = [text.get_window_extent().height for text in legend.get_texts()]
    diameters = [np.sqrt(marker.get_sizes()) * figure.dpi / 72 for marker in legend.legend_handles]
    assert len(diameters) == 1
    assert 8 < diameters[0][0] < lines[0]


def test_labels_that_are_asked_for_find_room_in_a_clump(store):
    opened = Store.open(store)
    made = make_map(opened, MapRequest(method="pca"))
    made.coordinates[10:40] = made.coordinates[10]
    figure = compose(made, opened.tokens, range(10, 40), 0, "title")
    texts = figure.axes[0].texts
    assert {text.get_text() for text in texts} == {f"word{number}" for number in range(10, 40)}
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_no_letter_is_drawn_as_a_box(store):
    font = import_font()
    assert [font.shown(text) for text in ("王女", "king", "é")] == ["王女", "king", "é"]
    assert font.shown("$x$") == r"\$x\$"
    assert [font.shown(text) for text in ("한국", "👑")] == ["", ""]
    opened = Store.open(store)
    figure = compose(make_map(opened, MapRequest(method="pca")), opened.tokens, [7, 8], 0, "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["#7", "#8"]


def test_the_command_draws_from_the_map_that_the_store_keeps(capsys, store, tmp_path):
    picture = tmp_path / "map.png"
    options = ["map", "--store", store, "--method", "pca", "--png", picture, "--label", "王 女", "--label", "王"]
    assert call(capsys, *options).code == 0
    written = (store / "maps" / "static.pca.h5").stat().st_mtime_ns
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.int64)
    assert min(pixels.shape[:2]) >= 1000
    assert ((pixels - (0, 0x72, 0xB2)).__abs__().sum(axis=2) < 30).sum() > COUNT  # dots in the words' blue
    assert call(capsys, *options).code == 0
    assert (store / "maps" / "static.pca.h5").stat().st_mtime_ns == written
    assert call(capsys, *options, "--again").code == 0
    assert (store / "maps" / "static.pca.h5").stat().st_mtime_ns > written


@pytest.mark.parametrize(
    ("word", "named"),
    [
        (["--png", "--label", "word300 word300"], "word300"),
        (["--png", "--label", "ｗｏｒｄ３００"], "ｗｏｒｄ３００"),  # as it was typed
        (["--html", "--expression", "word300 - word301"], "word300, word301"),  # in two spaces, and named once
    ],
)
def test_a_word_that_the_sample_left_out_is_named_before_a_map_is_computed(
    capsys, store, tmp_path, word, named, monkeypatch
):
    def computed(*_, **__):
        raise AssertionError("a map was computed")

    monkeypatch.setattr("kotovec.store.cartography.make_map", computed)
    drawn, option, text = word
    options = ["--method", "tsne", "--perplexity", "2", "--sample", "4", drawn, tmp_path / "drawn", option, text]
    answer = call(capsys, "map", "--store", store, *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        f"error: not on this map, which is of a sample: {named}",
        "hint: use a larger --sample, or another --seed",
    ]
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize("sample", [[], ["--sample", "10"]])
def test_a_label_that_is_no_token_is_refused_and_its_pieces_are_named(capsys, tmp_path, sample):
    """`twenty-one` labelled `twenty`, `-` and `one`; of a sample, an error named pieces that nobody had typed."""
    words = make_store(tmp_path / "words.kotovec")
    options = ["--method", "pca", *sample, "--png", tmp_path / "drawn.png", "--label", "king kings 王"]
    answer = call(capsys, "map", "--store", words, *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        "error: --label: `kings` is not one token, but king | ##s",
        "hint: give tokens: each has a dot of its own",
    ]
    assert not (tmp_path / "drawn.png").exists()


def test_boxes_overlap_as_those_of_matplotlib():
    """One comparison per pair took 3,000 labels a minute; this is one per box."""
    from matplotlib.transforms import Bbox

    corners = np.random.default_rng(0).integers(0, 40, (300, 2))  # whole numbers: many of them touch
    boxes = [Bbox.from_bounds(x, y, 2, 1) for x, y in corners]
    placed, kept = Boxes(), []
    for box in boxes:
        assert placed.overlap(box) == any(box.overlaps(other) for other in kept)
        if not placed.overlap(box):
            placed.add(box)
            kept.append(box)
    assert 64 < len(kept) < 300  # more than there is room for at first


def test_the_command_names_what_it_wrote(capsys, store, tmp_path):
    drawn = {"--png": tmp_path / "a.png", "--html": tmp_path / "a.html"}
    options = ["map", "--store", store, "--method", "pca", "--labels", "0"]
    options += [word for pair in drawn.items() for word in pair]
    shown = call(capsys, *options).out
    assert [line.split()[1] for line in shown.splitlines() if line.split()[0] in ("kept", "picture", "page")][-2:] == [
        str(drawn["--png"]), str(drawn["--html"])
    ]  # fmt: skip
    assert f" kept       {store / 'maps' / 'static.pca.h5'}" in shown
    told = json.loads(call(capsys, *options, "--json").out.splitlines()[0])
    assert (told["png"], told["html"]) == (str(drawn["--png"]), str(drawn["--html"]))
    told = json.loads(call(capsys, "map", "--store", store, "--method", "pca", "--json").out)
    assert (told["png"], told["html"]) == (None, None)
