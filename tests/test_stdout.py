"""Standard output that cannot be written: every command says so in one line, and a closed pipe stays silent."""

import subprocess
import sys

import pytest

from commands import MAIN, environment, make_store

CLOSED = "error: nothing can be written to standard output (Bad file descriptor)\n"
FULL = "error: nothing can be written to standard output (No space left on device)\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("out") / "s.kotovec")


def run(command, target, **more):
    """Run a command line in a shell that sends its standard output elsewhere."""
    line = f"exec \"$0\" -c '{MAIN}' {command} {target}"
    arguments = ["bash", "-c", line, sys.executable]
    return subprocess.run(arguments, env=environment(**more), capture_output=True, text=True, timeout=120)


COMMANDS = ["query king", "query king --json", "query king --tsv", "info", "norms king", "tokens"]
LIGHT = ["--help", "--version", "query --help", "completion bash", "help environment"]


@pytest.mark.parametrize("command", [*COMMANDS, *LIGHT])
@pytest.mark.parametrize(("target", "said"), [(">&-", CLOSED), (">/dev/full", FULL), (">&- <&-", CLOSED)])
def test_output_that_cannot_be_written_is_an_error_of_one_line(command, target, said, store):
    done = run(command, target, KOTOVEC_STORE=str(store))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_unbuffered_output_is_no_exception(store):
    done = run("info", ">/dev/full", KOTOVEC_STORE=str(store), PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stderr) == (1, FULL)
    assert run("--version", "", PYTHONUNBUFFERED="1").stdout.count(".") == 2


def test_a_command_that_prints_nothing_needs_no_output(store, tmp_path):
    done = run(f"tokens --store {store} -q --parquet {tmp_path / 't.parquet'}", ">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pipe_that_its_reader_closed_stays_silent(store):
    done = run("tokens", "| true; exit ${PIPESTATUS[0]}", KOTOVEC_STORE=str(store))
    assert (done.returncode, done.stderr) == (0, "")
