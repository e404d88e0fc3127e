"""Which files a corpus names, on this machine and behind URLs, and what is refused."""

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import fsspec
import pytest

from kotovec.cluster.corpus import Corpus, Counts, cut, find, kinds, list_files, sentences
from kotovec.cluster.corpus.kinds import Form, Kind, Packing, kind_of
from kotovec.errors import CorpusError, InputError, MissingDependencyError

from corpora import PACK, corpus_of, json_lines, read_all, write, write_parquet


def names(corpus, base):
    return [os.path.relpath(file.path, base) for file in list_files(corpus)]


@pytest.fixture
def tree(tmp_path):
    for name in ("b.txt", "a.jsonl", "sub/c.txt.gz", "sub/deep/d.JSON.zst", ".hidden.txt", "README.md", "_SUCCESS.txt"):
        write(tmp_path / name, "")
    write(tmp_path / ".git" / "e.txt", "")
    write(tmp_path / "[1]*.txt", "")
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["b.txt"], ["b.txt"]),
        (["."], ["[1]*.txt", "a.jsonl", "b.txt", "sub/c.txt.gz", "sub/deep/d.JSON.zst"]),
        (["sub", "b.txt", "sub/c.txt.gz"], ["b.txt", "sub/c.txt.gz", "sub/deep/d.JSON.zst"]),
        (["?.*"], ["a.jsonl", "b.txt"]),
        (["**/*.gz"], ["sub/c.txt.gz"]),
        (["s*"], ["sub/c.txt.gz", "sub/deep/d.JSON.zst"]),
        (["[1]*.txt"], ["[1]*.txt"]),
        ([".hidden.txt"], [".hidden.txt"]),
    ],
)
def test_files_folders_and_patterns_name_files_once_by_path(tree, paths, expected, monkeypatch):
    assert names(corpus_of(*(tree / path for path in paths)), tree) == expected
    monkeypatch.chdir(tree)
    assert names(corpus_of(*paths), tree) == expected
    assert all(os.path.isabs(file.path) for file in list_files(corpus_of(*paths)))


@pytest.mark.parametrize(
    ("paths", "message", "hint"),
    [
        (["none.txt"], r"there is no file `.*none\.txt`", "name files, folders or URLs with --corpus"),
        (["b.txt", "x*.txt"], r"no file of a corpus is in `.*x\*\.txt`", "name files that end in .txt"),
        (["README.md"], r"README\.md is of no known kind", "name files that end in .txt"),
        (["*.md"], r"README\.md is of no known kind", "name files that end in .txt"),
        (["empty"], r"no file of a corpus is in `.*empty`", "name files that end in .txt"),
        (["pipe.txt"], r"pipe\.txt is not a regular file", "name files"),
        (["dangling.txt"], r"dangling\.txt is a link to no file", "name files"),
        (["nonsense://a/b.txt"], r"nonsense://a/b\.txt cannot be read \(Protocol not known: nonsense", "check the URL"),
    ],
)
def test_what_names_no_corpus_is_refused_in_one_line(tree, paths, message, hint):
    (tree / "empty").mkdir()
    os.mkfifo(tree / "pipe.txt")
    (tree / "dangling.txt").symlink_to("nowhere")
    corpus = corpus_of(*(path if "://" in path else tree / path for path in paths))
    with pytest.raises(InputError, match=message) as raised:
        list_files(corpus)
    assert hint in raised.value.hint


def test_a_field_is_refused_where_no_file_has_fields(tmp_path):
    """It was ignored without a word."""
    for name in ("a.txt", "a.xml.bz2", "b.txt.gz", "c/d.jsonl.gz"):
        write(tmp_path / name, "")
    for paths in (["a.txt"], ["*.*"], ["a.xml.bz2", "b.txt.gz"]):
        corpus = corpus_of(*(tmp_path / path for path in paths), field="nope")
        with pytest.raises(InputError, match=r"^no file of this corpus has fields, such as `nope`\n") as caught:
            list_files(corpus)
        assert caught.value.hint == "leave out --corpus-field, or name files of JSON lines or Parquet"
        assert list_files(corpus_of(*corpus.paths))
    assert len(list_files(corpus_of(tmp_path, field="nope"))) == 4


LISTING = """
import sys
from kotovec.cluster.corpus import Corpus, list_files
from kotovec.errors import KotovecError
for path in sys.argv[1:]:
    try:
        print(len(list_files(Corpus((path,)))))
    except KotovecError as error:
        print(f"{type(error).__name__}: {error} | {error.hint}")
"""


def listed(folder, *paths):
    """What a user who is not root is answered for some paths in a folder."""
    caps = "-dac_override,-dac_read_search"
    bound = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}"] if os.geteuid() == 0 else []
    if bound and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, as root may read everything")
    done = subprocess.run([*bound, sys.executable, "-c", LISTING, *paths], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_may_not_be_read_is_refused_by_name_and_never_left_out(tmp_path):
    """A folder of mode 000 within a corpus was passed over without a word."""
    for name in ("ok/a.txt", "perm/a/b.txt", "perm/b/c.txt", "file/a.txt"):
        write(tmp_path / name, "a sentence.\n")
    (tmp_path / "perm" / "b").chmod(0)
    (tmp_path / "file" / "a.txt").chmod(0)
    (tmp_path / "top").mkdir(mode=0)
    denied = "cannot be read (Permission denied) | give this user access to it, or name other paths with --corpus"
    expected = {
        "ok": "1", "ok/*.txt": "1", "o*/**/*.txt": "1", "**/a/*.txt": "perm/b/", "perm/[a]/b.txt": "1",
        "perm": "perm/b", "perm/**/*.txt": "perm/b/", "perm/*": "perm/b", "perm/*/c.txt": "perm/b/",
        "perm/b/*.txt": "perm/b/", "perm/b/c.txt": "perm/b/c.txt", "perm/b/d/*.txt": "perm/b/d/",
        "top": "top", "top/*": "top/", "file": "file/a.txt", "file/a.*": "file/a.txt", "file/a.txt": "file/a.txt",
    }  # fmt: skip
    try:
        answers = listed(tmp_path, *expected, f"file://{tmp_path}/perm")
    finally:
        for folder in ("perm/b", "top"):
            (tmp_path / folder).chmod(0o700)
    wanted = [what if what == "1" else f"CorpusError: {what} {denied}" for what in expected.values()]
    assert answers == [*wanted, f"CorpusError: {tmp_path}/perm/b {denied}"]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"paths": ()}, "no corpus is named", "--corpus"),
        ({"min_chars": 0}, "no sentence has at least 0", "--min-chars"),
        ({"min_chars": 9, "max_chars": 8}, "no sentence has at least 9 and at most 8 characters", "--max-chars"),
        ({"split": "word"}, "unknown split `word`", "`sentence`, `line`"),
        ({"split": "²"}, "unknown split", "a number of characters from 8"),
        ({"split": "7"}, "unknown split `7`", "from 8"),
        ({"split": "1000"}, "texts of 1,000 characters are not within 8 to 512", "--split 1000"),
    ],
)
def test_a_corpus_that_can_give_no_sentence_is_refused(options, message, hint):
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        Corpus(**{"paths": ("a",), **options})
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.txt", Kind(Form.TEXT, Packing.NONE)),
        ("A.TEXT.BZ2", Kind(Form.TEXT, Packing.BZIP2)),
        ("x/a.ndjson.zst", Kind(Form.JSON, Packing.ZSTD)),
        ("a.json.gz", Kind(Form.JSON, Packing.GZIP)),
        ("hf://datasets/o/n/train-0.parquet", Kind(Form.PARQUET, Packing.NONE)),
        ("https://h/a.jsonl.gz?token=x.txt#y", Kind(Form.JSON, Packing.GZIP)),
        ("jawiki-latest-pages-articles1.xml-p1p114794.bz2", Kind(Form.WIKIPEDIA, Packing.BZIP2)),
        ("a.parquet.gz", None),
        ("a.gz", None),
        ("txt", None),
        ("a.csv", None),
        ("https://h/a?b=c.txt", None),
    ],
)
def test_kinds_are_told_by_names(path, kind):
    assert kind_of(path) == kind


@pytest.mark.parametrize(("name", "package"), [("a.parquet", "pyarrow"), ("a.txt.zst", "zstandard")])
def test_a_missing_package_is_named_before_anything_is_read(tmp_path, monkeypatch, name, package):
    monkeypatch.setattr(kinds, "find_spec", lambda _: None)
    write(tmp_path / "b.txt", "one")
    assert len(list_files(corpus_of(tmp_path))) == 1
    write(tmp_path / name, "")
    with pytest.raises(MissingDependencyError, match=rf"needs {package} to be read \(.*{name}\)") as raised:
        list_files(corpus_of(tmp_path))
    assert raised.value.hint == "install it: pip install 'kotovec[corpus]'"


def test_a_column_that_parquet_lacks_is_refused_before_it_is_read(tmp_path):
    corpus = corpus_of(write_parquet(tmp_path / "a.parquet", ["one"], field="body"))
    with pytest.raises(InputError, match="has no column `text`") as raised:
        cut(list_files(corpus), corpus=corpus)
    assert raised.value.hint == "choose `n` or `body` with --corpus-field"


def test_pieces_cover_files_once(tmp_path):
    write(tmp_path / "a.txt", b"x" * 10)
    write(tmp_path / "b.txt.gz", PACK[".gz"](b"x" * 1000))
    write(tmp_path / "c.txt", b"")
    write_parquet(tmp_path / "d.parquet", [f"{number:05d}" * 1000 for number in range(7)])
    files = list_files(corpus_of(tmp_path))
    pieces = cut(files, 4)
    assert [piece.number for piece in pieces] == list(range(len(pieces)))
    assert [(piece.start, piece.stop, piece.size) for piece in pieces[:3]] == [(0, 4, 4), (4, 8, 4), (8, 10, 2)]
    assert (pieces[3].start, pieces[3].stop, pieces[3].size) == (0, files[1].size, files[1].size)
    assert [(piece.start, piece.stop) for piece in pieces[4:]] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert 0 < sum(piece.size for piece in pieces[4:]) <= files[3].size
    groups = [piece.size for piece in pieces[4:]]
    two = cut(files[3:], groups[0] + groups[1])
    assert [(piece.start, piece.stop, piece.size) for piece in two] == [
        (0, 2, groups[0] + groups[1]),
        (2, 4, groups[2] + groups[3]),
    ]


def test_a_stamp_changes_with_a_file(tmp_path):
    path = write(tmp_path / "a.txt", "one")
    file = list_files(corpus_of(path))[0]
    assert find(path) == file
    os.utime(path, ns=(1, 1))
    assert find(path) != file
    Path(path).unlink()
    assert find(path) is None


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_files_of_fsspec_are_read_as_local_ones(memory, tmp_path):
    contents = {
        "a.txt": b"one\ntwo\nthree\n",
        "sub/b.jsonl.gz": PACK[".gz"](json_lines(["four"])),
        "sub/c.parquet": Path(write_parquet(tmp_path / "c.parquet", ["five", "six", "seven"])).read_bytes(),
        "sub/README.md": b"",
        ".hidden.txt": b"hidden",
    }
    for name, content in contents.items():
        memory.pipe(f"/corpus/{name}", content)
    everything = ["one", "two", "three", "four", "five", "six", "seven"]
    for path in ("memory://corpus", "memory://corpus/"):
        assert [file.path for file in list_files(corpus_of(path))] == [
            "memory:///corpus/a.txt",
            "memory:///corpus/sub/b.jsonl.gz",
            "memory:///corpus/sub/c.parquet",
        ]
        for sent in (False, True):
            found, counts, pieces = read_all(corpus_of(path), 5, sent)
            assert (found, counts.faults) == (everything, {})
            assert len(pieces) == 3 + 1 + 2
    assert read_all(corpus_of("memory://corpus/*.txt"))[0] == everything[:3]
    assert read_all(corpus_of("memory://corpus/**/*.parquet"))[0] == everything[4:]
    with pytest.raises(InputError, match=r"memory:///corpus/sub/README\.md is of no known kind"):
        list_files(corpus_of("memory://corpus/sub/*"))
    assert read_all(corpus_of("memory://corpus/sub/b.jsonl.gz"))[0] == ["four"]


def test_files_of_fsspec_that_are_gone_or_changed_are_named(memory):
    memory.pipe("/corpus/a.txt", b"one\n")
    corpus = corpus_of("memory://corpus/a.txt")
    files = list_files(corpus)
    assert find(files[0].path) == files[0]
    memory.pipe("/corpus/a.txt", b"other\n")
    assert find(files[0].path) != files[0]
    with pytest.raises(CorpusError, match="a.txt has changed: 6 bytes instead of 4"):
        list(sentences(cut(files)[0], corpus, Counts()))
    memory.rm("/corpus/a.txt")
    assert find(files[0].path) is None
    with pytest.raises(CorpusError, match=r"there is no file memory:///corpus/a\.txt"):
        list(sentences(cut(files)[0], corpus, Counts()))
    with pytest.raises(CorpusError, match=r"there is no file memory://corpus/a\.txt"):
        list_files(corpus)
    with pytest.raises(InputError, match=r"no file of a corpus is in `memory://corpus/\*"):
        list_files(corpus_of("memory://corpus/*"))


class Handler(http.server.SimpleHTTPRequestHandler):
    """A web server; with ranges, it sends one range of bytes."""

    ranges = True
    lengths = True

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.send(body=False)

    def do_GET(self):
        self.send(body=True)

    def send(self, body):
        path = Path(self.directory, self.path.partition("?")[0].lstrip("/"))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.ranges and asked:
            start, stop = int(asked[1]), min(int(asked[2]) + 1, len(data))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            data = data[start:stop]
        else:
            self.send_response(200)
        if self.lengths:
            self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture(params=["ranges", "no ranges", "no lengths"])
def web(request, tmp_path):
    class Configured(Handler):
        ranges = request.param == "ranges"
        lengths = request.param != "no lengths"

    folder = tmp_path / "web"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Configured, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}", request.param
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_of_the_web_are_read_with_ranges_and_without(web):
    folder, url, kind = web
    write(folder / "a.txt", b"one\ntwo\nthree\n" * 1000)
    write(folder / "b.jsonl.gz", PACK[".gz"](json_lines(["four"])))
    corpus = corpus_of(f"{url}/a.txt?key=x*y", f"{url}/b.jsonl.gz")
    files = list_files(corpus)
    assert [file.path for file in files] == [f"{url}/a.txt?key=x*y", f"{url}/b.jsonl.gz"]
    assert files[0].whole == (kind != "ranges")
    assert files[0].size == (0 if kind == "no lengths" else 14_000)
    assert files[0].stamp == f'"{(folder / "a.txt").stat().st_mtime_ns}"'
    for sent in (False, True):
        found, counts, pieces = read_all(corpus, 4000, sent)
        assert found == ["one", "two", "three"] * 1000 + ["four"]
        assert counts.faults == {}
        assert len(pieces) == (5 if kind == "ranges" else 2)
    os.utime(folder / "a.txt", ns=(1, 1))
    assert find(files[0].path) != files[0]
    (folder / "a.txt").unlink()
    assert find(files[0].path) is None
    with pytest.raises(CorpusError, match=r"there is no file http://.*a\.txt"):
        list_files(corpus)


def test_parquet_of_the_web_needs_ranges(web):
    folder, url, kind = web
    write_parquet(folder / "a.parquet", ["one", "two", "three"])
    corpus = corpus_of(f"{url}/a.parquet")
    if kind == "ranges":
        assert read_all(corpus, 1)[0] == ["one", "two", "three"]
        return
    with pytest.raises(InputError, match=r"a\.parquet is on a server that sends no ranges of bytes") as raised:
        cut(list_files(corpus))
    assert raised.value.hint == "download it, and name the file"


def test_a_server_that_is_not_there_is_one_line():
    with pytest.raises(CorpusError, match=r"^http://127\.0\.0\.1:9/a\.txt cannot be read \(") as raised:
        list_files(corpus_of("http://127.0.0.1:9/a.txt"))
    assert "\n" not in str(raised.value)
