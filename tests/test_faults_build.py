"""Faults in a build: killed workers, numbers that are none, results of another shape, and a full disk."""

import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from kotovec.cli import app
from kotovec.cluster.build import Resources, build
from kotovec.errors import DiskFullError, ModelError, NonFiniteError, WorkerError
from kotovec.workers.bert import FORWARD
from kotovec.workers.encoder import Encoder
from kotovec.workers.inputs import Inputs

from commands import without_steps
from models import bert_vocabulary, make_bert
from rays import (
    SLOW_COMMAND,
    Fake,
    Listener,
    Process,
    datasets,
    left_behind,
    plan_of,
    run_build,
    shard_files,
    wait_for,
    workers_named,
)


def test_a_worker_killed_in_mid_shard_costs_one_line_and_no_byte(employ, tiny_models, tmp_path):
    """SIGKILL from outside, to a worker with real weights, while it computes."""
    plan = plan_of(tiny_models["bert"], layers="all", shard_tokens=32)

    class Slow(Encoder):
        def encode(self, *arguments):
            time.sleep(0.2)
            return super().encode(*arguments)

    employ(Slow)
    whole, _ = run_build(plan, tmp_path / "whole.kotovec", 1)
    killed = []

    class Killer(Listener):
        def __call__(self, event):
            self.append(event)
            if getattr(event, "done", 0) > 0 and not killed:
                killed.extend(wait_for(lambda: workers_named("Slow.encode"))[:1])
                killed[0].kill()

    events = Killer()
    summary = build(plan, tmp_path / "killed.kotovec", Resources(workers=2), report=events)
    assert len(killed) == 1
    assert len(events.notices) == 1
    assert "a worker was lost" in events.notices[0]
    assert "\n" not in events.notices[0]
    assert summary.encoded == whole.encoded == len(plan.tokens)
    assert datasets(tmp_path / "killed.kotovec") == datasets(tmp_path / "whole.kotovec")
    assert left_behind(tmp_path / "killed.kotovec") == []


def test_on_the_command_line_a_killed_worker_is_one_line_of_stderr(tiny_models, tmp_path):
    """Ray itself would print a paragraph about it on stdout, amid the JSON."""
    store = tmp_path / "x.kotovec"
    arguments = ["build", tiny_models["bert"], "--store", store, "--shard-tokens", "32", "--workers", "1", "--json"]
    with Process(*arguments, cwd=tmp_path, code=SLOW_COMMAND) as process:
        wait_for(lambda: shard_files(store))
        process.named("ray::Slow")[0].kill()
        code, out, err = process.finish()
    assert code == 0, err
    assert json.loads(out)["encoded"] == json.loads(out)["tokens"]
    notes = without_steps(err)
    assert notes.startswith("note: a worker was lost (")
    assert notes.count("\n") == 1


def spoil(folder, row, value):
    """Write a number into an embedding row of a model's weights."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][row, 3] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_nan_out_of_a_model_stops_the_build_and_names_the_token(employ, tmp_path, capsys):
    employ(Encoder)
    row = bert_vocabulary().index("queen")
    folder = spoil(make_bert(tmp_path / "model"), row, float("nan"))
    store = tmp_path / "new" / "x.kotovec"
    code = app.run(["build", str(folder), "--store", str(store), "--workers", "1"])
    told = capsys.readouterr()
    assert code == 1
    assert without_steps(told.err) == (
        f"error: {folder} gave NaN or Inf for 'queen' (id {row}): its weights are damaged or do not fit its config\n"
        "hint: download the model again\n"
    )
    assert told.out == ""
    assert not store.parent.exists()


def giving(change):
    """Return workers whose result for shard 2 is changed."""

    class Changing(Fake):
        def encode(self, number, inputs):
            encoded = super().encode(number, inputs)
            return change(encoded) if number == 2 else encoded

    return Changing


def changing(name, change):
    """Return what gives a result another array for one space."""
    return lambda encoded: replace(encoded, arrays=encoded.arrays | {name: change(encoded.arrays[name])})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tokens_with_nan_or_inf_are_counted_and_the_first_five_named(value, employ, tiny_models, tmp_path):
    plan = plan_of(tiny_models["bert"])

    def change(encoded):
        encoded.arrays["isolated@2"][3:10, 7] = value
        return encoded

    employ(giving(change))
    with pytest.raises(NonFiniteError) as caught:
        run_build(plan, tmp_path / "x.kotovec", 1)
    start = plan.shards[2].start
    for row in range(start + 3, start + 8):
        assert f"(id {plan.tokens.ids[row]})" in str(caught.value)
    assert f"(id {plan.tokens.ids[start + 8]})" not in str(caught.value)
    assert " and 2 more: " in str(caught.value)


def test_an_overflow_of_float16_names_float32_as_the_cure(employ, tmp_path):
    """The last layer's norm scales to 10^6: fine in float32, Inf in the float16 it is to be stored in."""
    from safetensors.torch import load_file, save_file

    employ(Encoder)
    folder = make_bert(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.LayerNorm.weight"][:] = 1e6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        NonFiniteError, match=r"float16 ends at 65,504\nhint: use float32 for --dtype and --store-dtype$"
    ):
        run_build(plan_of(folder, store_dtype="float16"), tmp_path / "half.kotovec", 1)
    assert not (tmp_path / "half.kotovec").exists()
    plan = plan_of(folder)
    result = Encoder(plan.spec).encode(0, Inputs.isolated(plan.tokens.ids[:8], plan.spec.template))
    assert 65_504 < np.abs(result.arrays["isolated@2"]).max() < np.inf


def test_weights_of_another_architecture_leave_no_store(employ, tmp_path, capsys):
    """The plan reads the config alone: it is the worker that finds out."""
    employ(Encoder)
    folder = make_bert(tmp_path / "model")
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    store = tmp_path / "x.kotovec"
    code = app.run(["build", str(folder), "--store", str(store), "--workers", "2"])
    told = capsys.readouterr()
    assert code == ModelError.exit_code == 2
    assert re.fullmatch(
        r"error: the weights of .*, which would be random\nhint: check that its config\.json .*\n", told.err
    )
    assert not store.exists()
    assert not (tmp_path / ".x.kotovec.lock").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda encoded: replace(encoded, number=encoded.number + 1),
        changing("isolated@1", lambda array: array[1:]),
        lambda encoded: replace(encoded, arrays={name: encoded.arrays[name] for name in ("isolated@0", "isolated@1")}),
        changing("isolated@1", lambda array: array[:, 1:]),
        changing("isolated@1", lambda array: array.astype("f8")),
    ],
    ids=["number", "rows", "layers", "width", "dtype"],
)
def test_a_result_that_is_not_what_was_asked_for_is_refused(change, employ, tiny_models, tmp_path):
    """A worker with another version of kotovec, say: its vectors must not end in other tokens' rows."""
    employ(giving(change))
    with pytest.raises(WorkerError, match=r"for shard 2 .*\nhint: install the same version of kotovec there$"):
        run_build(plan_of(tiny_models["bert"], layers="all"), tmp_path / "x.kotovec", 1)
    assert not (tmp_path / "x.kotovec" / "shards" / "000002.h5").exists()


def test_a_shard_of_another_forward_pass_is_refused_naming_both(employ, tiny_models, tmp_path):
    """Their last bits differ: a store of two is none that could be built again."""
    plan = plan_of(tiny_models["bert"])
    employ(giving(lambda encoded: replace(encoded, forward="transformers 5.9.0, AutoModel")))
    with pytest.raises(WorkerError) as caught:
        run_build(plan, tmp_path / "x.kotovec", 1)
    assert str(caught.value) == (
        f"a worker on host computed shard 2 by 'transformers 5.9.0, AutoModel', the plan is by {FORWARD!r}"
    )
    assert caught.value.hint == "install the same versions of kotovec and transformers there"
    assert not (tmp_path / "x.kotovec" / "shards" / "000002.h5").exists()


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that mounts a file system of so many KiB."""
    mounted = []

    def mount(kilobytes):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("no file system can be mounted here (that takes root): a full disk is not tried")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def believe_in_space(monkeypatch):
    """Let the check before a build see more space than there is: others may fill a disk meanwhile."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 40))


def test_a_build_that_cannot_end_for_want_of_space_does_not_begin(employ, small_disk, tiny_models):
    disk = small_disk(100)
    with pytest.raises(DiskFullError, match=r"needs 0 MB more for a while, and the disk has 0 MB free") as caught:
        run_build(plan_of(tiny_models["bert"]), disk / "x.kotovec", 1)
    assert caught.value.exit_code == 1
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("kilobytes", [60, 150, 200, 240, 252])
def test_a_disk_that_fills_up_is_named_and_the_same_command_ends_the_build_later(
    kilobytes,
    employ,
    small_disk,
    tiny_models,
    tmp_path,
    monkeypatch,
):
    """From the first shard to the last index: wherever it happens, what is whole stays."""
    plan = plan_of(tiny_models["bert"])
    disk = small_disk(kilobytes)
    store = disk / "x.kotovec"
    with monkeypatch.context() as patched:
        believe_in_space(patched)
        with pytest.raises(
            DiskFullError, match="no space left while writing .*\nhint: free some space, then run the same"
        ) as caught:
            run_build(plan, store, 1)
    assert caught.value.exit_code == 1
    assert [path for path in disk.rglob("*") if path.name.endswith((".part", ".lock"))] == []
    kept = len(shard_files(store))
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    summary, _ = run_build(plan, store, 1)
    done = (plan.shards[kept - 1].stop if kept else 0) if kept or summary.encoded else len(plan.tokens)
    assert summary.encoded == len(plan.tokens) - done
    run_build(plan, tmp_path / "elsewhere.kotovec", 1)
    assert datasets(store) == datasets(tmp_path / "elsewhere.kotovec")
    assert left_behind(store) == []
