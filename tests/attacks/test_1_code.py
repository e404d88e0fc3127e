"""Section 1: code of others runs as the user, that of another user of the machine and that of a stranger's model."""

import os
import pickle
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from attacked import AS_NOBODY, build, python, run, second_user, together
from tiny import change, write_model

# Plants a module, soon and again and again, wherever a private Ray of the process $1 may put its files below $2.
PLANT = """
while [ -d "/proc/$1" ]; do
    for folder in "$2"/kotovec-ray-"$1"-* "$2"/kotovec-ray-"$1"-*/*; do
        [ -d "$folder" ] && cp "$3" "$folder/torch.py" 2> /dev/null && echo "$folder"
    done
    sleep 0.02
done
"""
# Tells who ran it, and gives way to the real module, so that nobody would notice.
TORCH = """
import os, sys
with open({trace!r}, "a") as file:
    print(os.getuid(), __file__, file=file)
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
del sys.modules["torch"]
import torch
"""
OWN = {"AutoConfig": "configuration_mine.MyConfig", "AutoModel": "modeling_mine.MyModel"}


@pytest.fixture
def everyones():
    """A folder that everyone can write to, and whose files everyone can exchange; Ray's sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
    folder = folder.rename(folder.with_name(folder.name[:6]))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@second_user
@pytest.mark.parametrize("parents", ["sticky", "open"])
def test_a_module_that_another_user_plants_is_not_imported_by_workers(parents, model, everyones, public, tmp_path):
    """Any local user runs code as the builder: Ray sets `/tmp/kotovec-ray-*` to 0777, and that folder stands first on
    its workers' `sys.path`: a planted `torch.py` ran as root. The folder that workers start in is writable by the user
    alone and holds nothing importable; its parents are checked.
    """
    trace, planted = tmp_path / "ran", public / "torch.py"
    planted.write_text(TORCH.format(trace=str(trace)))
    planted.chmod(0o644)
    if parents == "sticky":
        everyones.chmod(0o1777)
    attack = None

    def begin(pid: int) -> None:
        nonlocal attack
        attack = subprocess.Popen(
            [*AS_NOBODY, "sh", "-c", PLANT, "sh", str(pid), str(everyones), str(planted)],
            stdout=subprocess.PIPE,
            text=True,
        )

    done = run(
        *("build", model, "--store", tmp_path / "x.kotovec", "--device", "cpu", "--workers", 1),
        cwd=tmp_path,
        seconds=90,
        started=begin,
        TMPDIR=str(everyones),
    )
    where = set(attack.communicate()[0].splitlines())
    assert not trace.exists(), trace.read_text()
    assert where == set()
    assert done.code == 0, done.err


@pytest.mark.parametrize("entry", ["", ":", "."])
def test_nothing_of_a_world_writable_folder_is_on_the_path(entry, public):
    """Nothing of a world-writable folder is ever on a path: an empty entry of PYTHONPATH is the working directory."""
    trace = public / "ran"
    for name in ("typer", "rich", "h5py", "numpy"):
        (public / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write({name!r})\n")
    words = ["info", "--store", "nothing.kotovec"]
    run(*words, cwd=public, PYTHONPATH=entry) if entry else python("-m", "kotovec.cli", *words, cwd=public)
    assert not trace.exists(), trace.read_text()


def add_code(folder: Path, trace: Path) -> Path:
    """Let a model name classes of its own, in files that leave a trace when they run."""
    for name, where in OWN.items():
        module, kind = where.split(".")
        code = f"open({str(trace)!r}, 'a').write({module!r})\nfrom transformers import BertConfig, BertModel\n"
        base = name.replace("Auto", "Bert")
        (folder / f"{module}.py").write_text(f"{code}class {kind}({base}):\n    model_type = 'mine'\n")
    change(folder / "config.json", auto_map=OWN, model_type="mine")
    return folder


@pytest.fixture(scope="module")
def answered(built, tmp_path_factory):
    """Builds of a model with code of its own, to which standard input says "y": what each ended with, and ran."""
    root = tmp_path_factory.mktemp("code")
    shutil.copytree(built, root / "finished.kotovec")
    options = {
        "a dry run": ["--store", root / "x.kotovec", "--dry-run"],
        "a finished store": ["--store", root / "finished.kotovec"],
        "a cluster": ["--store", root / "y.kotovec", "--address", "127.0.0.1:1"],
        "a GPU": ["--store", root / "z.kotovec", "--device", "cuda"],
    }
    traces = {kind: root / f"ran {kind}" for kind in options}
    models = {kind: add_code(write_model(root / kind.replace(" ", "-")), traces[kind]) for kind in options}
    home = {"HF_MODULES_CACHE": str(root / "modules")}
    calls = {
        kind: lambda kind=kind, words=words: run("build", models[kind], *words, stdin="y\n" * 9, cwd=root, **home)
        for kind, words in options.items()
    }
    return {kind: (done, traces[kind]) for kind, done in together(calls).items()}


@pytest.mark.parametrize(
    "kind",
    [
        "a dry run",
        "a finished store",
        pytest.param("a cluster", marks=pytest.mark.held("without a cluster that answers, the model was not read")),
        pytest.param("a GPU", marks=pytest.mark.held("without a GPU, the model was not read")),
    ],
)
def test_a_models_python_does_not_run_when_stdin_says_y(kind, answered):
    """A model's Python runs when stdin says "y" (`--dry-run`, finished stores, by reading also `--address` and GPUs):
    `trust_remote_code=False` in every call.
    """
    done, trace = answered[kind]
    assert not trace.exists(), trace.read_text()
    assert (done.code, done.one_line) == (2, True), done.err
    assert "trust_remote_code" not in done.err


class Payload:
    """Pickles as a call that writes a file."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_no_error_advises_weights_only_false(tmp_path):
    """No error may advise `weights_only=False`."""
    folder, trace = write_model(tmp_path / "model"), tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    weights = pickle.dumps({"weight": Payload(trace), "rest": bytes(50_000)}, protocol=2)
    (folder / "pytorch_model.bin").write_bytes(weights)
    done = build(folder, tmp_path / "x.kotovec")
    assert not trace.exists()
    assert done.code not in (0, None)
    assert "weights_only" not in done.err
    assert done.one_line, done.err
