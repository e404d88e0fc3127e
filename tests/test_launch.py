"""The launch files: Ray's launcher and KubeRay accept them, their commands set a node up, and their versions agree."""

import copy
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.command_runner import _with_interactive
from ray.autoscaler._private.util import prepare_config, validate_config
from typer.main import get_command

from kotovec.cli.app import make_app

from commands import ROOT

LAUNCH = ("ray_config.yaml", "cluster/gcp.yaml", "cluster/local.yaml")
CLOUDS = LAUNCH[:2]
HEAD, WORKER = "head_setup_commands", "worker_setup_commands"
BUILD = get_command(make_app(["build", "info"])).commands["build"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FAISS = {"cpu", "gpu", "gpu-cu13"}  # extras that exclude each other


def load(name):
    return yaml.safe_load((ROOT / name).read_text())


@pytest.fixture
def parse(monkeypatch):
    """Return a function that gives the options of a `kotovec build` command line, as the command gets them."""
    for variable in [name for name in os.environ if name.startswith(("KOTOVEC_", "RAY_"))]:
        monkeypatch.delenv(variable)
    return lambda *arguments: BUILD.make_context("build", [str(argument) for argument in arguments]).params


# --- Ray's launcher ----------------------------------------------------------


@pytest.mark.parametrize("name", LAUNCH)
def test_rays_launcher_accepts_the_file_and_fills_in_how_ray_starts(name):
    config = prepare_config(load(name))
    validate_config(config)
    started = " ".join(config["head_start_ray_commands"])
    assert "ray start --head" in started
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in started
    assert config["max_workers"] == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda config: config.update(kotovec={"workers": 2}),
        lambda config: config["provider"].pop("type"),
        lambda config: config.update(idle_timeout_minutes="ten"),
    ],
    ids=["options at the top", "no provider", "no number"],
)
def test_the_check_finds_what_the_launcher_does_not_accept(spoil):
    config = prepare_config(load("ray_config.yaml"))
    spoil(config)
    with pytest.raises(jsonschema.ValidationError):
        validate_config(config)


@pytest.mark.parametrize("name", CLOUDS)
def test_a_clouds_workers_have_gpus_and_come_only_when_needed(name):
    config = prepare_config(load(name))
    assert config["head_node_type"] == "head"
    worker = config["available_node_types"]["gpu"]
    assert (worker["min_workers"], worker["max_workers"]) == (0, config["max_workers"])
    assert 0 < config["idle_timeout_minutes"] < 60


def test_machines_of_ones_own_all_join():
    config = prepare_config(load("cluster/local.yaml"))
    (node,) = config["available_node_types"].values()
    assert node["min_workers"] == node["max_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("name", LAUNCH)
def test_the_file_tells_kotovec_how_to_use_its_cluster(parse, name):
    options = parse("--config", ROOT / name)
    assert (options["address"], options["device"], options["gpus_per_worker"] or 1) == ("auto", "cuda", 1)
    assert Path(options["store"]).is_absolute()  # a job's working directory is temporary
    # A cloud grows to what is asked for; machines of one's own are used as they join.
    assert options["workers"] == (prepare_config(load(name))["max_workers"] if name in CLOUDS else None)


@pytest.mark.parametrize("name", LAUNCH)
def test_what_is_uploaded_is_there_once_the_wheel_and_the_token_are_made(name):
    mounts = load(name)["file_mounts"]
    made = {"dist", "~/.ray/auth_token"}
    assert set(mounts) >= {"~/kotovec/dist", "~/.ray/auth_token"}
    assert all((ROOT / local).is_file() for local in set(mounts.values()) - made)
    assert "--wheel-dir dist" in (ROOT / "Makefile").read_text()


def test_the_files_mark_what_is_to_be_changed():
    for name in (*LAUNCH, "cluster/rayjob.yaml"):
        assert 2 <= (ROOT / name).read_text().count("CHANGE") <= 8, name


# --- what the commands do on a node --------------------------------------------

UV = """#!/bin/sh
printf '%s\\n' "$@" end >>"$HOME/calls"
if [ "$1" = venv ]; then
    mkdir -p "$4/bin" && ln -s /bin/true "$4/bin/python"
fi
"""


@pytest.fixture
def node(tmp_path):
    """A node as `ray up` has it after the upload: an own home, files in it, and a uv that notes what it is asked."""
    home = tmp_path / "home"
    for local, folder in (("cluster/setup_node.sh", "kotovec"), ("constraints.txt", "kotovec")):
        target = home / folder / local.rpartition("/")[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / local).read_bytes())
    uv = home / ".local" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(UV)
    uv.chmod(0o755)
    (home / ".bashrc").write_text('[ -z "$PS1" ] && return\n')  # Ubuntu's own begins so
    (home / "kotovec" / "dist").mkdir()
    return home


def put_wheel(home, version, age=0):
    """Lay a wheel into the node's dist/, named as the Makefile says."""
    pattern = re.search(r"## dist/(kotovec-VERSION-\S+\.whl)", (ROOT / "Makefile").read_text())[1]
    path = home / "kotovec" / "dist" / pattern.replace("VERSION", version)
    path.touch()
    os.utime(path, (10**9 - age, 10**9 - age))
    return path


def run(home, command):
    """Run a command as Ray's launcher does over ssh, by a login shell."""
    return subprocess.run(
        ["/bin/bash", "-c", " ".join(_with_interactive(command))],  # as sshd does
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )


def installs(home):
    """What uv was asked to install: each time the extras of kotovec, its wheel, the constraints, and other packages."""
    found = []
    for text in (home / "calls").read_text().split("end\n")[:-1]:
        call = text.splitlines()
        if call[:2] == ["pip", "install"]:
            extras, wheel = re.fullmatch(r"kotovec\[(\S+)\] @ file://(\S+)", call[8]).groups()
            assert call[2:8:2] == ["--python", "--constraint", "--reinstall-package"]
            found.append((set(extras.split(",")), wheel, call[5], call[9:]))
    return found


@pytest.mark.parametrize("name", LAUNCH)
@pytest.mark.parametrize("role", [HEAD, WORKER])
def test_setup_installs_the_wheel_with_what_the_node_needs(node, name, role):
    wheel = put_wheel(node, "0.2.0")
    commands = prepare_config(load(name))[role]
    for command in commands:
        done = run(node, command)
        assert done.returncode == 0, done.stderr
    ((extras, installed, constraints, packages),) = installs(node)
    assert (installed, constraints) == (str(wheel), str(node / "kotovec" / "constraints.txt"))
    assert extras <= set(PROJECT["optional-dependencies"])
    assert "cluster" in extras
    assert len(extras & FAISS) == (1 if role == HEAD else 0)
    cloud = {"ray_config.yaml": ["boto3"], "cluster/gcp.yaml": ["google-api-python-client"]}
    assert packages == (cloud.get(name, []) if role == HEAD else [])


def test_what_follows_on_the_node_finds_kotovecs_ray_and_asks_for_the_token(node):
    put_wheel(node, "0.1.0")
    assert run(node, "bash ~/kotovec/setup_node.sh cluster").returncode == 0
    path, mode = run(node, "echo $PATH $RAY_AUTH_MODE").stdout.split()
    assert path.startswith(f"{node}/kotovec/env/bin:")
    assert mode == "token"


def test_setup_twice_takes_the_newest_wheel_and_keeps_the_rest(node):
    put_wheel(node, "0.9.0", age=60)
    assert run(node, "bash ~/kotovec/setup_node.sh cpu,cluster").returncode == 0
    newest = put_wheel(node, "0.10.0")
    assert run(node, "bash ~/kotovec/setup_node.sh cpu,cluster").returncode == 0
    assert [wheel for _, wheel, _, _ in installs(node)][-1] == str(newest)
    assert (node / "calls").read_text().count("venv\n") == 1
    assert (node / ".bashrc").read_text().count("kotovec/env") == 1


def test_setup_without_a_wheel_fails_and_says_what_makes_one(node):
    done = run(node, "bash ~/kotovec/setup_node.sh cluster")
    assert done.returncode != 0
    assert "no wheel in dist/: make wheel" in done.stderr
    assert "install" not in (node / "calls").read_text()


@pytest.mark.parametrize("name", LAUNCH)
def test_every_command_is_one_that_bash_can_read(name):
    config = prepare_config(load(name))
    types = config["available_node_types"].values()
    commands = [command for key, value in config.items() if key.endswith("_commands") for command in value]
    commands += [command for node in types for command in node.get("initialization_commands", [])]
    assert len(commands) >= 6
    for command in commands:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# --- versions --------------------------------------------------------------------


def test_a_nodes_python_is_the_one_that_the_readme_asks_for():
    script = (ROOT / "cluster" / "setup_node.sh").read_text()
    python = re.search(r"^PYTHON=(\S+)$", script, re.MULTILINE)[1]
    assert PROJECT["requires-python"] == f">={python}"
    assert f"Python ≥ {python}" in (ROOT / "README.md").read_text()
    assert "ray" in PINS  # which setup_node.sh installs by


def test_the_images_ray_and_python_are_those_of_the_constraints():
    page = (ROOT / "docs" / "cluster.md").read_text()
    python = PROJECT["requires-python"].removeprefix(">=").replace(".", "")
    assert re.findall(r"rayproject/ray:(\S+)", page) == [f"{PINS['ray']}-py{python}-gpu"]
    assert job()["rayClusterSpec"]["rayVersion"] == PINS["ray"]


# --- KubeRay ---------------------------------------------------------------------


def record(**fields):
    """A JSON schema of an object that has these fields and no others."""
    return {"type": "object", "properties": fields, "additionalProperties": False}


TEXT, WHOLE, FLAG, ANYTHING = ({"type": name} for name in ("string", "integer", "boolean", "object"))
TEXTS = {"type": "object", "additionalProperties": TEXT}


def several(schema):
    return {"type": "array", "items": schema, "minItems": 1}


# The fields of a pod that are used, from https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
CONTAINER = record(
    name=TEXT,
    image=TEXT,
    resources=record(limits=TEXTS, requests=TEXTS),
    ports=several(record(name=TEXT, containerPort=WHOLE)),
    volumeMounts=several(record(name=TEXT, mountPath=TEXT)),
)
VOLUME = record(name=TEXT, persistentVolumeClaim=record(claimName=TEXT))
SECURITY = record(fsGroup=WHOLE)
POD = record(spec=record(containers=several(CONTAINER), volumes=several(VOLUME), securityContext=SECURITY))
# The fields of RayJobSpec and what it is made of, from https://ray-project.github.io/kuberay/reference/api/ (v1.3), and
# authOptions, which came with KubeRay 1.5.1.
WORKERS = record(
    suspend=FLAG, groupName=TEXT, replicas=WHOLE, minReplicas=WHOLE, maxReplicas=WHOLE, idleTimeoutSeconds=WHOLE,
    rayStartParams=TEXTS, template=POD, scaleStrategy=ANYTHING, numOfHosts=WHOLE,
)  # fmt: skip
CLUSTER = record(
    suspend=FLAG, managedBy=TEXT, headServiceAnnotations=TEXTS, enableInTreeAutoscaling=FLAG, rayVersion=TEXT,
    gcsFaultToleranceOptions=ANYTHING, authOptions=record(mode={"enum": ["token", "disabled"]}, secretName=TEXT),
    autoscalerOptions=record(idleTimeoutSeconds=WHOLE, upscalingMode=TEXT, image=TEXT, resources=ANYTHING),
    headGroupSpec=record(template=POD, rayStartParams=TEXTS, headService=ANYTHING, serviceType=TEXT),
    workerGroupSpecs=several(WORKERS),
)  # fmt: skip
RAY_JOB = record(
    activeDeadlineSeconds=WHOLE, backoffLimit=WHOLE, rayClusterSpec=CLUSTER, submitterPodTemplate=ANYTHING,
    metadata=TEXTS, clusterSelector=TEXTS, submitterConfig=ANYTHING, managedBy=TEXT, deletionStrategy=ANYTHING,
    entrypoint=TEXT, runtimeEnvYAML=TEXT, jobId=TEXT, submissionMode=TEXT, entrypointResources=TEXT,
    entrypointNumCpus={"type": "number"}, entrypointNumGpus={"type": "number"}, ttlSecondsAfterFinished=WHOLE,
    shutdownAfterJobFinishes=FLAG, suspend=FLAG,
)  # fmt: skip


def documents():
    return list(yaml.safe_load_all((ROOT / "cluster" / "rayjob.yaml").read_text()))


def job():
    return documents()[1]["spec"]


def test_the_rayjob_has_documented_fields_only():
    claim, ray_job = documents()
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert (ray_job["apiVersion"], ray_job["kind"]) == ("ray.io/v1", "RayJob")
    jsonschema.validate(ray_job["spec"], RAY_JOB)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("entrypoints",), "x"), (("rayClusterSpec", "rayVersion"), 2.6), (("rayClusterSpec", "workerGroupSpecs"), [])],
)
def test_the_check_finds_fields_that_there_are_not_and_values_of_another_type(path, value):
    spec = copy.deepcopy(job())
    at = spec
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, RAY_JOB)


def test_the_rayjob_builds_on_its_own_cluster_onto_its_own_volume(parse):
    claim, spec = documents()[0], job()
    command = shlex.split(spec["entrypoint"])
    assert command[:2] == ["kotovec", "build"]
    options = parse(*command[2:])
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert (options["address"], options["device"], options["workers"]) == ("auto", "cuda", group["maxReplicas"])
    pod = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (head,), (volume,) = pod["containers"], pod["volumes"]
    (mount,) = head["volumeMounts"]
    assert str(Path(options["store"]).parent) == mount["mountPath"]
    assert mount["name"] == volume["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (worker,) = group["template"]["spec"]["containers"]
    assert worker["image"] == head["image"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
