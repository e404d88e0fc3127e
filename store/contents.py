"""The files that kotovec writes into a store's folder: anything else there is somebody's, and is never deleted."""

import contextlib
import json
import os
import re
from pathlib import Path

import h5py

from kotovec.space import STEM
from kotovec.store import hdf5, trees
from kotovec.store.files import open_regular, read_regular
from kotovec.store.layout import (
    CONTEXTS,
    CORPUS,
    FAISS,
    FOLD,
    FORMER,
    HDF5,
    INDEXES,
    MAPS,
    MEASURES,
    MOST_RECORD,
    PART,
    PIECE,
    PLAN,
    POINTS,
    RECORD,
    SHARDS,
    SPACE,
    SPACES,
    TABLE,
    TOKENIZER,
    TOKENIZER_LIST,
    TOKENS,
    Layout,
)
from kotovec.store.trees import Entry

_H5, _FAISS, _RECORD = map(re.escape, (HDF5, FAISS, RECORD))
_OURS = re.compile(
    rf"{re.escape(TOKENS)}|{re.escape(FORMER)}|{re.escape(CONTEXTS)}"
    rf"|{SPACES}/{STEM}{_H5}"
    rf"|{INDEXES}/{STEM}\.[a-z0-9]+({_FAISS}|{_RECORD})"
    rf"|{MAPS}/{STEM}\.[a-z0-9]+(\.sample)?{_H5}"
    rf"|{MEASURES}/{STEM}\.[a-z0-9]+{_H5}"
    rf"|{SHARDS}/({re.escape(PLAN)}|{re.escape(TOKENIZER_LIST)}|{re.escape(CORPUS)}"
    rf"|{re.escape(CONTEXTS)}|{re.escape(FOLD)})"
    rf"|{SHARDS}/({re.escape(PIECE)}|{re.escape(POINTS)})?\d{{6,}}{_H5}"
)
# What transformers saves of a tokenizer; where no list of its files can be read, all else may be somebody's.
_TOKENIZER_FILE = re.compile(
    r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|emoji)\.json"
    r"|(vocab|merges)\.txt|bpe\.codes|chat_template\.jinja"
    r"|[\w.-]*(spiece|sentencepiece|spm|tokenizer)[\w.-]*\.(model|spm|vocab)"
)
_FOLDERS = (INDEXES, MAPS, MEASURES, SHARDS, SPACES, TOKENIZER)
_LITTER = ".DS_Store"  # macOS' Finder makes one in each folder that it shows
_FORMER_PART = re.compile(r"\.(tokenizer|[\w@+.-]+\.(faiss|h5|json))\.part")  # of kotovec 0.1.0


def foreign(folder: Path, part: str = "") -> str | None:
    """Return the path of something in a store's folder that kotovec did not write; None if there is nothing.

    Args:
        folder: the folder of the store.
        part: the only sub-folder to look into; empty for all.
    """
    tokenizer = _tokenizer_files(folder)
    return next((entry.path for entry in trees.walk(folder, part) if not _is_ours(entry, tokenizer)), None)


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store; if its first file is damaged or missing, the files around it decide."""
    path = next((path for path in _first_files(folder) if path.exists()), Layout(folder).tokens)
    try:
        with open_regular(path) as raw:
            if raw.read(len(hdf5.SIGNATURE)) != hdf5.SIGNATURE:
                return _is_around(folder)
            with h5py.File(raw, "r") as file:
                return hdf5.read_attributes(file).get("encoding-type") in (TABLE, "kotovec-store")
    except FileNotFoundError:
        return any(map(_is_record, Layout(folder).indexes.glob(f"*{RECORD}")))
    except OSError:
        return path.is_file() and os.access(path, os.R_OK) and _is_around(folder)
    except hdf5.UNREADABLE:
        return _is_around(folder)


def _is_around(folder: Path) -> bool:
    """Return whether there is an index or a space of kotovec's: a first file that cannot be read may be anyone's."""
    records, spaces = Layout(folder).indexes.glob(f"*{RECORD}"), Layout(folder).spaces.glob(f"*{HDF5}")
    return any(map(_is_record, records)) or any(map(_is_space, spaces))


def _is_space(path: Path) -> bool:
    """Return whether a file is what kotovec writes of a space."""
    with contextlib.suppress(*hdf5.UNREADABLE), open_regular(path) as raw, h5py.File(raw, "r") as file:
        return bool(hdf5.read_attributes(file).get("encoding-type") == SPACE)
    return False


def _is_record(path: Path) -> bool:
    """Return whether a file is a record that kotovec writes of an index."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return {"dataset", "sha256", "faiss"} <= set(json.loads(read_regular(path, MOST_RECORD)))
    return False


def delete(folder: Path, part: str = "", ending: str = "") -> None:
    """Delete what kotovec wrote into a store, and the folders that this leaves empty; follow no link.

    Args:
        folder: the folder of the store.
        part: the only sub-folder to delete from; empty for all.
        ending: the ending of the names of the files to delete; empty for all.
    """
    tokenizer = _tokenizer_files(folder)
    # The files that identify the store come last.
    for each in (part,) if part else (INDEXES, MAPS, SPACES, TOKENIZER, ""):
        trees.delete(folder, lambda entry: entry.name.endswith(ending) and _is_ours(entry, tokenizer), each)


def _is_ours(entry: Entry, tokenizer: frozenset[str] | None) -> bool:
    first, _, rest = entry.path.partition("/")
    unfinished = bool(PART.fullmatch(first) or _FORMER_PART.fullmatch(first))
    if entry.is_folder:  # its contents are judged one by one
        return unfinished or first in _FOLDERS
    if not entry.is_file:
        return False
    if first == TOKENIZER and entry.name != _LITTER:
        return bool(_TOKENIZER_FILE.fullmatch(rest)) if tokenizer is None else rest in tokenizer
    parts = PART.fullmatch(entry.name) or _FORMER_PART.fullmatch(entry.name)
    return unfinished or entry.name == _LITTER or bool(_OURS.fullmatch(entry.path) or parts)


def _tokenizer_files(folder: Path) -> frozenset[str] | None:
    """Return the names of the tokenizer's files as the store or its unfinished build lists them; None without any."""
    for path in _first_files(folder):
        with contextlib.suppress(*hdf5.UNREADABLE), open_regular(path) as raw, h5py.File(raw, "r") as file:
            if "tokenizer_files" in file.attrs:
                return frozenset(json.loads(hdf5.read_attributes(file)["tokenizer_files"]))
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return frozenset(json.loads(read_regular(Layout(folder).tokenizer_list, MOST_RECORD)))
    return None


def _first_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that identify a store, in this format and in the former one."""
    return Layout(folder).tokens, Layout(folder).former
