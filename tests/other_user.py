"""Run a fast part of the tests as another user than root, as most people do: root may do what they may not.

python tests/other_user.py [ARGUMENTS OF PYTEST]
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

USER = "65532"  # nobody's, so that no other process counts against its limits
ROOT = Path(__file__).parents[1]
TESTS = (
    "test_store_files.py",
    "test_cli_query.py",
    "test_cli_index.py",
    "test_cli_shell.py",
    "test_mounts.py",
    "test_limits.py",
    "test_uv.py::test_a_build_runs",
)
# Where this Python lies in the home of root, which nobody else can enter: to read, but not to write, as root.
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def main() -> int:
    """Return the exit status of pytest; say so where the tests need not, or cannot, be run."""
    if os.geteuid() != 0:
        print(f"the tests already run as user {os.geteuid()}, and not as root")  # noqa: T201
        return 0
    if shutil.which("setpriv") is None:
        print("there is no setpriv (util-linux): the tests cannot run as another user", file=sys.stderr)  # noqa: T201
        return 1
    home = Path(tempfile.mkdtemp(prefix="kotovec-user-"))
    try:
        os.chown(home, int(USER), int(USER))
        return run(home, sys.argv[1:])
    finally:
        shutil.rmtree(home)


def run(home: Path, more: list[str]) -> int:
    """Run pytest as the other user with a home of its own."""
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    variables = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in [name for name in variables if name.startswith(("XDG_", "RAY_"))]:
        del variables[name]
    if not works(user, variables):
        user += READING
        if not works(user, variables):
            print(f"user {USER} cannot run {sys.executable}", file=sys.stderr)  # noqa: T201
            return 1
    tests = [str(ROOT / "tests" / name) for name in TESTS]
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={home / 'tests'}", "--durations=5", *more]
    command = [*user, sys.executable, "-m", "pytest", *options, *tests]
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


def works(user: list[str], variables: dict[str, str]) -> bool:
    """Return whether the other user can run this Python, with what is installed in it."""
    look = "import sys, pytest, kotovec; print(sys.version)"
    command = [*user, sys.executable, "-c", look]
    found = subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True, check=False)
    return found.returncode == 0 and found.stdout.strip() == sys.version.strip()


if __name__ == "__main__":
    sys.exit(main())
