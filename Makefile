# Everything runs in .venv, which is made by whatever target needs it first.
# `make PYTHON=/path/to/python3.12 test` picks an interpreter; 3.11 or newer is needed.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	command -v $$p >/dev/null && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/installed
READY := .venv/ready

# one thread per process: several processes share the cores
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export NUMBA_NUM_THREADS := 1

.PHONY: demo test hosts slurm strategies image check format docs bench corrupt simulate simulate-mutations fuzz fuzz-records mutants screenshot clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/streammac demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadscope

# joins, deaths, cut cables and lost hosts between network namespaces, with keys; needs root
hosts: $(READY)
	$(BIN)/python -m pytest -m netns tests/hosts

# a cluster as a job of a real Slurm on this machine; needs slurm-wlm, munge and root
slurm: $(READY)
	$(BIN)/python -m pytest -m slurm tests/slurm

# the same story of real processes by each training.strategy: who joins, leaves, hangs and dies; a minute
strategies: $(READY)
	$(BIN)/python -m pytest -m strategies tests/workers/test_strategies.py

# the image of the Dockerfile, and whether a cluster trains in it; needs a Docker daemon
image: $(READY)
	$(BIN)/python -m pytest -m docker tests/deploy

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python -m tools.reference docs
	$(BIN)/python -m monitoring
	$(BIN)/python -m benchmarks pages

# make bench ONLY="w_step ingest"; SHORT=1 to see that they run
bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks $(if $(SHORT),--short) $(or $(ONLY),all)
	$(BIN)/python -m benchmarks pages

# make guard AGAINST=v0.1: is anything slower than it was then?
guard: $(READY)
	$(BIN)/python -m benchmarks guard $(if $(AGAINST),--against $(AGAINST))

# make simulate SEEDS=2000, or SEED=17 to run that one again (LINES=200 of its trace, MUTATION="all adopt" with a bug)
simulate: $(READY)
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),500)) \
	$(if $(LINES),--lines $(LINES)) $(if $(MUTATION),--mutation "$(MUTATION)")

# damages to all files of a run directory, one at a time: make corrupt DAMAGES=2000 SEED=1
corrupt: $(READY)
	$(BIN)/python -m tests.corruption $(if $(DAMAGES),--damages $(DAMAGES)) $(if $(SEED),--seed $(SEED))

simulate-mutations: $(READY)
	$(BIN)/python -m tests.simulation --mutations

# make fuzz MESSAGES=100000: so many hostile messages to each socket of a real cluster
fuzz: $(READY)
	$(BIN)/python -m tests.fuzzing $(if $(MESSAGES),--messages $(MESSAGES)) $(if $(SEED),--seed $(SEED))

# hostile numbers through validation, and into training
fuzz-records: $(READY)
	$(BIN)/python -m tests.fuzzing.records --records $(or $(RECORDS),100000) --seed $(or $(SEED),0)

# make mutants ONLY="models store.journal" SAMPLE=200 SEED=1; all of them take many hours
mutants: $(READY)
	$(BIN)/python -m tools.mutants $(ONLY) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

# needs Chromium and its driver
screenshot: $(READY)
	STREAMMAC_REQUIRE=chromium STREAMMAC_SCREENSHOT=docs/images $(BIN)/python -m pytest tests/page/test_page.py -k killed

# compiled functions are on disk before anything runs: a cluster in which all processes compile them stands still
$(READY): $(INSTALLED) $(wildcard streammac/models/*.py)
	$(BIN)/python -m streammac.models
	touch $@

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 with venv found: install python3 and \
	python3-venv, or name one with make PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,mpi]'
	touch $@

clean:
	rm -rf .venv mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
