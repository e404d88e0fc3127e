"""`python -m kotovec.cli`: the command where there is no console script, as in a job on a cluster."""

import sys

from kotovec.cli.app import main

sys.argv[0] = "kotovec"  # a store's provenance tells the command by its name
main()
