"""Write docs/house.md: what every module is for, and which modules import which, read from the sources.

python docs/generate_house.py [--print]
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("cli", "cluster", "workers", "store", "kotovec")
SUBPACKAGES = (
    "cli/page",
    "cluster/contexts",
    "cluster/corpus",
    "store/evaluation",
    "store/exchange",
)  # packages in a package: one module in the diagram of the folder above
FOLDERS = (
    *(folder for package in PACKAGES for folder in (package, *(sub for sub in SUBPACKAGES if sub.startswith(package)))),
    "tests",
    "tests/attacks",
    "tests/faults",
    "benchmarks",
    "benchmarks/peers",
    "docs",
)
FRONT = "front"  # kotovec/__init__.py: nothing but lazy imports, above everything that it hands out
SUFFIXES = (".py", ".typed", ".md", ".sh", ".yaml", ".js", ".css", ".html")
COMMENTS = ("#", "//", "/*", "<!--")
UNCOMMENTED = {
    "kotovec/py.typed": "marks the package as typed",
    "cli/page.css": "the style of the page",
    "cli/page.html": "the page that `kotovec map --html` fills in",
}
HEAD = """# The house

What each file is for, and what imports what. This page is made from the modules' docstrings and import statements by
`python docs/generate_house.py`, and a test keeps it up to date.

The folders `cluster/`, `workers/`, `store/` and `cli/` are sub-packages of one import package: `store/shard.py` is
`kotovec.store.shard`. All imports point down; a number on an arrow counts them. `import kotovec` itself loads nothing:
the dotted arrows are followed when a name is first used. `store` never imports torch, transformers or Ray, and
`workers` never imports Ray, h5py or faiss. `kotovec.cli.app` loads the module of a command by its name when the command
runs, which is why no arrow shows it.
"""


def main() -> None:
    """Write the page, or print it."""
    page = make_page()
    if "--print" in sys.argv[1:]:
        sys.stdout.write(page)
    else:
        (ROOT / "docs" / "house.md").write_text(page, encoding="utf-8")


def make_page() -> str:
    """Return the page as Markdown."""
    graph = imports()
    return "\n".join([HEAD, draw_packages(graph), *(section(folder, graph) for folder in FOLDERS)])


def section(folder: str, graph: dict[str, set[str]]) -> str:
    """Return the files of a folder as a table and, for a package, the imports within it as a diagram."""
    paths = sorted(path for path in (ROOT / folder).iterdir() if path.suffix in SUFFIXES)
    rows = [f"| `{path.name}` | {describe(path)} |\n" for path in paths]
    lines = [f"## {folder}/\n", f"| file | what it is for |\n|---|---|\n{''.join(rows)}"]
    if folder in (*PACKAGES, *SUBPACKAGES) and (diagram := draw_modules(folder, graph)):
        lines.append(diagram)
    return "\n".join(lines)


def describe(path: Path) -> str:
    """Return what a file says about itself: the first line of its docstring, its title, or its first comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        said = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    elif path.suffix == ".md":
        said = next((line.strip("# ") for line in text.splitlines() if line.startswith("# ")), "")
    else:
        said = UNCOMMENTED.get(path.relative_to(ROOT).as_posix(), first_comment(text).partition(". ")[0])
    return said.rstrip(".:").replace("|", "\\|")


def first_comment(text: str) -> str:
    """Return the first paragraph of comments at the top level of a file that is not Python, on one line."""
    lines = []
    for line in text.splitlines():
        words = line.strip("#/*<!-> ") if line.startswith(COMMENTS) and not line.startswith("#!") else ""
        if not words and lines:
            break
        lines += [words] if words else []
    return " ".join(lines)


def modules() -> dict[str, Path]:
    """Return the file of every module, by the name that it is imported by."""
    found = {}
    for package in (*PACKAGES, *SUBPACKAGES):
        prefix = prefix_of(package)
        for path in sorted((ROOT / package).glob("*.py")):
            found[prefix if path.stem == "__init__" else f"{prefix}.{path.stem}"] = path
    return found


def prefix_of(folder: str) -> str:
    """Return the package of a folder."""
    return "kotovec" if folder == "kotovec" else f"kotovec.{folder.replace('/', '.')}"


def folder_of(module: str) -> str:
    """Return the folder of a module, or the sub-package that it is in."""
    package = package_of(module)
    return next((sub for sub in SUBPACKAGES if f"{module}.".startswith(f"{prefix_of(sub)}.")), package)


def imports() -> dict[str, set[str]]:
    """Return the modules of kotovec that each of its modules imports, inside functions too."""
    known = modules()
    return {name: set(imported(path, known)) - {name} for name, path in known.items()}


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of kotovec that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in names)


def package_of(module: str, *, importing: bool = False) -> str:
    """Return the package of a module. The package's root, where it imports, is the front door."""
    parts = module.split(".")
    if len(parts) == 1 and importing:
        return FRONT
    return parts[1] if len(parts) > 1 and parts[1] in PACKAGES else "kotovec"


def draw_packages(graph: dict[str, set[str]]) -> str:
    """Return the imports between the packages as a Mermaid diagram."""
    count = Counter(
        (package_of(name, importing=True), package_of(target)) for name, targets in graph.items() for target in targets
    )
    root = [name for name in graph if package_of(name) == "kotovec" and name != "kotovec"]
    names = {FRONT: "import kotovec", "kotovec": ", ".join(root)}
    nodes = [f'    {name}["{names.get(name, f"{name}/")}"]' for name in (FRONT, *PACKAGES)]
    arrows = [
        f"    {above} {'-.->' if above == FRONT else '-->'}|{number}| {below}"
        for (above, below), number in sorted(count.items())
        if above != below
    ]
    return mermaid([*nodes, *arrows])


def draw_modules(folder: str, graph: dict[str, set[str]]) -> str:
    """Return the imports within a folder as a Mermaid diagram; empty where there are none."""
    above = {"kotovec", prefix_of(folder)}
    arrows = {
        (name.rpartition(".")[2], node(target, folder)): None
        for name, targets in graph.items()
        if folder_of(name) == folder
        for target in sorted(targets)
        if folder in (folder_of(target), package_of(target)) and not {name, target} & above
    }
    return mermaid([f"    {name} --> {target}" for name, target in arrows]) if arrows else ""


def node(module: str, folder: str) -> str:
    """Return what a module is called in the diagram of a folder: by its sub-package, if it is in one."""
    home = folder_of(module)
    return module.rpartition(".")[2] if home == folder else home.rpartition("/")[2]


def mermaid(lines: list[str]) -> str:
    """Return a fenced Mermaid diagram that is read from top to bottom."""
    body = "\n".join(lines)
    return f"```mermaid\nflowchart TD\n{body}\n```\n"


if __name__ == "__main__":
    main()
