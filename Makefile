# Every task in one word. The first use makes .venv; later ones only when pyproject.toml or constraints.txt changed.

VENV    ?= .venv
WORKERS ?= 4
BIN      = $(VENV)/bin
STAMP    = $(VENV)/.installed
# The first interpreter that runs and is new enough; override with make PYTHON=/path/to/python.
PYTHON  ?= $(shell for p in python3 python3.13 python3.12 python3.14 python3.11; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Parallel workers share the cores: one thread each for the libraries that would take them all.
TESTENV  = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help env demo test test-fast lint format types contracts habits habits-accept bench bench-limited-angle peers docs gallery wheel wheel-check check clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found: install one, or name it: make PYTHON=/path/to/python $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version): torch is large, this takes a few minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group test --group lint --group build
	@touch $@

env: $(STAMP) ## make or refresh the environment in .venv

demo: $(STAMP) ## reconstruct the scan that ships with the package; writes microlocal-demo/
	$(BIN)/microlocal demo

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

contracts: $(STAMP) ## imports point only down the list of rooms
	$(BIN)/lint-imports --no-cache

habits: $(STAMP) ## sizes, imports, signatures, errors, import time: against aims, stops and the last accepted state
	$(BIN)/python tools/habits.py

habits-accept: $(STAMP) ## record the present numbers as the state that may not get worse
	$(BIN)/python tools/habits.py --accept

test: $(STAMP) ## all tests
	$(TESTENV) $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses=$$(nproc 2>/dev/null || echo 2) --dist worksteal

test-fast: $(STAMP) ## the tests that need neither a browser nor much time
	$(TESTENV) $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses=$$(nproc 2>/dev/null || echo 2) --dist worksteal -m "not slow and not browser"

bench: $(STAMP) ## measurements, side by side with the peers that are there; writes benchmarks/results/, docs/numbers.md
	$(BIN)/python -m benchmarks

bench-limited-angle: $(STAMP) ## learned methods beside each other (weights: recipes/comparison-*.toml); writes docs/limited-angle-table.md
	$(BIN)/python -m benchmarks learned

peers: $(STAMP) ## what we are measured against, in an environment of its own, .venv-peers (some are GPL)
	test -x .venv-peers/bin/python || "$(PYTHON)" -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt --requirement benchmarks/peers.txt
	.venv-peers/bin/python -m pip install --quiet --no-deps --requirement benchmarks/peers-alone.txt

docs: $(STAMP) ## run every example in the docstrings and on the pages
	$(TESTENV) $(BIN)/python -m pytest -q --doctest-glob='*.md' -o doctest_optionflags='NORMALIZE_WHITESPACE ELLIPSIS' docs README.md tests/test_docstrings.py

gallery: $(STAMP) ## run the gallery's scripts and write their pictures to docs/images/gallery
	for script in $$(ls docs/gallery/*.py | grep -v drawing); do $(TESTENV) $(BIN)/python $$script docs/images/gallery || exit 1; done

wheel: $(STAMP) ## build dist/*.whl
	rm -rf dist && $(BIN)/python -m build --wheel --outdir dist .

wheel-check: wheel ## install the wheel into an empty environment outside the tree and run its demo
	sh tools/wheel_check.sh "$(PYTHON)" constraints.txt

check: lint types contracts habits test ## everything that must pass before a change goes in

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache microlocal-demo microlocal-out
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
