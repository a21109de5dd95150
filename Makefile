PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Folders appear as the project grows; the checkers refuse names that are not there.
CODE := $(wildcard agent_memory migrations tests benchmarks examples conftest.py)

.PHONY: docs install demo test lint types contracts bench faults clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "agent-memory needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[cli,demo,fake,train,dev]'
	@touch $@

demo: install
	$(BIN)/agent-memory demo

# The examples of a page build on each other, so they stay together in one process.
test: lint types contracts
	$(BIN)/python -m pytest README.md docs
	$(BIN)/python -m pytest -n 2 --dist loadscope tests

lint: install
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: install
	$(BIN)/mypy $(CODE)

contracts: install
	$(BIN)/lint-imports

# Fails on a link that leads nowhere and on a public name that cannot be found.
docs: $(VENV)/.installed-docs
	$(BIN)/zensical build --strict --config-file mkdocs.yml
	@echo "build/site/index.html"

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[docs]'
	@touch $@

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[bench]'
	@touch $@

# 300 kills and more; prints how many there were, and what was met that must not be.
faults: install
	AGENT_MEMORY_TEST_KILLS=300 $(BIN)/python -m pytest -n 2 --dist load -m faults tests

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
