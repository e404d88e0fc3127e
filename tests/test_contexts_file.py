"""contexts.h5: what is written is read, damage is found and named, and the folder of a store knows the file."""

import hashlib
import json
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.cluster.contexts.sampling import read_other
from kotovec.cluster.pieces import list_files
from kotovec.errors import DamagedError, StoreError
from kotovec.space import Space
from kotovec.store import Store, contents, prototypes
from kotovec.store import folder as folders
from kotovec.store.contexts import Sample, Texts, read_contexts, take_ragged, write_contexts, writing_contexts
from kotovec.store.layout import Layout

import stores

IDENTITY = "1" * 64
SENTENCES = ["a cat sat", "王は男である。", "nul \0 inside", "😀", "the cat"]
OCCURRENCES = [2.0, 0.0, 3.0, 412.5]


def sample_of(sentences=SENTENCES):
    """Return the contexts of four items, of which the second has none and the third has them inside of words."""
    lengths = np.array([3, 7, 4, 1, 2])
    return Sample(
        hashes=np.array([5, 9, 1 << 40, 1 << 63, (1 << 64) - 1], dtype=np.uint64),
        offsets=np.array([0, 2, 2, 5, 6]),
        sentences=np.array([0, 4, 1, 2, 3, 0], dtype=np.int32),
        inside=np.array([False, False, True, False]),
        occurrences=np.array(OCCURRENCES),
        limit=3,
        made={"seed": 0, "fraction": 1.0, "split": "sentence"},
        texts=Texts.of(sentences),
        ids=np.arange(17, dtype=np.int32),
        id_offsets=np.concatenate(([0], np.cumsum(lengths))),
    )


def same(one, other, *names):
    for name in names or [each.name for each in fields(Sample)]:
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype, name
        elif isinstance(left, Texts):
            assert list(left) == list(right)
        else:
            assert left == right, name


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_of_any_characters_are_kept_and_taken_in_any_order(texts):
    kept = Texts.of(texts)
    assert list(kept) == texts
    assert [kept[index] for index in range(-len(texts), 0)] == texts
    order = np.arange(len(texts))[::-1]
    assert list(kept.take(order)) == texts[::-1]
    assert list(kept[1:]) == texts[1:]
    assert kept.block.nbytes == sum(len(text.encode()) for text in texts)


def test_texts_with_halves_of_characters_are_written_with_question_marks():
    assert list(Texts.of(["a\ud83d", b"b"])) == ["a?", "b"]


def test_runs_are_taken_and_joined_with_their_offsets():
    block, offsets = take_ragged(np.arange(10) * 10, np.array([0, 3, 3, 10]), np.array([2, 0, 1, 0]))
    assert block.tolist() == [30, 40, 50, 60, 70, 80, 90, 0, 10, 20, 0, 10, 20]
    assert offsets.tolist() == [0, 7, 10, 10, 13]
    joined = Texts.join([Texts.of(["a", ""]), Texts.of([]), Texts.of(["王", "c"])])
    assert list(joined) == ["a", "", "王", "c"]
    assert joined.encoded(2) == "王".encode()


def test_what_is_written_is_read(tmp_path):
    sample, path = sample_of(), tmp_path / "contexts.h5"
    write_contexts(path, sample, IDENTITY, keep_text=True, with_ids=True)
    found = read_contexts(path, IDENTITY)
    same(found, sample)
    assert found.digest == sample.digest
    assert found.counts.tolist() == [2, 0, 3, 1]
    assert [found.texts[number] for number in found.of(2)] == SENTENCES[1:4]
    with pytest.raises(ValueError, match="read-only"):
        found.hashes[0] = 1


def test_texts_and_ids_are_written_only_on_request(tmp_path):
    sample, path = sample_of(), tmp_path / "contexts.h5"
    write_contexts(path, sample, IDENTITY, keep_text=False)
    found = read_contexts(path, IDENTITY)
    assert (found.texts, found.ids, found.id_offsets) == (None, None, None)
    same(found, sample, "hashes", "offsets", "sentences", "inside", "occurrences", "limit", "made")
    assert "王は".encode() not in path.read_bytes()
    for options, what in ({"keep_text": True}, "texts"), ({"keep_text": False, "with_ids": True}, "ids"):
        with pytest.raises(ValueError, match=f"^the sample has no {what}$"):
            write_contexts(path, found, IDENTITY, **options)
    same(read_contexts(path, IDENTITY), found)


def test_a_sample_without_any_sentence_is_a_sample(tmp_path):
    empty = Sample(
        hashes=np.empty(0, dtype=np.uint64),
        offsets=np.zeros(3, dtype=np.int64),
        sentences=np.empty(0, dtype=np.int32),
        inside=np.zeros(2, dtype=bool),
        occurrences=np.zeros(2),
        limit=10,
        texts=Texts.of([]),
        ids=np.empty(0, dtype=np.int32),
        id_offsets=np.zeros(1, dtype=np.int64),
    )
    write_contexts(tmp_path / "a.h5", empty, IDENTITY, keep_text=True, with_ids=True)
    same(read_contexts(tmp_path / "a.h5", IDENTITY), empty)


def test_the_file_is_read_with_h5py_alone_as_the_documentation_says(tmp_path):
    sample, path = sample_of(), tmp_path / "contexts.h5"
    write_contexts(path, sample, IDENTITY, keep_text=True)
    with h5py.File(path) as file:
        assert file.attrs["encoding-type"].decode() == "kotovec-contexts"
        assert file.attrs["encoding-version"].decode() == "2"
        assert file.attrs["identity"].decode() == IDENTITY
        assert file.attrs["limit"] == 3
        assert json.loads(file.attrs["made"])["split"] == "sentence"
        numbers = file["sentences"][file["offsets"][2] : file["offsets"][3]]
        texts = [
            file["text"][file["text_offsets"][n] : file["text_offsets"][n + 1]].tobytes().decode() for n in numbers
        ]
        assert texts == SENTENCES[1:4]
        parts = [file[name][()].tobytes() for name in ("hashes", "offsets", "sentences", "inside")]
        assert file.attrs["digest"].decode() == hashlib.sha256(b"".join(parts)).hexdigest()
        for dataset in file.values():
            assert dataset.attrs["sha256"].decode() == hashlib.sha256(dataset[()].tobytes()).hexdigest()
            assert dataset.id.get_offset() % 64 == 0
            assert dataset.chunks is None
            assert dataset.dtype.byteorder in "<=|"


def test_the_digest_is_of_the_sample_alone():
    sample = sample_of()
    same_sample = replace(sample, texts=None, ids=None, made={}, occurrences=sample.occurrences + 1, limit=9)
    assert sample.digest == same_sample.digest
    changed = [
        replace(sample, hashes=sample.hashes - np.uint64(1)),
        replace(sample, sentences=sample.sentences[::-1]),
        replace(sample, inside=~sample.inside),
        replace(sample, offsets=np.array([0, 1, 2, 5, 6])),
    ]
    assert len({sample.digest, *(each.digest for each in changed)}) == 5


def test_texts_are_written_block_by_block(tmp_path):
    sample, path = sample_of(), tmp_path / "contexts.h5"
    write_contexts(path, sample, IDENTITY, keep_text=True, with_ids=True)
    again = tmp_path / "again.h5"
    offsets = {"text": sample.texts.offsets, "ids": sample.id_offsets}
    with writing_contexts(again, sample, IDENTITY, offsets) as streams:
        for byte in sample.texts.block:
            streams["text"].add(np.array([byte]))
        streams["ids"].add(sample.ids[:0])
        streams["ids"].add(sample.ids)
    assert again.read_bytes() == path.read_bytes()
    with (
        pytest.raises(ValueError, match=r"^/text: 3 of 53 written$"),
        writing_contexts(again, sample, IDENTITY, {"text": sample.texts.offsets}) as streams,
    ):
        streams["text"].add(sample.texts.block[:3])
    assert again.read_bytes() == path.read_bytes()
    assert list(tmp_path.iterdir()) == [path, again]


DATASETS = ["hashes", "offsets", "sentences", "inside", "occurrences"]
DATASETS += ["text", "text_offsets", "ids", "ids_offsets"]


@pytest.mark.parametrize("name", DATASETS)
def test_a_flipped_bit_is_found_and_its_dataset_named(name, tmp_path):
    path = tmp_path / "contexts.h5"
    write_contexts(path, sample_of(), IDENTITY, keep_text=True, with_ids=True)
    with h5py.File(path) as file:
        offset = file[name].id.get_offset() + file[name].size * file[name].dtype.itemsize - 1
    damaged = bytearray(path.read_bytes())
    damaged[offset] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DamagedError) as caught:
        read_contexts(path, IDENTITY)
    assert f"{path}: {name} does not match its checksum" == str(caught.value) or "is damaged" in str(caught.value)


def planted(name, values):
    """Return what puts other numbers into a dataset, with the checksum that fits them."""

    def plant(file):
        array = np.array(values, dtype=file[name].dtype)
        del file[name]
        file.create_dataset(name, data=array).attrs["sha256"] = np.bytes_(hashlib.sha256(array.tobytes()).hexdigest())

    return plant


@pytest.mark.parametrize(
    "plant",
    [
        planted("sentences", [0, 4, 1, 2, 3, 5]),
        planted("sentences", [0, 4, 1, 2, 3, -1]),
        planted("sentences", [0, 4, 1]),
        planted("offsets", [0, 2, 1, 5, 6]),
        planted("offsets", [1, 2, 2, 5, 6]),
        planted("offsets", [0, 2, 2, 5, 7]),
        planted("offsets", []),
        planted("inside", [0, 0, 1]),
        planted("inside", [0, 0, 2, 0]),
        planted("occurrences", [1.0]),
        planted("text_offsets", [0, 9, 9, 9, 9, 1 << 40]),
        planted("text_offsets", [0, 53]),
    ],
    ids=str,
)
def test_numbers_that_point_out_of_the_file_are_refused(plant, tmp_path):
    path = tmp_path / "contexts.h5"
    write_contexts(path, sample_of(), IDENTITY, keep_text=True)
    with h5py.File(path, "r+") as file:
        plant(file)
    with pytest.raises(DamagedError, match=r"contexts\.h5 is damaged \("):
        read_contexts(path, IDENTITY, checked=False)


def test_a_sample_of_other_tokens_or_cut_short_is_refused(tmp_path):
    path = tmp_path / "contexts.h5"
    write_contexts(path, sample_of(), IDENTITY, keep_text=True)
    with pytest.raises(DamagedError, match=r"contexts\.h5 is of other tokens\n"):
        read_contexts(path, "2" * 64)
    same(read_contexts(path, None), replace(sample_of(), ids=None, id_offsets=None))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedError, match=r"contexts\.h5 is cut short\n"):
        read_contexts(path, IDENTITY)
    path.write_bytes(b"text")
    with pytest.raises(StoreError, match=r"is not a kotovec store, or is damaged"):
        read_contexts(path, IDENTITY)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_contexts(path, IDENTITY)


def store_of(folder):
    """Return the layout of a store with a sample."""
    stores.write_store(folder, stores.numbered(4), np.eye(4, dtype=np.float32))
    layout = Layout(folder)
    with h5py.File(layout.tokens) as file:
        identity = file.attrs["identity"].decode()
    write_contexts(layout.contexts, sample_of(), identity, keep_text=True)
    return layout


def flip_last_byte(path, name):
    """Flip a bit in the last byte of a dataset."""
    with h5py.File(path) as file:
        last = file[name].id.get_offset() + file[name].nbytes - 1
    damaged = bytearray(path.read_bytes())
    damaged[last] ^= 1
    path.write_bytes(damaged)


def test_verify_knows_the_sample_of_a_store(tmp_path):
    layout = store_of(tmp_path / "x.kotovec")
    assert Store.open(layout.folder).verify() == []
    named = ["contexts.h5 (build it again with --overwrite)"]
    flip_last_byte(layout.contexts, "occurrences")
    assert Store.open(layout.folder).verify() == named
    write_contexts(layout.contexts, sample_of(), IDENTITY, keep_text=True)  # of other tokens
    assert Store.open(layout.folder).verify() == named
    layout.contexts.unlink()
    assert Store.open(layout.folder).verify() == []
    layout.contexts.symlink_to("nothing")
    assert Store.open(layout.folder).verify() == named


SPACES = ("context@2", "context@2+center", "prototypes@2")


def sampled_store(folder, spaces):
    """Return the layout of a store with spaces that record the digest of its sample."""
    layout = store_of(folder)
    made = {"settings": {"sample": sample_of().digest}}
    for space in map(Space.parse, spaces):
        if space.name != "prototypes":
            stores.add_means(folder, space, np.eye(4), sample_of().counts, made=made)
            continue
        labels = np.zeros(len(sample_of().sentences), dtype=np.uint8)
        offsets, sizes = prototypes.base_of(labels, sample_of().offsets)
        like = prototypes.Prototypes(np.empty((0, 4), np.float32), np.empty(0), offsets, sizes, labels)
        with prototypes.writing_prototypes(layout, space, like, identity_of(layout), made) as writer:
            writer.add(np.ones((len(sizes), 4), dtype=np.float32))
    return layout


def identity_of(layout):
    with h5py.File(layout.tokens) as file:
        return file.attrs["identity"].decode()


@pytest.mark.parametrize("spaces", [SPACES[:1], SPACES[:2], SPACES])
def test_a_sample_that_is_not_that_of_the_vectors_is_refused_wherever_it_is_read(spaces, tmp_path):
    """Another seed's file passed `verify`, and its sentences were printed as those of the vectors."""
    layout = sampled_store(tmp_path / "x.kotovec", spaces)
    with Store.open(layout.folder) as store:
        assert (store.verify(), len(store.contexts("t0").sentences)) == ([], 2)
    other = replace(sample_of(), hashes=sample_of().hashes - np.uint64(1))
    write_contexts(layout.contexts, other, identity_of(layout), keep_text=True)
    with Store.open(layout.folder) as store:
        assert store.verify() == ["contexts.h5 (build it again with --overwrite)"]
        with pytest.raises(DamagedError, match=r"contexts\.h5 has other sentences than context@2 is made of") as caught:
            store.contexts("t0")
        assert caught.value.hint == "build it again with --overwrite"
    with pytest.raises(DamagedError, match="has other sentences than context@2 is made of"):
        read_other(layout.folder)


def test_a_sample_that_is_missing_is_missed_where_vectors_are_made_of_one(tmp_path):
    layout = sampled_store(tmp_path / "x.kotovec", SPACES)
    layout.contexts.unlink()
    with Store.open(layout.folder) as store:
        assert store.verify() == ["contexts.h5 (build it again with --overwrite)"]
        with pytest.raises(DamagedError, match=r"has context@2 without contexts\.h5, its sentences\n") as caught:
            store.contexts("t0")
        assert caught.value.hint == "build it again with --overwrite"


def test_the_folder_of_a_store_knows_the_files_of_a_sample_and_of_a_scan(tmp_path):
    layout = store_of(tmp_path / "x.kotovec")
    layout.shards.mkdir()
    ours = [layout.piece(0), layout.piece(1234567), layout.sample, layout.corpus, layout.plan]
    for path in ours:
        path.write_text("{}")
    assert [path.name for path in ours[:4]] == ["piece-000000.h5", "piece-1234567.h5", "contexts.h5", "corpus.json"]
    assert contents.foreign(layout.folder) is None
    folders.check_contents(layout, overwrite=True)
    assert {file["path"] for file in list_files_of(layout)} == {"tokens.h5", "spaces/static.h5", "contexts.h5"} | {
        "spaces/isolated-12.h5"
    }
    folders.delete_shards(layout)
    assert sorted(path.name for path in layout.shards.iterdir()) == ["corpus.json", "plan.json"]
    folders.delete_plan(layout)
    assert not layout.shards.exists()
    contents.delete(layout.folder)
    assert not layout.folder.exists()


def list_files_of(layout):
    """Return what a fetch takes of a store: not the files of an unfinished build."""
    layout.plan.unlink()
    listed = list_files(layout.folder)
    layout.plan.write_text("{}")
    return listed


@pytest.mark.parametrize("name", ["shards/piece-.h5", "shards/piece-1.h5", "shards/pieces.h5", "contexts.h5.bak"])
def test_files_with_other_names_are_somebody_elses(name, tmp_path):
    layout = store_of(tmp_path / "x.kotovec")
    (layout.folder / name).parent.mkdir(exist_ok=True)
    (layout.folder / name).write_text("mine")
    assert contents.foreign(layout.folder) == name


def test_a_folder_in_the_place_of_the_sample_is_refused(tmp_path):
    layout = Layout(tmp_path / "x.kotovec")
    layout.contexts.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"contexts\.h5 is a folder"):
        folders.check_ours(layout)


def test_a_build_that_begins_again_deletes_the_sample_of_an_unfinished_one(tmp_path):
    layout = Layout(tmp_path / "x.kotovec")
    layout.shards.mkdir(parents=True)
    for path in (layout.contexts, layout.piece(3), layout.sample, layout.corpus):
        path.write_text("{}")
    layout.plan.write_text('{"settings": {}, "spaces": []}')
    folders.clear(layout)
    assert list(layout.folder.iterdir()) == []
    layout = store_of(tmp_path / "y.kotovec")
    folders.clear(layout)
    assert layout.contexts.is_file()  # that of a store stays
