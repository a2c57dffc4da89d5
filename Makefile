# make demo | test | prove | bench | bench-peers | lint
#
# The first call makes .venv and installs; later calls start at once. On a machine without a GPU choose torch's CPU
# build, which saves several gigabytes:  make test TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
WORKERS ?= 2
# All of them but one: sample_efficiency judges two studies of a day each, so it is run by its name after these.
BENCHMARKS ?= $(filter-out sample_efficiency,$(patsubst tests/benchmarks/bench_%.py,%,\
  $(sort $(wildcard tests/benchmarks/bench_*.py))))
PROOFS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One thread each: two workers share two cores, and torch's own threads beside physics collapse.
QUIET := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 MUJOCO_GL=disable MPLBACKEND=Agg

.PHONY: install demo test lint prove bench bench-peers
.DEFAULT_GOAL := test

install: $(INSTALLED)

$(INSTALLED): constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install -q -c constraints.txt --index-url $(TORCH_INDEX) torch)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[all]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/python -m stimloop.assemblies.demo $(if $(RETRAIN),--retrain)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy loops components/parts
	$(BIN)/lint-imports --no-cache --no-logo

test: lint
	$(QUIET) $(BIN)/python -m pytest -q -n $(WORKERS) --durations=15

prove: $(INSTALLED)
	$(QUIET) $(BIN)/python tests/crash/prove.py $(PROOFS)

bench: $(INSTALLED)
	@status=0; for name in $(BENCHMARKS); do \
	  $(QUIET) $(BIN)/python tests/benchmarks/run.py $$name --json || status=1; done; exit $$status

# Peers that quarrel with our pins live in environments of their own: one folder each below tests/benchmarks/peers.
bench-peers: $(INSTALLED)
	$(QUIET) $(BIN)/python tests/benchmarks/peers.py
