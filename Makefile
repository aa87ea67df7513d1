# Plain `make` lists what there is. Everything runs from a virtual environment in .venv, which is made from
# the lock files on the first use and renewed when they change.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test coverage chaos fuzz check bench docs lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: $(VENV)/ready ## start the demo: a dispatcher and its workers; Ctrl-C stops it
	@exec $(BIN)/lrwp up

test: $(VENV)/ready ## run all tests
	@.ci/debian
	@$(BIN)/python -m pytest -q

coverage: $(VENV)/ready ## try every branch of the protocol and the broker by their own tests
	@$(BIN)/coverage run -m pytest -q tests/protocol tests/dispatcher/test_broker.py \
		tests/dispatcher/test_broker_laws.py tests/dispatcher/test_exchange.py tests/dispatcher/test_retries.py
	@$(BIN)/coverage report

chaos: $(VENV)/ready ## strike a loaded system with every fault, and hold what clients saw against what was done
	@.ci/debian
	@$(BIN)/python -m tests.chaos $(ARGS)

fuzz: $(VENV)/ready ## give everything that reads bytes what nobody meant, for two minutes (ARGS="--seconds 600 http")
	@$(BIN)/python -m tests.fuzz $(ARGS)

check: $(VENV)/ready ## lint, format, types and import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/ready ## measure LRWP beside other servers and renew docs/bench.*
	@$(BIN)/python -m tests.bench $(ARGS)

docs: $(VENV)/ready ## renew the generated pages of docs/
	@$(BIN)/python -m lrwp.reference > docs/settings.md

lock: $(VENV)/ready ## pin the newest versions that pyproject.toml allows
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		-o requirements.lock pyproject.toml
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--group dev -o requirements-dev.lock pyproject.toml

clean: ## remove the virtual environment and all caches
	rm -rf $(VENV) .venv-bench .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

$(VENV)/ready: pyproject.toml requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed; install it, or name it: make PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
		apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV); } || { \
		echo "make: Python's venv module is missing; install it (on Debian: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements-dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
