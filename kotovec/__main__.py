"""`python -m kotovec`: the command line, also where its script is not on the path."""

from runpy import run_module

run_module("kotovec.cli", run_name="__main__")
