"""What is imported with what: a query must not wait for torch, a worker not for faiss."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kotovec.store import layout

import stores

ROOT = Path(__file__).parents[1]
PACKAGES = ("kotovec", "cluster", "workers", "store", "cli")
HEAVY = {"torch", "transformers", "ray", "faiss", "h5py", "numpy", "tokenizers", "fugashi", "typer", "rich"}
KEPT_OUT = {
    "kotovec": HEAVY,
    "store": {"torch", "transformers", "ray", "faiss", "tokenizers", "fugashi", "typer", "rich"},
    "workers": {"ray", "h5py", "faiss", "typer", "rich"},
}
# gensim's own file, by an unpickler that can name nothing but what this module defines.
UNPICKLES = "store/exchange/keyedvectors.py"
# Numbers that the store and the workers must agree on, to the last bit.
ARITHMETIC = {"kotovec.sums": {"numpy"}}
# cli → cluster → workers, cli → store ← cluster, all of them → kotovec.errors and the version.
ALLOWED = {
    "kotovec": {"store", "cluster"},  # lazily: `kotovec.Store`, `kotovec.build`
    "workers": set(),
    "store": set(),
    "cluster": {"workers", "store"},
    "cli": {"cluster", "workers", "store"},
}
FORBIDDEN = {
    "store": {"torch", "transformers", "ray"},
    "workers": {"ray", "h5py", "faiss"},
    "kotovec": HEAVY,
}


def modules(package):
    """The names of a package's modules, as they are imported."""
    paths = [path.relative_to(ROOT) for path in sorted((ROOT / package).rglob("*.py"))]
    paths = [path for path in paths if path.stem not in ("__main__", "fused")]  # Triton exists where torch has CUDA
    names = [(path.parent if path.stem == "__init__" else path.with_suffix("")).parts for path in paths]
    return [".".join(name if package == "kotovec" else ("kotovec", *name)) for name in names]


@pytest.mark.parametrize(
    ("package", "module"), [(package, module) for package in KEPT_OUT for module in modules(package)]
)
def test_importing_a_module_keeps_the_heavy_packages_out(package, module):
    script = f"import sys, {module}\nprint(*(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "kotovec" in loaded
    assert loaded & (KEPT_OUT[package] - ARITHMETIC.get(module, set())) == set()


def imported(path):
    """Every module that a file imports, inside its functions too, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield node.module, node.lineno
            for name in node.names:
                yield f"{node.module}.{name.name}", node.lineno


def files():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def package_of(path):
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_imports_point_one_way(path):
    package = package_of(path)
    for name, line in imported(path):
        parts = name.split(".")
        if parts[0] == "kotovec" and len(parts) > 1 and parts[1] in PACKAGES:
            assert parts[1] == package or parts[1] in ALLOWED[package], f"{path}:{line} imports {name}"
        assert parts[0] not in PACKAGES[1:], f"{path}:{line} imports {name}: kotovec.{name} is its name"
        allowed = ARITHMETIC.get(f"{package}.{path.stem}", set())
        assert parts[0] in allowed or parts[0] not in FORBIDDEN.get(package, ()), f"{path}:{line} imports {name}"
        assert parts[0] not in ("click", "pickle") or name_of(path) == UNPICKLES, f"{path}:{line} imports {name}"


def test_the_one_module_that_unpickles_looks_nothing_up_by_itself():
    tree = ast.parse((ROOT / UNPICKLES).read_text(encoding="utf-8"))
    assert [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_pickle(node.value)] == [
        "Unpickler"
    ]
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "find_class")
    assert "super" not in {node.id for node in ast.walk(found) if isinstance(node, ast.Name)}


def _is_pickle(node):
    return isinstance(node, ast.Name) and node.id == "pickle"


def test_the_names_of_a_store_know_nothing_of_what_is_done_with_them():
    """Every module of the store may import `layout`, which so imports none of them."""
    assert [name for name, _ in imported(ROOT / "store" / "layout.py") if name.startswith("kotovec.store")] == []


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_the_names_of_a_store_are_written_only_in_its_layout(path):
    names = {layout.TOKENS, layout.FORMER, layout.PLAN, layout.MANIFEST, layout.HDF5, layout.FAISS}
    pieces = [
        node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
    ]
    written = {piece for piece in pieces if isinstance(piece, str) and piece.lstrip("*") in names}
    assert written == set() or path.name == "layout.py"


def test_an_evaluation_computes_with_numpy_alone():
    """gensim, scipy and scikit-learn are what its numbers are compared with."""
    paths = list((ROOT / "store" / "evaluation").glob("*.py"))
    roots = {name.split(".")[0] for path in paths for name, _ in imported(path)}
    assert len(paths) > 10
    assert roots - set(sys.stdlib_module_names) == {"kotovec", "numpy"}


def test_every_package_was_looked_at():
    assert {package_of(path) for path in files()} == set(PACKAGES)
    named = {"store/nearest.py", "workers/encoder.py", "cluster/pool.py", "cli/query.py", "kotovec/errors.py"}
    assert named | {"cli/page/data.py", "cluster/contexts/scan.py"} <= {name_of(path) for path in files()}


def test_the_store_is_imported_when_it_is_first_asked_for():
    script = (
        "import sys, kotovec\n"
        "assert 'h5py' not in sys.modules\n"
        "from kotovec import Store\n"
        "from kotovec.store import Store as Same\n"
        "assert Store is Same and 'h5py' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_name_that_is_not_there_is_said_as_python_says_it():
    import kotovec

    with pytest.raises(AttributeError, match="module 'kotovec' has no attribute 'Shop'"):
        _ = kotovec.Shop


def test_a_one_shot_query_imports_nothing_that_it_can_do_without(tmp_path):
    """Each of these was once imported by the way, and took 1 to 15 ms of a query's 250."""
    folder = stores.write_store(tmp_path / "a.kotovec", stores.numbered(30), np.eye(30), metrics=["l2"])
    libraries = "import sys, numpy, h5py, faiss, typer, rich.table; before = set(sys.modules); "
    script = (
        "from kotovec.cli.app import run; code = run(sys.argv[1:]); "
        "print(*set(sys.modules) - before, file=sys.stderr); sys.exit(code)"
    )
    words = ["query", "--store", folder, "t1 - t2 + t3"]
    done = subprocess.run(
        [sys.executable, "-c", libraries + script, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {".".join(name.split(".")[:2]) for name in done.stderr.split()}
    assert {"kotovec.store", "rich.console", "json"} <= loaded
    needless = {"importlib.metadata", "email", "socket", "zipfile", "csv", "shlex", "tempfile", "difflib", "numpy.ma"}
    needless |= {"pandas", "html"}  # what a notebook asks for
    needless |= {"regex"}  # what --script asks for
    assert loaded & needless == set()
    asked = [sys.executable, "-c", libraries + script, *words, "--script", "Latin"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "regex" in done.stderr.split()
