PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Folders appear as the project grows; the checkers refuse names that are not there.
CODE := $(wildcard agent_memory migrations tests benchmarks examples conftest.py)

.PHONY: docs pictures install demo test examples test-long mutants lint types contracts bench bench-quick faults compat findings clean

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

# Tests start Python some hundreds of times: with its bytecode kept it starts in two thirds.
unexport PYTHONDONTWRITEBYTECODE

# Four processes of tests on two cores, since tests of faults wait for others. What tests write
# lies in memory where there is room: syncing costs no time then, and a kill leaves the same.
ROOM  := $(shell [ -w /dev/shm ] && df -Pk /dev/shm | awk 'NR == 2 && $$4 > 4000000 {print "/dev/shm"}')
TESTS := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --max-worker-restart=0

test: lint contracts
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types examples
	$(if $(ROOM),PYTEST_DEBUG_TEMPROOT=$(ROOM)) AGENT_MEMORY_TEST_KILLS=8 \
		$(TESTS) --dist loadscope -m "not long" tests

# The examples of a page build on each other, so they stay together in one process.
examples: install
	$(BIN)/python -m pytest README.md docs agent_memory

# What is left: further engines, what takes minutes, and more kills; on the disk.
test-long: install
	AGENT_MEMORY_TEST_KILLS=40 AGENT_MEMORY_TEST_EXAMPLES=200 \
		$(TESTS) --dist loadscope -m "long or faults" tests

# Breaks each promise of docs/guarantees.md in a copy, and fails if a test named for it passes.
mutants: install
	$(BIN)/python -m tests.mutants

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

# The pictures of the explorer, out of the demo; needs Chromium. Its tests leave what they saw in
# build/screenshots: some with test, every view in both themes, narrow and wide, with test-long.
pictures: install
	$(BIN)/python -m tests.explorer.pictures docs/pictures

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

# Fails if a ratio to the plainest client lost a third against benchmarks/results.json; two minutes.
bench-quick: install
	$(BIN)/python -m benchmarks.quick

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[bench]'
	@touch $@

# 300 kills and more, and ten minutes of interruptions; prints how many there were, and what was
# met that must not be.
faults: install
	AGENT_MEMORY_TEST_KILLS=300 AGENT_MEMORY_TEST_STORM=600 $(TESTS) --dist load -m faults tests

# The newest releases of what is used, without constraints, on newer Pythons; and the demo there.
# PYTHONS names them; else those of pyenv from 3.12 on, else those on PATH.
PYENV   := $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1[2-9]*/bin/python)
PYTHONS ?= $(or $(PYENV),$(shell command -v python3.12) $(shell command -v python3.13))

compat:
	@test -n "$(strip $(PYTHONS))" || { echo "no Python from 3.12 on: make compat PYTHONS=..." >&2; exit 1; }
	@for python in $(PYTHONS); do \
		bash tests/compat.sh "$$python" || failed="$$failed $$python"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed on:$$failed" >&2; exit 1; fi

# What other libraries do that nobody would have bet on; each script brings its own environment.
findings:
	@failed=; for script in findings/*.sh; do \
		echo "== $$script"; bash "$$script" || failed="$$failed $$script"; \
	done; \
	if [ -n "$$failed" ]; then echo "changed or failed:$$failed" >&2; exit 1; fi

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
