# `make demo` and `make test` work in a fresh clone: they make .venv first.
# Another interpreter: make PYTHON=python3.12 demo. Options for pytest: make test PYTEST_FLAGS="-n 4 -k cosmology".
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test lint validate bench clean

BIN := .venv/bin
INSTALLED := .venv/.installed
DEVELOPING := .venv/.installed-dev
PYTEST_FLAGS ?= -n 2 --dist loadfile
export PYTHONUNBUFFERED := 1

help: ## say what the targets do
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

demo: $(INSTALLED) ## Planck LCDM posterior, trained on the spot and certified, to runs/planck-lcdm/
	$(BIN)/volvelle run examples/01_planck_lcdm.yaml

test: lint ## lint, then every test
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(DEVELOPING) ## ruff, pyright and the import order of the folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -q tests/test_import_order.py

validate: $(DEVELOPING) ## comparisons with independent codes and published numbers: hours
	@missed=""; for script in $(filter-out validation/common.py validation/reference.py,$(wildcard validation/*.py)); do \
	    echo "== $$script"; $(BIN)/python "$$script" || missed="$$missed $$script"; done; \
	if [ -n "$$missed" ]; then echo "bounds missed, or stopped:$$missed"; exit 1; fi

bench: $(DEVELOPING) ## timings against peers and bounds
	@for script in $(filter-out %_worker.py benchmarks/cosmopower.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python "$$script"; done

clean: ## remove the environment and caches (runs/ and the ledger stay)
	rm -rf .venv build dist src/*.egg-info .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The first of these that is Python 3.11 to 3.13 makes the environment.
PYTHON ?= python3
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.11
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# The two variables hold build requirements (of CLASS) to the same pins: pip before 25.3 reads the first, later pips the second.
$(INSTALLED) $(DEVELOPING): export PIP_CONSTRAINT := constraints.txt
$(INSTALLED) $(DEVELOPING): export PIP_BUILD_CONSTRAINT := constraints.txt
$(INSTALLED): pyproject.toml constraints.txt
	@if [ ! -x $(BIN)/pip ]; then \
	    for candidate in $(CANDIDATES); do \
	        if "$$candidate" -c '$(SUITABLE)' 2>/dev/null; then python="$$candidate"; break; fi; \
	    done; \
	    if [ -z "$${python:-}" ]; then \
	        echo "Volvelle needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing) and no other was found." >&2; \
	        echo "Install one and name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making .venv with $$python ($$("$$python" --version)); CLASS is compiled, this takes a few minutes."; \
	    "$$python" -m venv .venv; \
	fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[class]'
	@touch $@

$(DEVELOPING): $(INSTALLED)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[class,arviz,dev]'
	@touch $@
