# Needs Python >= 3.11 and make. Every target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Small networks on a shared machine: more threads than idle cores only wait for each other.
export OMP_NUM_THREADS ?= 1
SPHINX := $(BIN)/python -m sphinx -q -W --keep-going -b html docs site
# A server that we did not write, for the tests; its pins exclude ours.
MLSERVER := .venv-mlserver
export CLONECOST_MLSERVER ?= $(CURDIR)/$(MLSERVER)/bin/python

.PHONY: setup demo test fuzz check prose docs bench clean

setup: $(VENV)/user  ## the environment, from pinned versions

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "clonecost needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/user: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev: $(VENV)/user
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

$(MLSERVER)/ready: constraints-mlserver.txt
	mkdir -p $(MLSERVER)
	if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		$(PYTHON) -m venv $(MLSERVER) && \
		$(MLSERVER)/bin/python -m pip install -q --no-compile --disable-pip-version-check \
			-c $< mlserver mlserver-sklearn onnxruntime numpy; \
	else echo "MLServer ends at Python 3.12: its tests will be skipped"; fi
	touch $@

demo: $(VENV)/user  ## audit the embedded victim with two attacks, and write a report
	$(BIN)/clonecost audit digits-lenet --attack knockoff:shared --proxy photos --budget 20000 \
		--set knockoff.epochs=15 --milestones 1000,2000,5000,10000 --price 1 \
		--out runs/demo/knockoff
	$(BIN)/clonecost audit digits-lenet --attack dfme --budget 150000 --price 1 \
		--set dfme.generator_width=16 --set dfme.generator_lr=5e-4 --out runs/demo/dfme
	$(BIN)/clonecost report runs/demo

test: $(VENV)/dev $(MLSERVER)/ready  ## the whole test suite
	$(BIN)/python -m pytest -n 2

# New examples each time; SEED=... repeats those of a failure.
fuzz: SEED ?= $(shell date +%s)
fuzz: EXAMPLES ?= 2000
fuzz: $(VENV)/dev  ## damaged and hostile files and messages, EXAMPLES of them for each parser
	@echo "seed $(SEED): make fuzz SEED=$(SEED) EXAMPLES=$(EXAMPLES) repeats this run"
	CLONECOST_FUZZ=$(EXAMPLES) $(BIN)/python -m pytest tests/fuzz --timeout 3600 --hypothesis-seed=$(SEED)

check: $(VENV)/dev $(MLSERVER)/ready  ## format, lint, imports, types, prose, docs, then the tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m prose
	$(SPHINX)
	$(BIN)/python -m pytest -n 2

prose: $(VENV)/dev  ## our English: README, docs, examples, docstrings, messages
	$(BIN)/python -m prose

docs: $(VENV)/dev  ## the site, in site/
	$(SPHINX)

bench: $(VENV)/dev  ## speed and memory against their floors; prints a table, writes JSON
	$(BIN)/python -m benchmarks

clean:  ## the environments, the site and the demo's run
	rm -rf $(VENV) $(MLSERVER) site runs/demo
