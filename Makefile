# Needs Python >= 3.11 and make. Every target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Small networks on a shared machine: more threads than idle cores only wait for each other.
export OMP_NUM_THREADS ?= 1
SPHINX := $(BIN)/python -m sphinx -q -W --keep-going -b html docs site
# For pins only: uv, pip-audit, cyclonedx-bom.
TOOLS := .venv-tools
# The build of torch 2.13.0 for CPUs, Python 3.11, Linux x86_64, which is not on the usual index.
TORCH_CPU := sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
HASHES := --python-version 3.11.5 --universal --generate-hashes --no-annotate --no-header --quiet
# A server that we did not write, for the tests; its pins exclude ours.
MLSERVER := .venv-mlserver
export CLONECOST_MLSERVER ?= $(CURDIR)/$(MLSERVER)/bin/python
# Every process of the tests reads the bytecode that the first one has written.
unexport PYTHONDONTWRITEBYTECODE

# Without pytest's rewriting of asserts, which each worker would do anew in a fresh checkout; what
# fails is run once more, with it, to show the values. That it passes then changes nothing.
TESTS = $(BIN)/python -m pytest -n 3 --dist worksteal --assert=plain \
	|| { $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; exit 1; }

.PHONY: setup setup-hashed demo test test-all fuzz lock sbom audit check static types prose docs bench gpu pack clean

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

setup-hashed: $(BIN)/python requirements.lock  ## the same for developers, by the hash of each file
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
		-r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(VENV)/user $(VENV)/dev

$(TOOLS)/ready: requirements-tools.lock
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r $<
	touch $@

lock: $(TOOLS)/ready  ## hashes of the pins in constraints.txt, after each change of it
	echo "# constraints.txt with the hash of every file that pip may take; made by \`make lock\`." \
		> requirements.lock
	$(TOOLS)/bin/uv pip compile $(HASHES) --no-deps constraints.txt \
		| sed 's/^torch==2.13.0 .*/&\n    --hash=$(TORCH_CPU) \\/' >> requirements.lock

sbom: $(TOOLS)/ready $(VENV)/dev  ## sbom.json: the installed packages as CycloneDX
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --of JSON -o sbom.json

audit: $(TOOLS)/ready  ## known vulnerabilities of the pins; says which it has no data on
	$(TOOLS)/bin/pip-audit --disable-pip --require-hashes -r requirements.lock

demo: $(VENV)/user  ## audit the embedded victim with two attacks, and write a report
	$(BIN)/clonecost audit digits-lenet --attack knockoff:shared --proxy photos --budget 20000 \
		--set knockoff.epochs=15 --milestones 1000,2000,5000,10000 --price 1 \
		--out runs/demo/knockoff
	$(BIN)/clonecost audit digits-lenet --attack dfme --budget 150000 --price 1 \
		--set dfme.generator_width=16 --set dfme.generator_lr=5e-4 --out runs/demo/dfme
	$(BIN)/clonecost report runs/demo

test: $(VENV)/dev $(MLSERVER)/ready  ## the whole test suite
	$(TESTS)

test-all: export CLONECOST_KILLS = all
test-all: test  ## the same, but every attack is killed again and again, not a sixth of them by the date

# New examples each time; SEED=... repeats those of a failure.
fuzz: SEED ?= $(shell date +%s)
fuzz: EXAMPLES ?= 2000
fuzz: $(VENV)/dev  ## damaged and hostile files and messages, EXAMPLES of them for each parser
	@echo "seed $(SEED): make fuzz SEED=$(SEED) EXAMPLES=$(EXAMPLES) repeats this run"
	CLONECOST_FUZZ=$(EXAMPLES) $(BIN)/python -m pytest tests/fuzz --timeout 3600 --hypothesis-seed=$(SEED)

check: $(VENV)/dev  ## format, lint, imports, types, prose, docs, then the tests
	$(MAKE) --jobs=2 --output-sync=target $(MLSERVER)/ready types static
	$(TESTS)

static: $(VENV)/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/python -m prose
	$(SPHINX)

types: $(VENV)/dev
	$(BIN)/mypy

prose: $(VENV)/dev  ## our English: README, docs, examples, docstrings, messages
	$(BIN)/python -m prose

docs: $(VENV)/dev  ## the site, in site/
	$(SPHINX)

bench: $(VENV)/dev  ## speed and memory against their floors; prints a table, writes JSON
	$(BIN)/python -m benchmarks

# Ten minutes on a machine with a card, after `make pack` here; see docs/gpu.md.
gpu: MINUTES ?= 9
gpu: OUT ?= suites/results/gpu
gpu: JOBS ?= abcde
gpu: RUNS ?= 1
gpu: DATA ?= gpu-pack
gpu:  ## the GPU tests, then the attacks at paper scale; the next call goes on
	PYTHONPATH=src:. $(PYTHON) -m experiments.with_pack $(DATA) --minutes $(MINUTES) \
		--out $(OUT) --jobs $(JOBS) --runs $(RUNS)

pack: DATA ?= gpu-pack
pack: $(VENV)/dev  ## what `make gpu` needs on a machine without a network, in parts under 55 MB
	$(BIN)/python -m experiments.pack_gpu --out $(DATA)

clean:  ## the environments, the site, the SBOM and the demo's run
	rm -rf $(VENV) $(MLSERVER) $(TOOLS) sbom.json site runs/demo
