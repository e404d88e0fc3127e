"""The scan of a corpus: one sample whatever the corpus looks like, and whatever happens on the way."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from kotovec.cluster.contexts import inline, sending, tasks
from kotovec.cluster.contexts import scan as scans
from kotovec.cluster.contexts.gather import gather
from kotovec.cluster.contexts.pieces import Pieces
from kotovec.cluster.contexts.sample import open_executor, scan, tally
from kotovec.cluster.contexts.sketch import Sketches
from kotovec.cluster.corpus import Counts, cut, list_files
from kotovec.cluster.events import Phase, Progress
from kotovec.cluster.where import Resources
from kotovec.errors import CorpusError, DiskFullError, InputError, WorkerError
from kotovec.store.contexts import Sample, Texts, read_contexts, write_contexts
from kotovec.store.layout import Layout
from kotovec.store.tokens import Kind

import scanned
from rays import Listener, plan_of, wait_for, workers_named
from scanned import (
    TABLES,
    Hanging,
    Killer,
    by_force,
    bytes_of,
    english,
    names,
    packed,
    run_scan,
    slowed,
    spec_of,
    write_jsonl,
    write_lines,
    write_parquet,
)
from test_faults_build import small_disk  # noqa: F401 — the fixture


def test_the_sample_is_that_of_all_sentences_sorted_by_their_hashes(scanner, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    sample, told = run_scan(spec_of(scanner, path), tmp_path / "x.kotovec")
    chosen, occurrences = by_force(english(), scanner)
    found = {row: [sample.texts[number] for number in sample.of(row)] for row in range(scanner.matcher.items)}
    assert {row: texts for row, texts in found.items() if texts} == chosen
    assert max(map(len, chosen.values())) == 5
    exact = {row: float(count) for row, count in occurrences.items() if count <= 5}
    assert {row: sample.occurrences[row] for row in exact} == exact
    many = {row: count for row, count in occurrences.items() if count > 500}
    assert len(many) > 10  # a relative error of 1 / sqrt(4) each
    assert 0.6 < np.median([sample.occurrences[row] / count for row, count in many.items()]) < 1.7
    ids, offsets = scanner.splitter.split(list(sample.texts))
    np.testing.assert_array_equal(ids, sample.ids)
    np.testing.assert_array_equal(offsets, sample.id_offsets)
    assert sample.made == {
        "seed": 0,
        "fraction": 1.0,
        "split": "line",
        "min-chars": 8,
        "max-chars": 2000,
        "counts": {
            "bytes": 237276,
            "lines": 2000,
            "documents": 2000,
            "sentences": 1970,
            "too_short": 30,
            "too_long": 0,
            "faults": {},
        },
    }
    assert told.notices == []


def test_progress_is_told_in_bytes_with_sentences_and_complete_items(scanner, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    _, told = run_scan(spec_of(scanner, path), tmp_path / "x.kotovec")
    progress = [event for event in told if isinstance(event, Progress)]
    size = path.stat().st_size
    assert [each.done for each in progress] == [*range(0, size, 16384), size]
    assert {(each.total, each.unit) for each in progress} == {(size, "byte")}
    items = scanner.matcher.items
    assert progress[0].note == f"0 sentences, 0 of {items} items complete"
    sentences, complete = progress[-1].note.split(", ")
    assert sentences == "1,970 sentences"
    assert 50 < int(complete.split(" of ")[0]) < items
    assert [event.name for event in told if isinstance(event, Phase)] == ["scan", "gather"]


def test_the_last_progress_of_a_scan_counts_what_its_last_piece_completes(scanner, tmp_path):
    """A corpus of one piece ended with `0 items complete`, whatever it had."""
    path = write_lines(tmp_path / "a.txt", english())
    sample, told = run_scan(spec_of(scanner, path, piece_bytes=1 << 20), tmp_path / "x.kotovec")
    done, complete = [event.note.split(", ")[1] for event in told if isinstance(event, Progress)]
    expected = int((sample.counts == 5).sum())
    assert (done, complete) == tuple(f"{n} of {scanner.matcher.items} items complete" for n in (0, expected))
    assert expected > 50


def test_how_many_items_are_complete_is_told_by_kind(scanner, tiny_models, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    sample, _ = run_scan(spec_of(scanner, path), tmp_path / "x.kotovec")
    tokens = plan_of(tiny_models["bert"]).tokens
    told = tally(sample, tokens)
    words = tokens.kinds == Kind.WORD
    assert told["special"] == {"complete": 0, "fewer": 0, "none": 5, "inside": 0}
    assert told["word"]["complete"] == (sample.counts[words] == 5).sum() > 50
    assert told["word"]["none"] == (sample.counts[words] == 0).sum() > 10
    assert sum(sum(each.values()) - each["inside"] for each in told.values()) == len(tokens)


def shuffled(folder):
    sentences = english()
    random.Random(1).shuffle(sentences)
    return [write_lines(folder / "a.txt", sentences)]


def renamed_and_cut(folder):
    sentences = english()
    parts = [sentences[start : start + 170] for start in range(0, len(sentences), 170)]
    return [write_lines(folder / f"z{9 - n % 10}" / f"{n}.txt", part).parent for n, part in enumerate(parts)]


def duplicated(folder):
    return [write_lines(folder / name, english() + english()[::-1]) for name in ("a.txt", "b.txt")]


def compressed(ending):
    def write(folder):
        path = packed(write_lines(folder / "a.txt", english()), ending)
        (folder / "a.txt").unlink()
        return [path]

    return write


def of_several_forms(folder):
    sentences = english()
    write_lines(folder / "a.txt", sentences[:500])
    write_jsonl(folder / "b.jsonl", sentences[400:900])
    write_parquet(folder / "c.parquet", sentences[900:1500])
    packed(write_jsonl(folder / "d.jsonl", sentences[1500:]), ".zst")
    return [folder]


FORMS = {
    "shuffled": shuffled,
    "renamed and cut": renamed_and_cut,
    "duplicated": duplicated,
    "gz": compressed(".gz"),
    "bz2": compressed(".bz2"),
    "zst": compressed(".zst"),
    "jsonl": lambda folder: [write_jsonl(folder / "a.jsonl", english())],
    "parquet": lambda folder: [write_parquet(folder / "a.parquet", english())],
    "several": of_several_forms,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_sample_has_the_same_bytes_for_the_same_sentences(form, scanner, reference, tmp_path):
    paths = FORMS[form](tmp_path / "corpus")
    sample, _ = run_scan(spec_of(scanner, *paths), tmp_path / "x.kotovec")
    assert bytes_of(sample) == reference


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_sample_has_the_same_bytes_for_any_number_of_workers(workers, scanner, reference, on_ray, tmp_path):
    paths = of_several_forms(tmp_path / "corpus")
    sample, told = run_scan(spec_of(scanner, *paths), tmp_path / "x.kotovec", workers)
    assert bytes_of(sample) == reference
    assert told.notices == []


def test_texts_are_kept_only_on_request(scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    sample, _ = run_scan(spec_of(scanner, path, keep_text=False), tmp_path / "x.kotovec")
    assert sample.texts is None
    assert bytes_of(sample) == {name: reference[name] for name in TABLES}
    layout = Layout(tmp_path / "x.kotovec")
    write_contexts(layout.contexts, sample, "t" * 64, keep_text=False)
    assert read_contexts(layout.contexts, "t" * 64).digest == sample.digest
    assert names(layout) == ["contexts.h5", "corpus.json"]


def test_another_seed_gives_another_sample(scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    sample, _ = run_scan(spec_of(replace(scanner, seed=1), path), tmp_path / "x.kotovec")
    assert sample.made["seed"] == 1
    assert bytes_of(sample)["sentences"] != reference["sentences"]
    chosen, _ = by_force(english(), replace(scanner, seed=1))
    assert sum(map(len, chosen.values())) == len(sample.sentences)


def test_a_fraction_gives_the_same_contexts_to_items_that_are_complete(scanner, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    whole, _ = run_scan(spec_of(scanner, path), tmp_path / "whole.kotovec")
    part, _ = run_scan(spec_of(replace(scanner, fraction=0.25), path), tmp_path / "part.kotovec")
    complete = np.flatnonzero(part.counts == 5)
    assert 20 < len(complete) < (whole.counts == 5).sum()
    assert part.hashes.max() < 1 << 62
    for row in complete[~part.inside[complete]]:
        assert [part.texts[number] for number in part.of(row)] == [whole.texts[number] for number in whole.of(row)]
    common = whole.occurrences > 500
    assert 0.3 < np.median(part.occurrences[common] / whole.occurrences[common]) < 3


def test_two_texts_of_one_hash_are_one_sentence_with_its_own_ids(scanner, tmp_path, monkeypatch):
    real = scans.hash_sentences
    monkeypatch.setattr(scans, "hash_sentences", lambda *arguments: real(*arguments) & np.uint64(0xFF << 56))
    texts = [text for text in english()[:1000] if len(text) >= 8]
    alike = {}
    for text, value in zip(texts, scans.hash_sentences(texts, 0).tolist(), strict=True):
        alike.setdefault(value, []).append(text)
    for number in range(3):
        random.Random(number).shuffle(texts)
        path = write_lines(tmp_path / f"{number}.txt", texts)
        sample, _ = run_scan(spec_of(scanner, path, piece_bytes=20 << 10), tmp_path / f"{number}.kotovec")
        assert len(sample.hashes) < 256
        for value, text in zip(sample.hashes.tolist(), sample.texts, strict=True):
            assert text in alike[value]
        ids, _ = scanner.splitter.split(list(sample.texts))
        np.testing.assert_array_equal(ids, sample.ids)


@pytest.mark.parametrize(
    "texts", [("one king", "two kings"), ("two kings", "one king"), ("a king and a man", "a king")]
)
def test_of_two_texts_of_one_hash_in_two_pieces_the_smaller_is_taken(texts, tmp_path):
    layout = Layout(tmp_path)
    layout.shards.mkdir()
    pieces, hashes = Pieces(layout, "f" * 64), np.array([7, 9], dtype=np.uint64)
    for number, text in enumerate(texts):
        ids = np.arange(100 * number, 100 * number + len(text) + 3, dtype=np.int32)
        offsets = np.array([0, 3, len(ids)])
        found = scans.Sentences(hashes, Texts.of(["same", text]), ids, offsets)
        entries = np.zeros(1, dtype=np.int32)
        pieces.write(number, scans.Found(found, entries, entries + 1, entries > 0, Counts()))
    empty = np.zeros(2, dtype=np.int64)
    sample = Sample(hashes, empty[:1], empty[:0].astype(np.int32), empty[:0] > 0, empty[:0] * 1.0, 1)
    gather(layout.sample, sample, "i", pieces, 2, keep_text=True)
    found = read_contexts(layout.sample, "i")
    assert list(found.texts) == ["same", min(texts)]
    first = 100 * texts.index(min(texts))
    assert found.ids.tolist() == [0, 1, 2, *range(first + 3, first + 3 + len(min(texts)))]


# ---- resumed


class Stopped(BaseException):
    """Raised in the place of Ctrl-C."""


def interrupt(spec, folder, pieces, workers=0):
    """Begin a scan and interrupt it after so many pieces; return the layout."""
    layout, done = Layout(folder), []

    def stop(event):
        done.append(event)
        if sum(isinstance(each, Progress) for each in done) > pieces:
            raise Stopped

    layout.shards.mkdir(parents=True)
    with pytest.raises(Stopped), scanned.executor_of(spec, workers) as executor:
        scan(spec, layout, executor, stop)
    return layout


def test_an_interrupted_scan_reads_only_what_it_has_not_read(scanner, reference, tmp_path, monkeypatch):
    path = write_lines(tmp_path / "a.txt", english())
    spec = spec_of(scanner, path)
    layout = interrupt(spec, tmp_path / "x.kotovec", 6)
    assert names(layout) == ["corpus.json", *(f"piece-{number:06d}.h5" for number in range(6))]
    sample, told = run_scan(spec, layout.folder)
    assert told.notices == ["resuming with 6 of 15 pieces of the corpus from an earlier run"]
    assert told.progress[0] == 6 * 16384
    assert bytes_of(sample) == reference
    assert names(layout) == ["contexts.h5", "corpus.json"]
    again, told = run_scan(spec, layout.folder)
    assert bytes_of(again) == reference
    assert told == []
    write_lines(path, english()[1:])
    with pytest.raises(
        CorpusError, match=r"a\.txt has changed since the scan began\nhint: restore it as it was, or delete"
    ):
        run_scan(spec, layout.folder)
    path.unlink()
    with pytest.raises(InputError, match="there is no file"):
        run_scan(spec, layout.folder)


def test_damaged_pieces_and_those_of_other_scans_are_read_again(scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    spec = spec_of(scanner, path)
    layout = interrupt(spec, tmp_path / "x.kotovec", 6)
    other = interrupt(spec_of(replace(scanner, limit=2), path), tmp_path / "y.kotovec", 3)
    shutil.copyfile(other.piece(1), layout.piece(1))
    shutil.copyfile(layout.piece(3), layout.piece(2))
    data = bytearray(layout.piece(4).read_bytes())
    data[len(data) // 2] ^= 1
    layout.piece(4).write_bytes(data)
    layout.piece(5).write_bytes(data[:1000])
    sample, told = run_scan(spec, layout.folder)
    assert told.notices == [
        "reading 4 damaged pieces of the corpus again",
        "resuming with 2 of 15 pieces of the corpus from an earlier run",
    ]
    assert bytes_of(sample) == reference


def test_other_settings_or_pieces_of_another_size_begin_again(scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    for other in (spec_of(replace(scanner, limit=2), path), spec_of(scanner, path, piece_bytes=9000)):
        layout = interrupt(other, tmp_path / f"{other.piece_bytes}.kotovec", 3)
        sample, told = run_scan(spec_of(scanner, path), layout.folder)
        assert told.notices == ["reading 3 damaged pieces of the corpus again"]
        assert bytes_of(sample) == reference


def test_a_damaged_sample_is_scanned_again(scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    spec, layout = spec_of(scanner, path), Layout(tmp_path / "x.kotovec")
    run_scan(spec, layout.folder)
    data = bytearray(layout.sample.read_bytes())
    data[-5] ^= 1
    layout.sample.write_bytes(data)
    sample, told = run_scan(spec, layout.folder)
    assert told.notices == ["the sample of the corpus is damaged, or another one: the corpus is scanned again"]
    assert bytes_of(sample) == reference


@pytest.mark.parametrize("change", ["changed", "touched", "gone", "new"])
def test_a_file_that_is_another_one_when_the_scan_resumes_is_refused_and_named(change, scanner, reference, tmp_path):
    sentences, folder = english(), tmp_path / "corpus"
    paths = [write_lines(folder / f"{n}.txt", sentences[n * 500 : n * 500 + 500]) for n in range(4)]
    spec = spec_of(scanner, folder)
    layout = interrupt(spec, tmp_path / "x.kotovec", 6)
    kept, target = paths[1].read_bytes(), paths[1]
    status = target.stat()
    match change:
        case "changed":
            target.write_bytes(kept.replace(b"e", b"E"))
            message = f"{target} has changed since the scan began"
        case "touched":
            os.utime(target)
            message = f"{target} has changed since the scan began"
        case "gone":
            target.unlink()
            message = f"{target} is gone since the scan began"
        case "new":
            target = write_lines(folder / "5.txt", ["another file"])
            message = f"{target} is new since the scan began"
    before = names(layout)
    with pytest.raises(CorpusError) as caught:
        run_scan(spec, layout.folder)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2
    assert names(layout) == before
    if change == "new":
        target.unlink()
    else:
        target.write_bytes(kept)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    sample, told = run_scan(spec, layout.folder)
    assert told.notices[0].startswith("resuming with 6 of ")
    assert bytes_of(sample) == reference


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": 3}', '{"files": [[]]}', '{"files": [["a", 1]]}'])
def test_a_damaged_list_of_the_files_costs_no_piece(text, scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    spec = spec_of(scanner, path)
    layout = interrupt(spec, tmp_path / "x.kotovec", 6)
    layout.corpus.write_text(text)
    sample, told = run_scan(spec, layout.folder)
    assert told.notices == ["resuming with 6 of 15 pieces of the corpus from an earlier run"]
    assert bytes_of(sample) == reference


def test_before_the_first_piece_the_corpus_may_change(scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english()[:50])
    spec = spec_of(scanner, path)
    layout = interrupt(spec, tmp_path / "x.kotovec", 0)
    assert names(layout) == ["corpus.json"]
    write_lines(path, english())
    sample, _ = run_scan(spec, layout.folder)
    assert bytes_of(sample) == reference


@pytest.mark.parametrize("change", ["changed", "gone"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_changes_as_it_is_scanned_is_refused_and_named(change, workers, scanner, on_ray, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    spec, layout = spec_of(scanner, path), Layout(tmp_path / "x.kotovec")
    layout.shards.mkdir(parents=True)

    def meddle(event):
        if isinstance(event, Progress) and event.done and path.exists():
            if change == "gone":
                path.unlink()
            else:
                os.utime(path)

    with pytest.raises(CorpusError) as caught, scanned.executor_of(spec, workers) as executor:
        scan(spec, layout, executor, meddle)
    assert str(path) in str(caught.value)
    assert ("any more" in str(caught.value) or "is gone" in str(caught.value)) == (change == "gone")
    assert not layout.sample.exists()


def test_a_file_that_changed_after_its_last_piece_was_read_is_refused(scanner, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    spec, layout = spec_of(scanner, path, piece_bytes=1 << 30), Layout(tmp_path / "x.kotovec")
    layout.shards.mkdir(parents=True)

    def meddle(event):
        if isinstance(event, Progress) and event.done:
            os.utime(path)

    with pytest.raises(CorpusError) as caught, scanned.executor_of(spec) as executor:
        scan(spec, layout, executor, meddle)
    assert str(caught.value) == f"{path} has changed since it was scanned"


# ---- nothing to find, and faults


@pytest.mark.parametrize(
    ("sentences", "options", "message", "hint"),
    [
        (
            ["a", "b"],
            {},
            "the corpus has no usable sentence (2 lines, 0 sentences, 2 too short, 0 too long)",
            "they must have 8 to 2000 characters: see --min-chars, --max-chars",
        ),
        (
            ["", " "],
            {},
            "the corpus has no usable sentence (2 lines, 0 sentences, 0 too short, 0 too long)",
            "name other files with --corpus",
        ),
        (
            ["สวัสดีชาวโลก สวัสดี"],
            {},
            "no sentence of the corpus has any of the {} items (1 line, 1 sentence)",
            "name a corpus in the language of the model",
        ),
        (
            english()[:20],
            {"fraction": 1e-6},
            "none of the sentences that --fraction 1e-06 draws has any of the {} items (20 lines, 19 sentences)",
            "choose a larger --fraction",
        ),
    ],
)
def test_a_corpus_without_a_usable_sentence_is_one_line_and_a_hint(
    sentences, options, message, hint, scanner, tmp_path
):
    path = write_lines(tmp_path / "a.txt", sentences)
    with pytest.raises(InputError) as caught:
        run_scan(spec_of(replace(scanner, **options), path), tmp_path / "x.kotovec")
    assert str(caught.value) == message.format(scanner.matcher.items)
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2


TEXT = "the king is in the city\n" * 5


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.json", json.dumps([{"text": TEXT}] * 3).encode(), "write one JSON object per line"),
        ("a.json", json.dumps([{"text": TEXT}] * 3, indent=1).encode(), "write one JSON object per line"),
        ("a.txt", TEXT.encode("utf-16"), "save the files as UTF-8"),
        ("a.txt", TEXT.encode("utf-16-be"), "save the files as UTF-8"),
        ("a.txt", f"{TEXT}é\n".replace("e", "é").encode("latin-1"), "save the files as UTF-8"),
        ("a.jsonl", b'{"body": "the king"}\n', None),
        ("a.jsonl", b'{"text": 1}\n{"text": [2]}\n', None),
        ("a.txt.gz", b"", "restore the files"),
        ("a.txt.bz2", b"no bzip2", "restore the files"),
    ],
)
def test_the_hint_is_of_what_is_wrong_with_the_files(name, content, hint, scanner, tmp_path):
    """All of them were to be cured by another field."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="the corpus has no usable sentence") as caught:
        run_scan(spec_of(scanner, tmp_path / name), tmp_path / "x.kotovec")
    other = "name other files with --corpus"
    assert caught.value.hint == ("name another field with --corpus-field" if hint is None else f"{hint}, or {other}")


def test_an_empty_file_is_a_corpus_without_a_usable_sentence(scanner, tmp_path):
    path = write_lines(tmp_path / "a.txt", [])
    with pytest.raises(InputError, match=r"^the corpus has no usable sentence \(0 lines, 0 sentences, "):
        run_scan(spec_of(scanner, path), tmp_path / "x.kotovec")


def test_faults_are_counted_and_named_by_file_and_line(scanner, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    data = path.read_bytes().split(b"\n")
    data[1234] = data[1234][:10] + b"\xff" + data[1234][10:]
    data[1900] = b"\x80" + data[1900]
    path.write_bytes(b"\n".join(data))
    lines = [json.dumps({"text": text}) for text in english()[:20]]
    lines[3], lines[7] = "no JSON", '{"body": "x"}'
    write_lines(tmp_path / "b.jsonl", lines)
    sample, told = run_scan(spec_of(scanner, path, tmp_path / "b.jsonl"), tmp_path / "x.kotovec")
    assert told.notices == [
        f"the corpus has lines that are not JSON objects: 1, the first in {tmp_path}/b.jsonl:4",
        f"the corpus has lines that are not UTF-8: 2, the first in {path}:1235",
        f"the corpus has records without the field 'text': 1, the first in {tmp_path}/b.jsonl:8",
    ]
    assert sum(sample.made["counts"]["faults"].values()) == 4


# ---- workers


def test_the_first_pieces_are_read_before_many_are_in_flight(scanner, reference, on_ray, tmp_path, monkeypatch):
    path = write_lines(tmp_path / "a.txt", english())
    monkeypatch.setattr(tasks, "FIRST_IN_FLIGHT", 1)
    monkeypatch.setattr(tasks, "RAMP", 2)
    fill, in_flight = tasks.Tasks._fill, []

    def spied(self, *arguments):
        fill(self, *arguments)
        in_flight.append((len(self._running), self._done))

    monkeypatch.setattr(tasks.Tasks, "_fill", spied)
    sample, _ = run_scan(spec_of(scanner, path), tmp_path / "x.kotovec", 3)
    assert bytes_of(sample) == reference
    assert all(count <= max(1, 2 * done) for count, done in in_flight)
    assert in_flight[0] == (1, 0)
    assert 3 <= max(count for count, _ in in_flight) <= 6  # two for each of three cores


def test_a_worker_process_that_is_killed_costs_nothing(scanner, reference, on_ray, tmp_path):
    path, at_work, killed = write_lines(tmp_path / "a.txt", english()), tmp_path / "at_work", []
    at_work.mkdir()
    spec = spec_of(slowed(scanner, at_work), path)

    def kill():
        for _ in range(2):
            (pid, *_) = wait_for(lambda: [int(name) for name in os.listdir(at_work) if int(name) not in killed])
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    # Beside the scan: while this process waits, there may be nothing left to be at work at.
    assassin = threading.Thread(target=kill)

    def tell(event):
        told(event)
        if isinstance(event, Progress) and event.done > 60_000 and assassin.ident is None:
            assassin.start()

    layout, told = Layout(tmp_path / "x.kotovec"), Listener()
    layout.shards.mkdir(parents=True)
    with scanned.executor_of(spec, 2, told) as executor:
        sample = scan(spec, layout, executor, tell)
    assassin.join()
    assert len(killed) == 2
    assert bytes_of(sample) == reference
    assert 1 <= len(told.notices) <= 2  # one that was killed in its last moment has given its result
    for notice in told.notices:
        assert notice.startswith("a worker was lost (")
        assert notice.endswith(f"): its piece of {path} is read again")


def test_a_piece_that_kills_every_worker_ends_the_scan(scanner, on_ray, tmp_path):
    path = write_lines(tmp_path / "a.txt", [*english()[:200], "the end of all workers", *english()[200:400]])
    spec = spec_of(replace(scanner, splitter=Killer(scanner.splitter)), path)
    with pytest.raises(WorkerError) as caught:
        run_scan(spec, tmp_path / "x.kotovec", 2)
    assert str(caught.value).startswith(f"piece 1 of the corpus, in {path}, lost 3 workers, the last one so: ")


def test_a_worker_that_hangs_is_given_up(scanner, reference, on_ray, tmp_path):
    path, told = write_lines(tmp_path / "a.txt", english()), Listener()
    spec = spec_of(replace(scanner, splitter=Hanging(scanner.splitter, tmp_path / "hung")), path)
    layout = Layout(tmp_path / "x.kotovec")
    layout.shards.mkdir(parents=True)
    with open_executor(spec, Resources(workers=2, stall_seconds=5.0), told) as executor:
        sample = scan(spec, layout, executor)
    assert bytes_of(sample) == reference
    assert told.notices
    for notice in told.notices:
        assert re.fullmatch(r"nothing was read for \d+ s: \d pieces? are begun again", notice)
    assert wait_for(lambda: not workers_named("ray::scan_here"))


def test_an_interrupted_scan_leaves_no_task_running(scanner, on_ray, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    layout = interrupt(spec_of(slowed(scanner), path), tmp_path / "x.kotovec", 2, workers=2)
    assert 2 <= len(list(layout.shards.glob("piece-*"))) <= 4
    assert wait_for(lambda: not workers_named("ray::scan_here"))


def test_a_file_that_no_worker_sees_is_sent(scanner, reference, on_ray, tmp_path, monkeypatch):
    """In each process, /proc/self is another folder; the workers have another working directory."""
    of_several_forms(tmp_path)
    monkeypatch.chdir(tmp_path)
    spec = spec_of(scanner, "/proc/self/cwd/a.txt", "/proc/self/cwd/b.jsonl", "/proc/self/cwd/c.parquet")
    spec = replace(spec, corpus=replace(spec.corpus, paths=(*spec.corpus.paths, "/proc/self/cwd/d.jsonl.zst")))
    monkeypatch.setattr(tasks, "MOST_SENT", 2)
    sample, told = run_scan(spec, tmp_path / "x.kotovec", 2)
    assert bytes_of(sample) == reference
    assert sorted(told.notices) == [
        f"a worker cannot read {path}: it is sent from here (there is no file {path} any more)"
        for path in spec.corpus.paths
    ]


def test_a_large_file_is_sent_in_blocks(scanner, reference, tmp_path, monkeypatch):
    """As a worker gets it, by references that are the blocks themselves."""
    lines = [json.dumps({"text": text}) for text in english()]
    path = packed(write_lines(tmp_path / "a.jsonl", [*lines[:1000], "no JSON", *lines[1000:]]), ".gz")
    monkeypatch.setattr(sending, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(sending, "MOST_AT_ONCE", 20_000)
    spec = spec_of(scanner, path)
    (piece,) = cut(list_files(spec.corpus))
    blocks = sending.pack(piece, spec.corpus, bytes)
    assert [len(block) for block in blocks[:-1]] == [10_000] * (path.stat().st_size // 10_000)
    expected, _ = run_scan(spec, tmp_path / "x.kotovec")
    path.unlink()
    with sending.unpacked(piece, blocks, bytes) as (copy, data):
        assert data is None
        found = inline.scan(copy, spec.corpus, scanner, Sketches(scanner.matcher.items, 5).thresholds())
    assert not os.path.exists(copy.file.path)
    counts = sending.renamed(found.counts, piece.file)
    assert [(fault.path, fault.line) for fault in counts.examples] == [(str(path), 1001)]
    assert {**counts.as_json(), "examples": 0} == {**expected.made["counts"], "examples": 0}
    assert bytes_of(expected) == reference
    assert set(expected.hashes.tolist()) <= set(found.sentences.hashes.tolist())


def test_large_files_that_no_worker_sees_give_the_same_sample(scanner, reference, on_ray, tmp_path, monkeypatch):
    packed(write_lines(tmp_path / "a.txt", english()), ".bz2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sending, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(sending, "MOST_AT_ONCE", 20_000)
    sample, told = run_scan(spec_of(scanner, "/proc/self/cwd/a.txt.bz2"), tmp_path / "x.kotovec", 1)
    assert bytes_of(sample) == reference
    assert len(told.notices) == 1


def test_a_file_that_is_gone_everywhere_is_refused_and_named(scanner, on_ray, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    spec = spec_of(scanner, path)
    pieces = cut(list_files(spec.corpus), spec.piece_bytes)
    path.unlink()
    with scanned.executor_of(spec, 1) as executor, pytest.raises(CorpusError) as caught:
        executor.run(pieces, lambda: np.full((2, scanner.matcher.items), 1, dtype=np.uint64), lambda *_: None)
    assert str(caught.value) == f"{path} is gone since the scan began"


# ---- full disks


@pytest.mark.parametrize("kilobytes", [60, 130, 260, 390])
def test_a_scan_on_a_disk_that_fills_up_goes_on_when_there_is_room(
    kilobytes,
    scanner,
    reference,
    small_disk,  # noqa: F811
    tmp_path,
):
    """From the first piece to the file that is gathered."""
    path = write_lines(tmp_path / "a.txt", english())
    disk = small_disk(kilobytes)
    spec, layout = spec_of(scanner, path), Layout(disk / "x.kotovec")
    with pytest.raises(DiskFullError, match=r"^no space left while writing .*(piece-\d+|contexts)\.h5\n"):
        run_scan(spec, layout.folder)
    assert list(disk.rglob("*.part")) == []
    before = len(names(layout))
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    sample, told = run_scan(spec, layout.folder)
    assert bytes_of(sample) == reference
    whole = before - 1
    assert told.notices == ([f"resuming with {whole} of 15 pieces of the corpus from an earlier run"] if whole else [])
    assert names(layout) == ["contexts.h5", "corpus.json"]


# ---- memory

MEASURE = r"""
import pickle, re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from scanned import english, run_scan

with open(sys.argv[2], "rb") as file:
    spec = pickle.load(file)
folder, corpus = Path(sys.argv[3]), Path(spec.corpus.paths[0])
for round, megabytes in enumerate(map(int, sys.argv[4:])):
    with corpus.open("w") as file:
        number = 0
        while file.tell() < megabytes << 20:
            file.writelines(f"{text} {number}\n" for text in english())
            number += 1
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten, as importing torch is higher
    before = int(re.search(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())[1])
    sample, _ = run_scan(spec, folder / str(round))
    peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
    print(sample.made["counts"]["sentences"], len(sample.hashes), before, peak)
"""


def test_memory_does_not_grow_with_the_corpus(scanner, tmp_path):
    """48 MB after 6 MB, in one process: what it took at most."""
    path = write_lines(tmp_path / "a.txt", [])
    spec = spec_of(replace(scanner, fraction=0.1, limit=20), path, piece_bytes=1 << 20)
    command = [sys.executable, "-c", MEASURE, *scanned.arguments_of(spec, tmp_path / "x"), "6", "48"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    small, large = (list(map(int, line.split())) for line in done.stdout.splitlines())
    assert large[0] > 7 * small[0] > 300_000
    assert small[1] < large[1] < scanner.matcher.items * 20  # what is kept is items × N
    assert small[3] - small[2] > 1 << 10  # KB, else nothing was measured
    assert large[3] - small[3] < 16 << 10
