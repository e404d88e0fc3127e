"""Dumps of Wikipedia: what of the markup is text, which pages are articles, and streams in parallel."""

import bz2
from pathlib import Path

import gensim
import pytest

from kotovec.cluster.corpus import Counts, cut, list_files, sentences
from kotovec.cluster.corpus import dumps as dumps_module
from kotovec.cluster.corpus.wikitext import plain_text

from corpora import PACK, corpus_of, read_all, write

GENSIM = Path(gensim.__file__).parent / "test" / "test_data"
ENGLISH = GENSIM / "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"

HEAD = """<mediawiki xml:lang="ja"><siteinfo><namespaces>
<namespace key="0" case="first-letter" /><namespace key="6" case="first-letter">ファイル</namespace>
<namespace key="14" case="first-letter">分類</namespace></namespaces></siteinfo>
"""


def page(text, namespace=0, extra=""):
    return f"  <page>\n<title>T</title><ns>{namespace}</ns>{extra}<text bytes='1'>{text}</text>\n</page>\n"


def dump(*pages):
    return f"{HEAD}{''.join(pages)}</mediawiki>\n"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''王'''（{{lang|en|king}}、）は''人''である。", "王は人である。"),
        ("a {{b|{{c|[[d]]}}|e=\n{{{f}}}}} g", "a  g"),
        ("[[a]] [[b|c]] [[d (e)|]] [[f#g|h]]s", "a c  hs"),
        ("x [[File:a.jpg|thumb|a [[b]] and [[c|d]]]] y", "x  y"),
        ("x [[Category:a]][[画像:b.png]][[分類:c]] [[:Category:d]]", "x  Category:d"),
        ("[[fr:Roi]] [[Star Trek: Voyager]] [[Re:ゼロ]]", " Star Trek: Voyager Re:ゼロ"),
        ("a<ref>b {{c}}</ref> d<ref name=x/> e<!-- f\n -->g<br />h <b>i</b>", "a d eg\nh i"),
        ("a <math>x<y</math> b 3 < 4 &nbsp;&amp;", "a  b 3 < 4 \u00a0&"),
        ("== H ==\n* one\n** two\n# three\n: four\n----", "\none\ntwo\nthree\nfour\n----"),
        ("a\n{| class=x\n! h\n|-\n| b || c\n|}\nd", "a\n\n\n\n\n\nd"),
        ("[http://a.b c d] [http://e.f] [//g.h i]", "c d  i"),
        ("a\n{{never closed\nb [[also not\nc", "a\n\n\nc"),
        ("a __NOTOC__ b (, 5) ( ; ) (c)", "a  b (5)  (c)"),
    ],
)
def test_running_text_is_left_of_markup(markup, text):
    assert plain_text(markup, {"分類"}) == text


def test_articles_are_read_and_other_pages_are_not(tmp_path):
    content = dump(
        page("First. &lt;ref&gt;x&lt;/ref&gt;&quot;Two&quot; &amp;amp; &amp;lt;.\n\n[[ファイル:a.jpg|b]]Next."),
        page("talk", 1),
        page("#REDIRECT [[x]]", extra='<redirect title="x" />'),
        "<page><ns>0</ns><text bytes='0' /></page>",
        page("王は人である。女王も。"),
    )
    for packing, pack in PACK.items():
        path = write(tmp_path / f"jawiki-pages-articles.xml{packing}", pack(content.encode()))
        for sent in (False, True):
            found, counts, _ = read_all(corpus_of(path), sent=sent)
            assert found == ["First.", '"Two" & <.', "Next.", "王は人である。", "女王も。"]
            assert (counts.lines, counts.documents, counts.faults) == (5, 2, {})


def test_pages_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(dumps_module, "MOST_PAGE", 300)
    monkeypatch.setattr(dumps_module, "BLOCK_BYTES", 50)
    pages = [page("one").encode(), page("b\xff").encode("latin-1"), page("x" * 1000).encode(), page("four").encode()]
    path = write(tmp_path / "a.xml", b"".join(pages) + page("never closed").encode()[:60])
    found, counts, _ = read_all(corpus_of(path))
    assert found == ["one", "four"]
    assert counts.faults == {"lines that are not UTF-8": 1, "pages that are not closed": 2}
    assert [(fault.line, fault.kind[:5]) for fault in counts.examples] == [(2, "lines"), (3, "pages"), (5, "pages")]
    content = bz2.compress("".join(page(f"This is the text {number}.") for number in range(90_000)).encode())
    path = write(tmp_path / "b.xml.bz2", content[: len(content) // 2])
    _, counts, _ = read_all(corpus_of(path))
    assert counts.faults == {"truncated files": 1}


@pytest.fixture
def multistream(tmp_path):
    """The real dump as many streams of ten pages each, with their index beside them."""
    head, *pages = bz2.decompress(ENGLISH.read_bytes()).split(b"  <page>\n")
    content, index = bz2.compress(head), []
    for start in range(0, len(pages), 10):
        index += [f"{len(content)}:{start + number}:Title: {number}\n" for number in range(10)]
        content += bz2.compress(b"".join(b"  <page>\n" + each for each in pages[start : start + 10]))
    path = write(tmp_path / "enwiki-pages-articles-multistream1.xml-p10p30302.bz2", content)
    index_path = tmp_path / "enwiki-pages-articles-multistream-index1.txt-p10p30302.bz2"
    write(index_path, bz2.compress("".join(index).encode()))
    return path, index_path


def test_streams_of_a_dump_are_read_in_parallel_where_their_index_lies_beside_it(multistream):
    path, index_path = multistream
    expected, whole, _ = read_all(corpus_of(ENGLISH))
    assert (whole.lines, whole.documents, whole.faults) == (206, 106, {})
    assert len(expected) > 20_000
    corpus = corpus_of(path)
    pieces = cut(list_files(corpus), 100_000)
    assert 10 < len(pieces) < 21
    assert sum(piece.size for piece in pieces) == Path(path).stat().st_size
    for sent in (False, True):
        found, counts, _ = read_all(corpus, 100_000, sent)
        assert found == expected
        assert (counts.lines, counts.documents, counts.bytes) == (whole.lines, whole.documents, whole.bytes)
    index_path.write_bytes(b"no index")
    assert len(cut(list_files(corpus), 100_000)) == 1
    assert read_all(corpus)[0] == expected
    index_path.unlink()
    assert len(cut(list_files(corpus), 100_000)) == 1


def test_an_index_of_another_dump_is_not_used(multistream):
    path, index_path = multistream
    index_path.write_bytes(bz2.compress(b"0:1:a\n999999999999:2:b\n"))
    assert len(cut(list_files(corpus_of(path)), 1000)) == 1
    index_path.write_bytes(bz2.compress(b"0:1:a\n1000:2:b\n"))
    pieces = cut(list_files(corpus_of(path)), 1000)
    counts = Counts()
    for piece in pieces:
        list(sentences(piece, corpus_of(path), counts))
    assert counts.faults.get("damaged files", 0) + counts.faults.get("truncated files", 0) == len(pieces)


def test_the_index_of_a_dump_is_no_text(tmp_path):
    write(tmp_path / "enwiki-multistream-index.txt.bz2", bz2.compress(b"0:1:a\n"))
    write(tmp_path / "a.txt", b"one\n")
    assert [Path(file.path).name for file in list_files(corpus_of(tmp_path))] == ["a.txt"]


def test_real_articles_are_running_text():
    found, _, _ = read_all(corpus_of(ENGLISH, min_chars=8))
    text = "\n".join(found)
    assert "Anarchism is a political philosophy that advocates self-governed societies" in text
    assert sum(any(sign in sentence for sign in ("{{", "}}", "[[", "]]", "||", "<ref")) for sentence in found) == 0
    assert sum(sentence.endswith((".", '."', "?", "!", '"', ")", ":")) for sentence in found) > 0.7 * len(found)
