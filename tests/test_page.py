"""`kotovec map --html` in a real browser with the network cut off: what a person sees, types, clicks and gets."""

import contextlib
import itertools
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from kotovec.cli.page import write_page
from kotovec.space import Space
from kotovec.store import Store, maps
from kotovec.store.cartography import MapRequest, make_map
from kotovec.text import escaped

import commands
import stores
from commands import call

SWITCHES = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
SWITCHES += ["--disable-component-update", "--disable-sync", "--no-first-run"]
WIDE, HIGH = 1200, 800
SPACES = ("static", "isolated")


@pytest.fixture(scope="module")
def browser():
    """Chromium without a GPU: WebGL is drawn by software."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        assert "CI" not in os.environ, "CI installs a browser"
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=SWITCHES)
        yield running
        running.close()


class Page:
    """A page that is open, with what it asked the network for and what it complained of."""

    def __init__(self, browser, path):
        self.requests, self.complaints = [], []
        context = browser.new_context(viewport={"width": WIDE, "height": HIGH}, offline=True)
        self.tab = context.new_page()
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", self._listen)
        self.tab.goto(path.as_uri())
        self.tab.wait_for_selector("body[data-ready]", timeout=60_000)
        self.rest()

    def _listen(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def rest(self):
        """Wait until the map stands still and is drawn."""
        before = None
        for _ in range(100):
            self.tab.wait_for_timeout(50)
            self.tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            now = self.view(), self.labels(), self.tab.locator("body[data-flying]").count()
            if now == before and not now[2]:
                return
            before = now
        raise AssertionError("the map moves on and on")

    def view(self):
        """Return the middle of what is seen, and its width."""
        return self.tab.evaluate(
            """() => { const {x_range: x, y_range: y} = Bokeh.documents[0].get_model_by_name("map");
                       return [(x.start + x.end) / 2, (y.start + y.end) / 2, x.end - x.start]; }"""
        )

    def labels(self):
        return self.tab.evaluate("() => Array.from(Bokeh.documents[0].get_model_by_name('labels').data.text)")

    def find(self, text):
        self.tab.fill("#search", text)
        self.tab.press("#search", "Enter")
        self.rest()

    def click(self, x, y):
        self.tab.mouse.click(x, y)
        self.rest()

    def chosen(self):
        """Return the token that the panel tells of, and its neighbours with their cosines."""
        lines = self.tab.locator("#token tr")
        near = [line.split("\t") for line in lines.all_inner_texts()]
        return self.tab.inner_text("#token h2"), [(token.strip(), float(cosine)) for token, cosine in near]

    def pixels(self, tmp_path):
        """Return what is painted of the map, (H, W, 3)."""
        self.tab.locator("main").screenshot(path=tmp_path / "map.png")
        with Image.open(tmp_path / "map.png") as image:
            return np.asarray(image.convert("RGB"), dtype=np.int64)

    def middle(self):
        box = self.tab.locator("main").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@contextlib.contextmanager
def opened(browser, path):
    """Give a page; at the end it has asked for nothing but itself, and complained of nothing."""
    page = Page(browser, path)
    try:
        yield page
        assert page.requests == [path.as_uri()]
        assert page.complaints == []
    finally:
        page.tab.context.close()


@pytest.fixture(scope="module")
def demo_page(demo, tmp_path_factory):
    """The page of the whole vocabulary of the demo model, by the method that is fast."""
    path = tmp_path_factory.mktemp("page") / "demo map 地図.html"
    store = Store.open(demo)
    made = [make_map(store, MapRequest(space=each, method="pca")) for each in SPACES]
    write_page(store, made, "king - man + woman", path)
    return path


@pytest.fixture(scope="module")
def odd_store(tmp_path_factory):
    return stores.write_odd_store(tmp_path_factory.mktemp("odd") / "odd.kotovec")


@pytest.fixture(scope="module")
def odd_page(odd_store):
    store = Store.open(odd_store)
    path = odd_store.with_name("<b>odd.html")
    write_page(store, [make_map(store, MapRequest(space=each, method="pca")) for each in SPACES], None, path)
    return path


def place_of(store, name, token):
    """Return a token's coordinates, from the map's file."""
    store = Store.open(store)
    made = maps.read_map(store.path / "maps", name, store.vectors.checksum(Space.of_stem(name.partition(".")[0])))
    return made.coordinates[list(store.tokens.surfaces).index(token)]


def test_the_whole_vocabulary_is_painted(browser, demo_page, tmp_path):
    with opened(browser, demo_page) as page:
        assert "30,522 tokens" in page.tab.inner_text("h1")
        # Bokeh goes on without WebGL, and without a word.
        assert page.tab.evaluate("() => Bokeh.index.roots[0].canvas_view.webgl.regl_wrapper.has_webgl")
        painted = page.pixels(tmp_path)
        assert painted.std() > 20
        blue = np.abs(painted - (0, 0x72, 0xB2)).sum(axis=2) < 120
        orange = np.abs(painted - (0xE6, 0x9F, 0)).sum(axis=2) < 120
        assert blue.sum() > 3000
        assert orange.sum() > 1000
        assert "king - man + woman ≈ queen" in page.labels()
        assert 10 < len(page.labels()) <= 250


def test_a_search_flies_to_the_token_and_names_it(browser, demo_page, demo):
    with opened(browser, demo_page) as page:
        whole = page.view()[2]
        page.find("ＱＵＥＥＮ")
        assert page.chosen()[0] == "queen"
        x, y, width = page.view()
        np.testing.assert_allclose([x, y], place_of(demo, "static.pca", "queen"), atol=width / 1000)
        assert width < whole / 10
        assert "queen" in page.labels()
        facts = page.tab.inner_text("#token .facts >> nth=0")
        assert facts.startswith("id 3035, word, Latin, norm ")
        store = Store.open(demo)
        assert float(facts.split()[-1]) == pytest.approx(store.norms("static")[3035], rel=1e-3)


def test_a_click_lists_the_neighbours_that_a_query_gives(browser, demo_page, demo, capsys):
    with opened(browser, demo_page) as page:
        page.find("seven")
        page.click(30, 30)
        page.tab.wait_for_function("() => document.querySelector('#token h2')?.textContent !== 'seven'")
        page.find("seven")
        other = page.labels()
        page.click(*page.middle())
        assert other
        for space in ("static", "isolated"):
            page.tab.click(f"#spaces label:has-text('{space}')")
            page.rest()
            token, near = page.chosen()
            assert len(near) == 10
            lit = page.tab.evaluate("() => Bokeh.documents[0].get_model_by_name('lit').data.x.length")
            assert lit == 11  # itself and its neighbours are ringed
            expected = commands.nearest(capsys, demo, "seven", "--space", space)
            assert token == "seven"
            assert [name for name, _ in near] == [name for name, _ in expected]
            np.testing.assert_allclose([cosine for _, cosine in near], [score for _, score in expected], atol=1e-4)


def test_a_switch_of_spaces_keeps_the_token_in_view(browser, demo_page, demo):
    with opened(browser, demo_page) as page:
        page.find("queen")
        page.tab.click("#spaces label:has-text('isolated')")
        page.rest()
        x, y, width = page.view()
        np.testing.assert_allclose([x, y], place_of(demo, "isolated-6.pca", "queen"), atol=width / 1000)
        assert page.chosen()[0] == "queen"
        page.tab.click("#spaces label:has-text('static')")
        page.rest()
        x, y, width = page.view()
        np.testing.assert_allclose([x, y], place_of(demo, "static.pca", "queen"), atol=width / 1000)


def test_the_legend_filters_and_every_colouring_adds_up(browser, demo_page, tmp_path):
    with opened(browser, demo_page) as page:
        before = page.pixels(tmp_path)
        page.tab.uncheck("#classes label:has-text('subword') input")
        page.rest()
        after = page.pixels(tmp_path)
        orange = [(np.abs(pixels - (0xE6, 0x9F, 0)).sum(axis=2) < 60).sum() for pixels in (before, after)]
        assert orange[1] < orange[0] / 20
        assert not any(label.startswith("##") for label in page.labels())
        for colouring in ("script", "norm", "kind"):
            page.tab.select_option("#colouring", colouring)
            page.rest()
            counts = page.tab.locator("#classes label:visible span:last-child").all_inner_texts()
            assert sum(int(count.replace(",", "")) for count in counts) == 30_522
            assert len(counts) > 3


def test_the_pointer_names_the_token_under_it(browser, demo_page):
    with opened(browser, demo_page) as page:
        page.find("zurich")
        page.tab.mouse.move(*page.middle())
        page.tab.wait_for_selector("#tip:not([hidden])")
        assert page.tab.inner_text("#tip").splitlines()[0] == "zurich"
        assert "id 10204" in page.tab.inner_text("#tip")
        assert ", word, Latin, norm " in page.tab.inner_text("#tip")


def test_labels_come_as_one_comes_nearer_and_do_not_overlap(browser, demo_page):
    boxes = """() => { const map = Bokeh.documents[0].get_model_by_name("map");
        const {x, y, text, weight, align} = Bokeh.documents[0].get_model_by_name("labels").data;
        const scale = map.inner_width / (map.x_range.end - map.x_range.start);
        const pen = document.createElement("canvas").getContext("2d");
        return text.map((each, i) => {
            pen.font = `${weight[i]} 13px sans-serif`;
            const wide = pen.measureText(each).width;
            return [each, x[i] * scale + (align[i] === "right" ? -7 - wide : 7), y[i] * scale, wide]; }); }"""
    with opened(browser, demo_page) as page:
        page.find("king")
        near = set(page.labels())
        page.tab.mouse.move(*page.middle())
        for _ in range(4):
            page.tab.mouse.wheel(0, 400)
            page.rest()
        far = set(page.labels())
        assert len(near - far) > 20
        assert len(far - near) > 20
        # That of the token that was chosen is there in any case.
        drawn = [box for box in page.tab.evaluate(boxes) if box[0] != "king"]
        assert len(drawn) > 20
        for (_, x, y, wide), (_, other_x, other_y, other_wide) in itertools.combinations(drawn, 2):
            apart = x + wide < other_x or other_x + other_wide < x
            assert apart or abs(y - other_y) >= 13


def test_the_command_writes_a_page_of_both_spaces_and_makes_their_maps_once(browser, odd_store, capsys, tmp_path):
    options = ["map", "--store", odd_store, "--method", "pca", "--space", "isolated", "--html", tmp_path / "x.html"]
    answer = call(capsys, *options, "--expression", "word1 - word2 + (word3 + word4) - word1", "--json")
    assert answer.code == 0
    assert [json.loads(line)["name"] for line in answer.out.splitlines()] == ["isolated-1.pca", "static.pca"]
    times = [path.stat().st_mtime_ns for path in sorted((odd_store / "maps").iterdir())]
    with opened(browser, tmp_path / "x.html") as page:
        assert page.tab.locator("#spaces label").all_inner_texts() == ["isolated, layer 1", "static"]
        assert any(label.startswith("word1 - word2 + word3 + word4 - word1 ≈ ") for label in page.labels())
    assert call(capsys, *options).code == 0
    assert [path.stat().st_mtime_ns for path in sorted((odd_store / "maps").iterdir())] == times


@pytest.mark.parametrize("text", stores.ODD)
def test_a_token_is_never_markup(browser, odd_page, text):
    text = escaped(text)
    with opened(browser, odd_page) as page:
        page.find(text)
        assert page.tab.evaluate("() => document.querySelector('#token h2').textContent") == text
        page.tab.mouse.move(*page.middle())
        page.tab.wait_for_selector("#tip:not([hidden])")
        assert page.tab.evaluate("() => document.querySelector('#tip').textContent").startswith(text)
        assert page.tab.evaluate("() => window.hit") is None
        assert page.tab.locator("img, script script, main script").count() == 0
        assert text in page.labels()


@pytest.mark.parametrize(("typed", "found"), [("may", "may"), ("May", "May"), ("MAY", "May"), ("queen", "▁queen")])
def test_what_is_spelled_as_one_types_comes_first(browser, odd_page, typed, found):
    with opened(browser, odd_page) as page:
        page.find(typed)
        assert page.chosen()[0] == found


def test_a_switch_in_mid_flight_keeps_the_token_in_view(browser, odd_page, odd_store):
    with opened(browser, odd_page) as page:
        page.tab.fill("#search", "王")
        page.tab.evaluate(
            """() => { const enter = new KeyboardEvent("keydown", {key: "Enter"});
                       document.getElementById("search").dispatchEvent(enter);
                       document.querySelectorAll("#spaces input")[1].click(); }"""
        )
        page.rest()
        x, y, width = page.view()
        np.testing.assert_allclose([x, y], place_of(odd_store, "isolated-1.pca", "王"), atol=width / 1000)


def test_japanese_labels_are_drawn_and_are_no_boxes(browser, odd_page, tmp_path):
    glyphs = """() => ["王", "女"].map((text) => {
        const canvas = Object.assign(document.createElement("canvas"), {width: 40, height: 40});
        const pen = canvas.getContext("2d");
        pen.font = "30px sans-serif";
        pen.fillText(text, 4, 32);
        return canvas.toDataURL(); })"""
    with opened(browser, odd_page) as page:
        one, other = page.tab.evaluate(glyphs)
        assert one != other  # a box for what the fonts lack looks the same whatever it is for
        page.find("王")
        across, down = (int(size) for size in page.middle())
        beside = page.pixels(tmp_path)[down - 10 : down + 10, across + 10 : across + 30]
        assert (beside.sum(axis=2) < 200).sum() > 20


def test_a_vector_of_zeros_has_no_neighbours(browser, odd_page):
    with opened(browser, odd_page) as page:
        page.find(f"word{20 - len(stores.ODD)}")
        assert page.chosen() == (f"word{20 - len(stores.ODD)}", [])
        assert "A vector of zeros" in page.tab.inner_text("#token")


def test_a_source_that_answers_late_and_later_questions_sooner_shows_the_same(browser, odd_page, odd_store, tmp_path):
    """As a server might; what people do meanwhile is done in its order."""
    slow = """(source) => { let asked = 0; return new Proxy(source, { get: (inner, name) => async (...given) => {
        await new Promise((done) => setTimeout(done, Math.max(0, 300 - 20 * asked++)));
        return inner[name](...given); } }); }"""
    begin = "begin(openSource());"
    whole = odd_page.read_text(encoding="utf-8")
    assert whole.count(begin) == 1
    late = tmp_path / "late.html"
    late.write_text(whole.replace(begin, f"begin(({slow})(openSource()));"), encoding="utf-8")
    shown = []
    for path in (odd_page, late):
        with opened(browser, path) as page:
            page.tab.evaluate(
                """() => { const box = document.getElementById("search");
                           for (const text of ["word3", "w", "王"]) {
                               box.value = text;
                               box.dispatchEvent(new Event("input")); }
                           box.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
                           const [first, second] = document.querySelectorAll("#spaces input");
                           second.click();
                           first.click();
                           second.click();
                           document.getElementById("search").value = "女";
                           box.dispatchEvent(new Event("input")); }"""
            )
            page.tab.wait_for_function("() => document.getElementById('found').textContent === '女'")
            page.rest()
            # Not the zoom: it is that of the moment at which the flight was left.
            x, y, width = page.view()
            np.testing.assert_allclose([x, y], place_of(odd_store, "isolated-1.pca", "王"), atol=width / 1000)
            shown.append((page.chosen(), page.tab.inner_text("aside")))
    assert shown[0] == shown[1]
    assert shown[0][0][0] == "王"
    assert "isolated, layer 1:" in shown[0][1]
