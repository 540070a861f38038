# Everything a newcomer or a machine types. Each target makes what it needs; a second run installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CORE := $(VENV)/core.stamp
DEV := $(VENV)/dev.stamp

.DEFAULT_GOAL := help
.PHONY: help demo test check unit lint types layers docs fix bench clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(CORE)  ## Index the documents in examples/ and ask three questions about them
	@$(BIN)/python examples/demo.py

test: $(DEV)  ## All tests that cost no money, on SQLite and on PostgreSQL
	@run=; if [ -n "$$LOCALASSIST_TEST_POSTGRES" ]; then :; \
	elif ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
		|| { [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }; then run="tests/postgres.sh run"; \
	else echo "PostgreSQL is not here: its tests are skipped. Install it (Debian: sudo apt-get install postgresql)," \
		"or name a server: LOCALASSIST_TEST_POSTGRES=postgresql://user@host/name make test" >&2; fi; \
	$$run $(BIN)/python -m pytest -q -n 2 -m "not live"

check: lint types layers unit  ## Everything that must pass before a commit

unit: $(DEV)  ## Unit tests
	@$(BIN)/python -m pytest -q -n 2 -m "not live" tests/unit tests/test_house.py

lint: $(DEV)  ## Style, spelling, dependencies
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/codespell && $(BIN)/deptry .

types: $(DEV)  ## Static types
	@$(BIN)/mypy localassist tests benchmarks

layers: $(DEV)  ## The import contract
	@$(BIN)/lint-imports

docs: $(DEV)  ## Rewrite every generated page
	@$(BIN)/python docs/generate.py

fix: $(DEV)  ## Format, and apply safe fixes
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(DEV)  ## Run the benchmarks on this machine, and make their page (options: BENCH="--rival-python … --data …")
	@$(BIN)/python -m benchmarks.run all $(BENCH) && $(BIN)/python -m benchmarks.render

clean:  ## Remove the environment, the demo's folder and every cache
	rm -rf $(VENV) demo-home .venv-sdk build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "localassist needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo 'not there')." >&2; \
		echo "Install one of them and name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module does not work. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(CORE): pyproject.toml | $(VENV)/bin/python
	@echo "Installing localassist into $(VENV) (once; about 480 MB, one to three minutes) …"
	@$(PIP) install --quiet --editable .
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	@echo "Installing localassist and what its tests need into $(VENV) (once) …"
	@$(PIP) install --quiet --editable '.[dev,postgres]'
	@touch $(CORE) $@
