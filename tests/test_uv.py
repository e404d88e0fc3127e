"""Under `uv run`: Ray uploads no folder, and starts its workers as it always does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands import MAIN, environment
from test_address import start_head

# Of a private Ray, or of the cluster at an address: how its workers are to be started, and what was uploaded for them.
ASK = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (300 << 20, 300 << 20))  # a folder zipped into itself ends soon
from kotovec.cluster.session import join, session

with join(sys.argv[1]) if sys.argv[1:] else session(None, 1, 100 << 20):
    import ray

    uploaded = [key.decode() for key in ray.experimental.internal_kv._internal_kv_list("gcs://")]
    environment = json.loads(ray.get_runtime_context().get_runtime_env_string())
    python = ray.get(ray.remote(lambda: sys.executable).remote())
    print(json.dumps([environment, uploaded, python == sys.executable]))
"""


@pytest.fixture(scope="module")
def uv():
    """The path of uv, installed beside this Python or somewhere on the path."""
    found = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip("uv is not installed here: pip install uv")
    return found


def uv_run(uv, folder, *arguments, **variables):
    """Run this Python with `uv run` in a user's project; Ray recognises uv by the name that it was started with."""
    (folder / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n')
    command = ["uv", "run", "--quiet", "--no-sync", "--python", sys.executable, sys.executable, *map(str, arguments)]
    settings = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "cache"), "UV_NO_CONFIG": "1"}
    variables = environment(**settings, **variables)
    options = {"cwd": folder, "env": variables, "capture_output": True, "text": True, "timeout": 120}
    return subprocess.run(command, executable=uv, **options)


def test_a_private_ray_uploads_nothing_and_its_workers_are_no_uv_run(uv, tmp_path):
    """Its own folder was zipped into a file in that folder. Ray reads the variable once, when it is imported."""
    done = uv_run(uv, tmp_path, "-c", "import ray\n" + ASK, RAY_ENABLE_UV_RUN_RUNTIME_ENV="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{}, [], True]


def test_a_cluster_is_sent_nothing_either(uv, tmp_path):
    """The working directory is `/` while it is joined: all of the machine's disks would be zipped."""
    with start_head() as (joining, _, addresses):
        done = uv_run(uv, tmp_path, "-c", joining + ASK, addresses["HOST:PORT"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{}, [], True]


def test_a_build_runs(uv, tiny_models, tmp_path):
    options = ["--store", tmp_path / "x.kotovec", "--workers", 1, "--device", "cpu", "--quiet"]
    done = uv_run(uv, tmp_path, "-c", MAIN, "build", tiny_models["bert"], *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "x.kotovec" / "tokens.h5").is_file()
