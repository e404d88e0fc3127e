"""Limits of a process, and `--quiet`: one line for a person, and none of what libraries print."""

import errno
import os
import re
import resource
import shutil
import subprocess
import sys

import pytest

from kotovec import limits
from kotovec.cli.child import Child
from kotovec.cluster import session as sessions
from kotovec.errors import RESUME, InputError, ModelError, StoreBusyError, WorkerError

from commands import call, environment, make_store, start

# What libraries print while a build is planned, to the stream and to the descriptor.
NOISE = """
import logging, os, sys, warnings
from kotovec.cluster import ahead
plan = ahead.make_plan

def noisy(*arguments):
    warnings.warn("of Python")
    logging.getLogger("transformers").warning("of a logger")
    print("of a library", file=sys.stderr)
    os.write(2, b"of C++\\n")
    {end}
    return plan(*arguments)

ahead.make_plan = noisy
"""


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "x.kotovec")


def limited(name, value):
    """Return code that lowers a limit of the process that is started."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_{name}, ({value}, {value}))\n"


@pytest.mark.parametrize("command", ["query", "build"])
def test_too_little_address_space_is_told_at_once(command, store, tiny_models):
    """numpy's import ended with 49 lines, or the process with a segmentation fault."""
    arguments = {"query": ["king"], "build": [tiny_models["bert"], "--workers", 0]}[command]
    done = start(command, *arguments, "--store", store, prepare=limited("AS", 900 << 20))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: this process may take 900 MB of address space, and needs 1,500 MB\nhint: raise it with ulimit -v\n"
    )


@pytest.mark.parametrize(
    "arguments", [["--version"], ["help"], ["help", "query"], ["build", "-h"], ["completion", "fish"]]
)
def test_the_version_and_the_help_need_no_address_space(arguments):
    done = start(*arguments, prepare=limited("AS", 900 << 20))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("NOFILE", 40, r"a process may open 40 files here, and a local Ray needs 64"),
        ("AS", 2000 << 20, r"this process may take 2,000 MB of address space, and a local Ray needs 3,000 MB"),
    ],
)
def test_a_private_ray_is_not_tried_where_it_cannot_start(name, value, message, tiny_models, tmp_path):
    """It printed hundreds of lines of C++, or waited for half a minute."""
    options = ["--store", tmp_path / "x.kotovec", "--workers", 1, "--device", "cpu"]
    done = start("build", tiny_models["bert"], *options, prepare=limited(name, value))
    assert (done.returncode, done.stdout) == (2, "")
    letter = {"NOFILE": "n", "AS": "v"}[name]
    cure = f"hint: raise the limit with ulimit -{letter}, or encode without Ray: --workers 0"
    assert done.stderr == f"error: {message}\n{cure}\n"
    assert not (tmp_path / "x.kotovec").exists()


def test_a_query_needs_16_files(store):
    done = start("query", "king", "--store", store, prepare=limited("NOFILE", 16))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("files", [5, 8, 11])
@pytest.mark.parametrize(
    "command", [["query", "king"], ["build", "demo"], ["index"], ["map"], ["tokens"], ["nonsense"]]
)
def test_an_error_without_a_descriptor_to_import_its_printer_is_one_line(store, command, files, tmp_path):
    """`build` was a traceback with 8 files: what prints an error could not be imported."""
    named = ["--store", tmp_path / "new.kotovec" if command[0] == "build" else store]
    done = start(*command, *named, prepare=limited("NOFILE", files))
    assert "Traceback" not in done.stderr
    assert re.fullmatch(r"error: .*\n(hint: .*\n)?", done.stderr)
    assert f"this process may have {files}\nhint: raise it with ulimit -n\n" in done.stderr or done.returncode == 2


def test_an_index_is_not_called_damaged_where_no_descriptor_is_left(store):
    for files in (12, 13, 14):
        done = start("query", "king", "--store", store, prepare=limited("NOFILE", files))
        assert done.returncode == 0 or done.stderr.startswith("error: too many open files")


def test_a_user_without_threads_gets_an_answer_and_a_map():
    """OpenBLAS wrote four lines and ended the process with SIGINT: "interrupted"."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, and setpriv, to be a user that has no other processes")
    code = limited("NPROC", 1) + "from kotovec.limits import fit_threads\nfit_threads()\n"
    code += "import numpy, scipy.linalg\nprint(numpy.linalg.inv(numpy.eye(2))[0, 0])"
    # This Python may lie where only root can read.
    bound = ["setpriv", "--reuid=65531", "--regid=65531", "--clear-groups"]
    bound += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    done = subprocess.run([*bound, sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n", "")


def test_threads_are_left_alone_where_there_is_room(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(limits, "space", lambda: None)
    limits.fit_threads()
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "too many open files: this process may have "),
        (Exception("IO Error: Too many open files (os error 24)"), "too many open files"),  # Rust's
        (MemoryError(), "not enough memory"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
        (RuntimeError("can't start new thread"), "no more processes or threads can be started"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "no more processes or threads"),
        (ModelError("does not load"), None),
        (StoreBusyError("is being built"), None),
        (KeyError("x"), None),
    ],
)
def test_an_error_of_a_limit_is_one_line_that_names_it(error, message):
    for each in (error, _caused(error)):
        explained = limits.explain(each)
        assert explained is None if message is None else explained[0].startswith(message)


def test_an_error_that_is_its_own_cause_is_no_loop():
    error = ModelError("does not load")
    error.__cause__ = error
    assert limits.explain(error) is None


def _caused(error):
    caused = ModelError("the config does not load")
    caused.__cause__ = error
    return caused


def test_an_error_of_a_limit_ends_a_command_in_two_lines(store, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("kotovec.store.Store.open", full)
    monkeypatch.setattr(limits, "_soft", lambda limit: 16 if limit == resource.RLIMIT_NOFILE else None)
    answer = call(capsys, "query", "king", "--store", store)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "error: too many open files: this process may have 16\nhint: raise it with ulimit -n\n"


def test_a_ray_that_does_not_start_names_the_limits(monkeypatch):
    """Ray's own text is a path, and a number of 56 hexadecimal digits."""
    import ray

    def late(**_):
        raise RuntimeError(f"Timed out waiting for file /tmp/kotovec-ray-1-x/r/session/gcs_server_port_{'5' * 56}")

    monkeypatch.setattr(ray, "init", late)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # other tests share one that runs
    monkeypatch.setattr(sessions, "_running", lambda: False)
    monkeypatch.setattr(limits, "tasks", lambda: 100)
    monkeypatch.setattr(limits, "files", lambda: 512)
    with pytest.raises(WorkerError) as caught, sessions.session(None, 1, 100 << 20):
        pass
    assert str(caught.value) == "a local Ray does not start: its gcs_server did not start within half a minute"
    assert caught.value.hint == (
        "raise the limits: this process may open 512 files (ulimit -n), have 100 processes and threads (ulimit -u, or "
        "the container's)"
    )


@pytest.mark.parametrize(("options", "printed"), [(["--quiet"], False), ([], True)])
def test_quiet_is_quiet_also_for_what_libraries_print(options, printed, tiny_models, tmp_path):
    command = ["build", tiny_models["bert"], "--store", tmp_path / "x.kotovec", "--workers", 0, "--device", "cpu"]
    done = start(*command, *options, prepare=NOISE.format(end=""))
    assert done.returncode == 0
    for text in ("of Python", "of a logger", "of a library", "of C++"):
        assert (text in done.stderr) == printed
    assert printed or done.stderr + done.stdout == ""


@pytest.mark.parametrize("options", [["--quiet"], []])
def test_a_library_that_ends_the_process_is_one_line(options, tiny_models, tmp_path):
    command = ["build", tiny_models["bert"], "--store", tmp_path / "x.kotovec", "--workers", 0, "--device", "cpu"]
    done = start(*command, *options, prepare=NOISE.format(end="os.abort()"))
    assert done.returncode == 1
    assert done.stderr == f"error: the process that builds was killed by SIGABRT (out of memory?)\nhint: {RESUME}\n"


def test_a_variable_is_as_quiet_as_the_option(store):
    noise = "import warnings\nfrom kotovec.store import Store\nopen_ = Store.open\n"
    noise += "Store.open = lambda *a, **k: warnings.warn('of Python') or open_(*a, **k)\n"
    for variables, lines in (({"KOTOVEC_QUIET": "1"}, 0), ({}, 1)):
        done = start("query", "king", "--tsv", "--store", store, prepare=noise, environment=variables)
        assert done.stderr.count("of Python") == lines


def test_no_command_leaves_a_file_for_python_to_close(store):
    for command in (["query", "king"], ["tokens"], ["info"], ["norms", "king"]):
        done = start(*command, "--store", store, environment={"PYTHONWARNINGS": "always::ResourceWarning"})
        assert (done.returncode, done.stderr.count("Warning")) == (0, 0), command


def test_settings_of_the_users_stay():
    code = "import os\nfrom kotovec.cli.silence import silence\nsilence(['-q'])\nprint(os.environ['PYTHONWARNINGS'])"
    variables = environment(PYTHONWARNINGS="default")
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert done.stdout == "default\n"


def test_a_child_that_is_not_held_writes_as_it_goes(capfd):
    with Child() as child:
        child.start(lambda _: {"written": os.write(2, b"at once\n")})
        assert child.result(lambda _: None) == {"written": 8}
    assert capfd.readouterr().err == "at once\n"


def test_too_few_files_are_no_reason_without_ray(monkeypatch):
    monkeypatch.setattr(sessions, "_running", lambda: False)
    monkeypatch.setattr(limits, "files", lambda: 40)
    with pytest.raises(InputError, match="may open 40 files"), sessions.session(None, 1, 100 << 20):
        pass
