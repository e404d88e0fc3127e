"""`python -m kotovec.cli`: the command line without the console script, as in a job on a cluster."""

import sys

from kotovec.cli.entry import main

sys.argv[0] = "kotovec"  # the name by which a store's provenance records the command
main()
