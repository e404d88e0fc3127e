"""`kotovec build --config`: what a launch file says under `metadata: kotovec:`; flags beat environment beats file."""

import json
import re

import pytest
import yaml
from typer.main import get_command

from kotovec.cli.app import make_app
from kotovec.cluster.config import read_config
from kotovec.cluster.where import STALL_SECONDS
from kotovec.errors import InputError

from commands import call, start

BUILD = get_command(make_app(["build", "info"])).commands["build"]
OPTIONS = {max(option.opts, key=len).lstrip("-"): option for option in BUILD.params}


@pytest.fixture
def launch(tmp_path):
    """Return a function that writes a launch file and returns its path."""

    def write(options=None, *, text=None):
        path = tmp_path / "launch.yaml"
        document = {"cluster_name": "x", "provider": {"type": "local"}, "metadata": {"kotovec": options}}
        path.write_text(yaml.safe_dump(document) if text is None else text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def planned(capsys, tiny_models):
    """Return a function that plans a build of a tiny model and returns the plan."""

    def plan(*arguments):
        answer = call(capsys, "build", *arguments, "--device", "cpu", "--dry-run", "--json")
        assert (answer.code, answer.err) == (0, "")
        return json.loads(answer.out)

    return plan


def test_the_file_gives_what_neither_a_flag_nor_the_environment_gives(planned, launch, tiny_models, tmp_path):
    store = tmp_path / "from the file.kotovec"
    options = {
        "model": str(tiny_models["bert"]),
        "store": str(store),
        "layers": "0,1",
        "dtype": "bfloat16",
        "store-dtype": "float16",
        "token-filter": "word",
        "shard-tokens": 50,
        "workers": 1,
        "stall-seconds": 60,
        "overwrite": False,
        "revision": None,
    }
    plan = planned("--config", launch(options))
    assert plan["model"] == str(tiny_models["bert"])
    assert (plan["store"], plan["layers"], plan["dtype"]) == (str(store), [0, 1], "bfloat16")
    assert (plan["store_dtype"], plan["workers"]) == ("float16", 1)
    assert plan["tokens"] == plan["kinds"]["word"] < sum(plan["kinds"].values())
    assert plan["shards"] == -(-plan["tokens"] // 50)


def test_an_option_that_may_be_repeated_takes_one_value_or_a_list(planned, launch, tiny_models, tmp_path):
    """One value was `not an iterable`, and a list `not one value`."""
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text("the king is in the city\n", encoding="utf-8")
    for given in (str(paths[0]), list(map(str, paths))):
        (then,) = planned(tiny_models["bert"], "--config", launch({"corpus": given}))["then"]
        assert then["spaces"] == ["context@2"]


@pytest.mark.parametrize(
    ("flag", "variable", "wins"),
    [(None, None, "bfloat16"), (None, "float16", "float16"), ("float32", "float16", "float32")],
)
def test_flags_beat_environment_beats_file(planned, launch, tiny_models, monkeypatch, flag, variable, wins):
    monkeypatch.setenv("KOTOVEC_CONFIG", str(launch({"dtype": "bfloat16"})))
    if variable:
        monkeypatch.setenv("KOTOVEC_DTYPE", variable)
    assert planned(tiny_models["bert"], *(["--dtype", flag] if flag else []))["dtype"] == wins


def test_a_model_on_the_command_line_beats_the_files(planned, launch, tiny_models):
    plan = planned(tiny_models["roberta"], "--config", launch({"model": "no/such-model"}))
    assert plan["model"] == str(tiny_models["roberta"])


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"config", "help"}))
def test_every_option_of_build_can_stand_in_the_file(launch, name):
    value = {"float": "0.5", "int": "3", "bool": "true"}.get(OPTIONS[name].type.name, "text")
    assert read_config(launch({name: yaml.safe_load(value)}), OPTIONS) == {name: value}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 2.5}, r"workers is `2\.5`, not a whole number\nhint: see `kotovec build --help`$"),
        ({"workers": "many"}, r"workers is `many`, not a whole number"),
        ({"workers": True}, r"workers is `true`, not a whole number"),
        ({"gpus-per-worker": "half"}, r"gpus-per-worker is `half`, not a number"),
        ({"overwrite": "perhaps"}, r"overwrite is `perhaps`, neither true nor false"),
        ({"layers": [0, 1]}, r"layers is not one value\nhint: give one, as on the command line, such as `0,1,12`$"),
        ({"store": {"path": "x"}}, r"store is not one value\nhint: give one, as on the command line"),
        ({"worker": 2}, r"kotovec build has no option `worker`\nhint: use `workers`$"),
        ({"gpus_per_worker": 1}, r"no option `gpus_per_worker`\nhint: use `gpus-per-worker`$"),
        ({"colour": "red"}, r"no option `colour`\nhint: choose `address`, .* or `workers`$"),
        ({"config": "other.yaml"}, r"no option `config`"),
        ({"help": True}, r"no option `help`"),
        ({3: 4}, r"no option `3`"),
        (["workers"], r"no options for kotovec\nhint: write them under `metadata: kotovec:`$"),
        (None, r"no options for kotovec"),
    ],
)
def test_what_the_file_cannot_say_is_one_line_with_file_and_key(capsys, launch, options, said):
    path = launch(options)
    answer = call(capsys, "build", "--config", path)
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(rf"error: --config {re.escape(str(path))}\W.*\n(hint: \S.*\n)?", answer.err)
    assert re.search(said, answer.err.rstrip())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no options for kotovec"),
        ("- a list", "no options for kotovec"),
        ("metadata: kotovec", "no options for kotovec"),
        ("cluster_name: x", "no options for kotovec"),
        ("a: 1\nb: [", r", line 2 is not YAML: expected.*\nhint: check that line, or leave out --config$"),
        ("a: @", r", line 1 is not YAML: found character '@'"),
        ("a: 1\n---\nb: 2", r"is not YAML: .*another document"),
        ("a: \x07", r"is not YAML: unacceptable character"),
        ("!!python/object/apply:os.getcwd []", r"is not YAML: could not determine a constructor"),
    ],
)
def test_a_file_without_kotovecs_section_is_one_line(capsys, launch, text, said):
    answer = call(capsys, "build", "--config", launch(text=text))
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(r"error: --config .*launch\.yaml.*\n(hint: \S.*\n)?", answer.err)
    assert re.search(said, answer.err)


@pytest.mark.parametrize(("path", "said"), [("none.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_one_line(capsys, monkeypatch, tmp_path, path, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOTOVEC_CONFIG", path)
    answer = call(capsys, "build")
    hint = "hint: give the launch file of a cluster, such as `ray_config.yaml` (KOTOVEC_CONFIG is set)"
    assert (answer.code, answer.out, answer.err) == (2, "", f"error: --config {path} cannot be read: {said}\n{hint}\n")


def test_help_needs_no_file(capsys, monkeypatch):
    monkeypatch.setenv("KOTOVEC_CONFIG", "/no/such/file.yaml")
    assert call(capsys, "build", "--help").code == 0


def test_threads_and_patience_reach_the_build(capsys, launch, monkeypatch, tiny_models, tmp_path):
    seen = {}

    def build(plan, _store, where, **_):
        seen.update(threads=plan.spec.threads, stall=where.stall_seconds, default=STALL_SECONDS)
        raise InputError("seen")

    monkeypatch.setattr("kotovec.cluster.build.build", build)
    store = ["--store", tmp_path / "x.kotovec", "--device", "cpu"]
    assert call(capsys, "build", tiny_models["bert"], *store).err.endswith("error: seen\n")
    assert seen == {"threads": 1, "stall": STALL_SECONDS, "default": 900.0}
    path = launch({"stall-seconds": 7.5, "cpus-per-worker": 2})
    assert call(capsys, "build", tiny_models["bert"], *store, "--config", path).err.endswith("error: seen\n")
    assert seen == {"threads": 2, "stall": 7.5, "default": 900.0}


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_worker_cannot_stall_in_no_time(capsys, seconds):
    answer = call(capsys, "build", "--stall-seconds", seconds)
    assert (answer.code, answer.out, answer.err) == (
        2,
        "",
        f"error: --stall-seconds is {seconds}\nhint: use more than 0\n",
    )


def test_yaml_is_imported_for_a_config_only(tmp_path):
    report = "import atexit, sys; atexit.register(lambda: print('yaml' in sys.modules)); "
    assert start("build", "--help", prepare=report).stdout.splitlines()[-1] == "False"
    assert start("build", "--config", tmp_path, prepare=report).stdout.splitlines()[-1] == "True"
