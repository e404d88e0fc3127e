"""Section 3: folders and files of the user's that lie where a build has its own."""

import shutil
from pathlib import Path

import pytest

from attacked import build, together, tree
from tiny import write_model


def write(folder: Path, *names: str) -> Path:
    """Write files of the user's."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


def shards_and_tokenizer(folder: Path) -> tuple[Path, list[str]]:
    write(folder / "x.kotovec", "shards/part-0.parquet", "tokenizer/thesis.txt")
    return folder / "x.kotovec", []


def shards(folder: Path) -> tuple[Path, list[str]]:
    write(folder / "x.kotovec", "shards/part-0.parquet")
    return folder / "x.kotovec", []


def linked_shards(folder: Path) -> tuple[Path, list[str]]:
    write(folder / "measurements", "000000.h5", "2026.h5")
    (folder / "x.kotovec" / "shards").symlink_to(folder / "measurements")
    return folder / "measurements", []


def git(folder: Path) -> tuple[Path, list[str]]:
    write(folder / "x.kotovec", ".git/config")
    return folder / "x.kotovec", ["--overwrite"]


def ssh(folder: Path) -> tuple[Path, list[str]]:
    write(folder / "x.kotovec", ".ssh/id_ed25519")
    return folder / "x.kotovec", ["--overwrite"]


def old(folder: Path) -> tuple[Path, list[str]]:
    write(folder / ".x.kotovec.old", "thesis.txt")
    return folder / ".x.kotovec.old", []


@pytest.fixture(scope="module")
def left(model, built, tmp_path_factory):
    """What each build left of the user's files, by what these are; and what it said."""
    root = tmp_path_factory.mktemp("deleted")
    failing = write_model(root / "failing", finite=False)

    def attack(place):
        folder = root / place.__name__
        folder.mkdir()
        if place is not shards_and_tokenizer:
            shutil.copytree(built, folder / "x.kotovec")
        theirs, options = place(folder)
        mine = {name: data for name, data in tree(theirs).items() if data == b"mine"}
        used = failing if place is shards_and_tokenizer else model
        done = build(used, folder / "x.kotovec", *options)
        return mine, tree(theirs) if theirs.exists() else {}, done

    places = (shards_and_tokenizer, shards, linked_shards, git, ssh, old)
    return together({place: lambda place=place: attack(place) for place in places})


def stayed(left, place) -> str:
    """Make sure that all files of the user's are as they were; return what the build said."""
    before, after, done = left[place]
    assert before
    assert {name: after.get(name) for name in before} == before
    assert done.code == 0 or done.one_line, done.err
    return done.err


def test_a_failed_build_deletes_no_folder_of_shards_and_tokenizer(left):
    """A failed build deletes a user's whole folder that holds only `shards/` and `tokenizer/`; a folder with anything
    else is refused by name.
    """
    said = stayed(left, shards_and_tokenizer)
    assert "shards" in said or "tokenizer" in said


def test_a_successful_build_deletes_no_foreign_shards(left):
    """A successful one deletes a foreign `shards/`; a folder with anything else is refused by name."""
    assert "shards/part-0.parquet" in stayed(left, shards)


def test_a_build_deletes_nothing_through_linked_shards(left):
    """Through a linked `shards/` every `*.h5` of its target; only what kotovec wrote (…, no link) is ever deleted."""
    assert "shards" in stayed(left, linked_shards)


@pytest.mark.parametrize(("place", "name"), [(git, ".git"), (ssh, ".ssh")])
def test_overwrite_deletes_no_folder_with_git_or_ssh(left, place, name):
    """`--overwrite` deletes a folder with `.git`, `.ssh`; a folder with anything else is refused by name."""
    assert name in stayed(left, place)


def test_a_foreign_folder_in_the_place_of_the_one_that_is_swapped_out_is_not_deleted(left):
    """A foreign `.NAME.old` is deleted. Only what kotovec wrote (… of its own kind, no link) is ever deleted."""
    stayed(left, old)
