"""A model's own Python and its pickles are never run: not after `y`, and by no advice."""

import ast
import json
import os
import pickle
import pty
import re
import select
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from kotovec.errors import ModelError
from kotovec.workers.encoder import Encoder

from commands import environment, start
from models import make_bert, make_bin
from rays import COMMAND, plan_of

ROOT = Path(__file__).parents[1]
OWN = {
    "AutoConfig": "configuration_mine.MyConfig",
    "AutoModel": "modeling_mine.MyModel",
    "AutoTokenizer": "tokenization_mine.MyTokenizer",
}


def add_code(folder, trap, *names, model_type=None):
    """Let a model name classes of its own, in files that leave a trace when they run."""
    for name in names:
        module, class_name = OWN[name].split(".")
        (folder / f"{module}.py").write_text(
            f"open({str(trap)!r}, 'a').write({module!r})\n"
            "from transformers import BertConfig, BertModel, BertTokenizer\n"
            f"class {class_name}({name.replace('Auto', 'Bert')}):\n    model_type = 'mine'\n"
        )
    change(folder / "config.json", auto_map={name: OWN[name] for name in names if name != "AutoTokenizer"})
    if "AutoTokenizer" in names:
        tokenizer = {"AutoTokenizer": [None, OWN["AutoTokenizer"]]}
        change(folder / "tokenizer_config.json", auto_map=tokenizer, tokenizer_class="MyTokenizer")
    if model_type is not None:
        change(folder / "config.json", model_type=model_type)
    return folder


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def on_a_terminal(command, cwd):
    """Run a command whose standard streams are a terminal on which somebody types `y`; return code and output."""
    mine, its = pty.openpty()
    with subprocess.Popen(
        command, cwd=cwd, env=environment(), stdin=its, stdout=its, stderr=its, start_new_session=True
    ) as process:
        os.close(its)
        os.write(mine, b"y\n" * 9)
        shown, end = b"", time.monotonic() + 90
        while time.monotonic() < end:
            if select.select([mine], [], [], 0.2)[0]:
                try:
                    shown += os.read(mine, 65536)
                except OSError:  # nobody has the terminal any more
                    break
        process.kill()
    os.close(mine)
    return process.returncode, shown.decode()


def command(*arguments):
    return [sys.executable, "-c", COMMAND, *map(str, arguments)]


@pytest.fixture
def mine(tmp_path):
    """A model of a type that transformers does not know, and what its code would write."""
    trap = tmp_path / "ran"
    return add_code(make_bert(tmp_path / "mine"), trap, *OWN, model_type="mine"), trap


def test_the_trap_is_a_real_one(mine):
    folder, trap = mine
    script = "import sys, transformers; transformers.AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True)"
    home = {"HF_MODULES_CACHE": str(folder.parent / "modules")}
    subprocess.run([sys.executable, "-c", script, folder], env=environment(**home), check=True)
    assert trap.read_text() == "configuration_mine"


@pytest.mark.parametrize("where", ["terminal", "pipe"])
def test_y_on_standard_input_runs_no_code_of_a_model(where, mine, tmp_path):
    folder, trap = mine
    words = ["build", folder, "--store", tmp_path / "x.kotovec", "--dry-run"]
    if where == "terminal":
        code, told = on_a_terminal(command(*words), tmp_path)
    else:
        done = start(*words, input="y\n" * 9, cwd=tmp_path)
        code, told = done.returncode, done.stderr
        assert done.stdout == ""
    assert not trap.exists()
    assert code == 2
    assert [re.sub(r"\x1b\[\d*[A-Z]", "", line) for line in told.strip().splitlines()[-2:]] == [
        f"error: {folder} brings its own code (configuration_mine.MyConfig), which kotovec never runs",
        "hint: choose a model that transformers knows without code of its own",
    ]
    assert "trust_remote_code" not in told


def test_a_model_class_of_its_own_is_not_stood_in_for_in_silence(tmp_path):
    """transformers takes the stock BERT, whose vectors are not those of the model's own class."""
    trap = tmp_path / "ran"
    plan = plan_of(add_code(make_bert(tmp_path / "known"), trap, "AutoModel", "AutoTokenizer"))
    Encoder(plan.spec).load()
    assert not trap.exists()
    assert [notice.split(":")[0] for notice in plan.notices] == [
        "the model's config.json names its own code (modeling_mine.MyModel), which kotovec never runs",
        "the model names its own tokenizer's code (tokenization_mine.MyTokenizer), which kotovec never runs",
    ]
    assert plan.notices[0].endswith("the vectors are those of transformers' own bert")
    assert plan_of(make_bert(tmp_path / "plain")).notices == ()


@pytest.mark.parametrize("auto_map", [3, [], [None], "x", {"AutoTokenizer": None}, {"AutoConfig": {}}])
def test_a_senseless_auto_map_names_no_code(auto_map, tmp_path):
    folder = make_bert(tmp_path / "model")
    change(folder / "tokenizer_config.json", auto_map=auto_map)
    try:
        assert plan_of(folder).notices == ()
    except ModelError as error:
        assert "\n" not in str(error)


def is_loader(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained"


def test_no_call_leaves_it_to_transformers_whether_code_runs():
    """Left away, it asks on the terminal, and takes a `y` from wherever standard input comes."""
    folders = ("kotovec", "cluster", "workers", "store", "cli", "benchmarks", "benchmarks/peers")
    calls = 0
    for path in (path for folder in folders for path in (ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if is_loader(node) and re.search("Auto|kind", ast.unparse(node.func)):  # a class that may run code
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("trust_remote_code") == "False", f"{path}:{node.lineno}"
                calls += 1
    assert calls >= 6


class Payload:
    """Pickles as a call that writes a file: what a hostile .bin would do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "executed"))


def hostile(weights, trap):
    """Write a .bin of today's format that runs code."""
    import torch

    torch.save({"weight": Payload(trap), "rest": torch.zeros(397, 32)}, weights)


def hostile_of_before(weights, trap):
    """Write a bare pickle, as before torch 1.6."""
    weights.write_bytes(pickle.dumps({"weight": Payload(trap), "rest": bytes(50_000)}, protocol=2))


def script(weights, trap):
    """Write what torch.jit.save would: an archive of code."""
    with zipfile.ZipFile(weights, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/constants.pkl", pickle.dumps(()))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(50_000))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            hostile,
            "pytorch_model.bin holds more than tensors (a pickle that runs code)",
        ),
        (hostile_of_before, "runs code)"),
        (script, "bin is damaged, or of an old format that runs code"),
    ],
)
def test_no_error_about_a_pickle_advises_to_run_it(spoil, reason, tmp_path):
    """torch's own says to pass `weights_only=False`, which runs whatever the file holds."""
    folder, trap = make_bin(tmp_path / "model"), tmp_path / "executed"
    (folder / "pytorch_model.bin").unlink()
    spoil(folder / "pytorch_model.bin", trap)
    with pytest.raises(ModelError, match="do not load") as caught:
        Encoder(plan_of(folder).spec).load()
    told = str(caught.value)
    assert not trap.exists()
    assert told.endswith(reason)
    assert caught.value.hint == "ask its author for safetensors"
    assert "\n" not in told
    assert "weights_only" not in told


def test_a_pickle_of_tensors_alone_in_the_format_of_before_loads(tmp_path):
    import torch

    folder = make_bin(tmp_path / "model")
    weights = folder / "pytorch_model.bin"
    torch.save(torch.load(weights, weights_only=True), weights, _use_new_zipfile_serialization=False)
    encoder = Encoder(plan_of(folder).spec)
    encoder.load()
    assert encoder._model.rows == 397


def test_a_model_without_a_class_in_transformers_is_refused_by_the_plan(tmp_path):
    """Its config is known, as that of a processor's part may be, but no model of it: only its own code would load."""
    folder = add_code(make_bert(tmp_path / "model"), tmp_path / "ran", "AutoModel", model_type="align_text_model")
    with pytest.raises(ModelError, match=r"model brings its own code \(modeling_mine.MyModel\)") as caught:
        plan_of(folder)
    assert "\n" not in str(caught.value)
