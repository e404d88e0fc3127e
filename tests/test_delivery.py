"""The model's files on another machine: known by their content, found, downloaded, or received; never half there."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kotovec.errors import InputError
from kotovec.workers import checkpoint as checkpoints
from kotovec.workers.source import Source

from models import make_bert
from rays import CHECKOUT, plan_of
from test_source import COMMIT, hub_of


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kotovec"


@pytest.fixture
def checkpoint(tiny_models):
    return plan_of(tiny_models["bert"]).checkpoint


def elsewhere(checkpoint, folder):
    """Return a checkpoint as another machine sees it, where the plan's path is another folder, or nothing."""
    return replace(checkpoint, source=Source("model", folder))


def test_a_model_is_found_where_the_plan_found_it(checkpoint, tiny_models, cache):
    assert checkpoint.find() == tiny_models["bert"]
    assert not cache.exists()


def test_another_model_under_the_same_path_is_not_taken_for_it(checkpoint, tmp_path, cache):
    """Same architecture, same file names: the weights or the config differ, and so would every vector."""
    other = make_bert(tmp_path / "other", seed=9)
    assert elsewhere(checkpoint, other).find() is None
    same = shutil.copytree(checkpoint.source.folder, tmp_path / "same")
    assert elsewhere(checkpoint, same).find() == same
    config = (same / "config.json").read_text(encoding="utf-8")
    (same / "config.json").write_text(config.replace('"gelu"', '"relu"'), encoding="utf-8")
    assert elsewhere(checkpoint, same).find() is None


@pytest.mark.parametrize("size", [1000, 1 << 30])
def test_what_is_sent_in_pieces_arrives_whole_and_is_found_again(size, checkpoint, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", size)
    there = elsewhere(checkpoint, tmp_path / "nowhere")
    assert there.find() is None
    pieces = list(checkpoint.pieces())
    assert (len(pieces) > 2) == (size == 1000)
    for piece in pieces:
        there.receive("me", *piece)
    assert there.find() is None
    folder = there.complete("me")
    for path in checkpoint.source.files():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert there.find() == folder
    assert list(cache.iterdir()) == [folder]


FIND = """
import sys
from pathlib import Path
from kotovec.workers.checkpoint import Checkpoint
from kotovec.workers.source import Source
print(Checkpoint(Source("tester/tiny", Path("/nowhere"), "tester/tiny", sys.argv[1]), *sys.argv[2:]).find())
"""


@pytest.mark.parametrize("served", ["bert", "roberta"])
def test_a_node_without_the_model_takes_it_from_the_hub_where_that_has_the_same(
    served, checkpoint, tmp_path, tiny_models
):
    with hub_of(tiny_models[served]) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-c", FIND, COMMIT, checkpoint.weights, checkpoint.config]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    if served == "roberta":
        assert done.stdout == "None\n"
    else:
        found = Path(done.stdout.strip())
        assert found.name == COMMIT
        assert (found / "model.safetensors").read_bytes() == (tiny_models["bert"] / "model.safetensors").read_bytes()


def test_what_arrives_damaged_is_thrown_away(checkpoint, tmp_path, cache):
    there = elsewhere(checkpoint, tmp_path / "nowhere")
    for name, offset, piece in checkpoint.pieces():
        there.receive("me", name, offset, piece[:-1] + b"x")
    assert there.complete("me") is None
    assert list(cache.iterdir()) == []
    assert there.find() is None


def test_two_that_send_the_same_model_to_one_home_do_not_disturb_each_other(checkpoint, tmp_path, cache):
    """Two builds, or two nodes with a common home: what one of them completed may be in use already."""
    there = elsewhere(checkpoint, tmp_path / "nowhere")
    for piece in checkpoint.pieces():
        there.receive("me-1", *piece)
        there.receive("me-2", *piece)
    first = there.complete("me-1")
    before = (first / "model.safetensors").stat().st_ino
    assert there.complete("me-2") == first == there.find()
    assert (first / "model.safetensors").stat().st_ino == before
    assert list(cache.iterdir()) == [first]


def test_what_a_killed_build_left_half_sent_is_deleted_by_one_of_the_next_day(checkpoint, tmp_path, cache):
    there = elsewhere(checkpoint, tmp_path / "nowhere")
    piece = next(checkpoint.pieces())
    there.receive("old-1", *piece)
    (old,) = cache.iterdir()
    there.receive("new-1", *piece)
    assert old.exists()
    os.utime(old, (time.time() - 90_000,) * 2)
    there.receive("new-2", *piece)
    assert not old.exists()
    assert len(list(cache.iterdir())) == 2


def test_without_a_home_that_can_be_written_to_the_temporary_folder_serves(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(checkpoints.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    there = elsewhere(checkpoint, tmp_path / "nowhere")
    for piece in checkpoint.pieces():
        there.receive("me", *piece)
    assert there.complete("me").parent == tmp_path / "temporary" / f"kotovec-{os.getuid()}"
    monkeypatch.setattr(checkpoints.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(InputError, match="can be written to"):
        there.receive("me", "config.json", 0, b"")


def test_cut_weights_travel_with_their_index(tiny_models, tmp_path, cache):
    """As large models are: model-00001-of-00002.safetensors, and a file that says which parameter is where."""
    from transformers import AutoModel

    folder = make_bert(tmp_path / "cut", shard_size="30KB")
    checkpoint = plan_of(folder).checkpoint
    there = elsewhere(checkpoint, tmp_path / "nowhere")
    for piece in checkpoint.pieces():
        there.receive("me", *piece)
    received = AutoModel.from_pretrained(there.complete("me")).state_dict()
    sent = AutoModel.from_pretrained(folder).state_dict()
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert all((received[name] == sent[name]).all() for name in sent)
