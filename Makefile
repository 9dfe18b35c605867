# Development verbs. `make demo` on a fresh clone does everything, install included.
SHELL := /bin/bash
.DEFAULT_GOAL := help

LOCK ?= requirements/cpu.lock
# The first interpreter that exists and has a supported version.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$p && break; done)
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
# Named for what was installed, so that an unchanged lock costs nothing and a changed one installs again.
STAMP := $(VENV)/arbiter-$(shell cat $(LOCK) pyproject.toml Makefile | sha256sum | cut -c1-16)
ARGS ?=

# uv does not read pip's settings; an index given to pip by environment is meant for uv too.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.PHONY: help setup demo demo-seeds demo-pairs demo-pairs-seeds results bench-judge bench-score bench-checklist bench-stability bench-learner bench-logprob bench-plan test check format conf submit clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  \1\t/' | expand -t 16

setup: $(STAMP)  ## create .venv from requirements/cpu.lock (LOCK=requirements/gpu.lock for CUDA)

$(STAMP):
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.11 or 3.12; give one with make setup PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	grep -v '^flash-attn==' $(LOCK) | $(BIN)/uv pip install --python $(BIN)/python --no-deps --compile-bytecode -r -
	@if grep -q '^flash-attn==' $(LOCK); then \
		$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation $$(grep '^flash-attn==' $(LOCK)); fi
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/arbiter-*
	@touch $(STAMP)

demo: setup  ## train the tiny judge and print the table: untrained, cold start, RL
	$(BIN)/python -m cluster.main train recipe=demo $(ARGS)

demo-seeds: setup  ## the demo for three seeds, one after the other
	$(BIN)/python -m cluster.main train recipe=demo run.seed=0,1,2 --multirun $(ARGS)

demo-pairs: setup  ## train the tiny pairwise judge with StableReinforce and a consistency judge over HTTP
	$(BIN)/python -m cluster.main train recipe=demo_pairs $(ARGS)

demo-pairs-seeds: setup  ## the same for three seeds, one after the other
	$(BIN)/python -m cluster.main train recipe=demo_pairs run.seed=0,1,2 --multirun $(ARGS)

results: setup  ## train scoring judges by every recipe for three seeds; writes docs/results.md (ARGS="--seeds 3 --jobs 2")
	$(BIN)/python -m cluster.bench.results $(ARGS)

bench-judge: setup  ## does the judge's latency hide? (ARGS: a cold-started model folder)
	$(BIN)/python -m cluster.bench.judge $(ARGS)

bench-score: setup  ## pictures/s of arbiter score against transformers' generate in batches of 32
	$(BIN)/python -m cluster.bench.score $(ARGS)

bench-checklist: setup  ## 29 questions about a video in one order against 29 requests: tokens, vision runs, seconds
	$(BIN)/python -m cluster.bench.checklist $(ARGS)

bench-learner: setup  ## a prompt computed once for all its completions against a row each (ARGS="1024/128/8 --repeats 5")
	$(BIN)/python -m cluster.bench.learner $(ARGS)

bench-logprob: setup  ## log-probs and entropies in tiles against all logits: time and memory by hidden size
	$(BIN)/python -m cluster.bench.logprob $(ARGS)

bench-plan: setup  ## step time of a simulated cluster of 8 to 512 GPUs (ARGS: other assumptions, KEY=VALUE)
	$(BIN)/python -m cluster.bench.planning $(ARGS)

bench-stability: setup  ## learning curves of the algorithms at an aggressive learning rate (ARGS="--seeds 3")
	$(BIN)/python -m cluster.bench.stability $(ARGS)

# Files in their order: the long ones, whole runs, come first, so that no worker is left alone with one at the end.
test: setup  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup  ## style, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: setup  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conf: setup  ## print the composed configuration (ARGS="recipe=demo ...")
	@$(BIN)/python -m cluster.main train --cfg job $(ARGS)

submit: setup  ## send the job to a running Ray cluster (ARGS="recipe=demo --address http://HOST:8265")
	$(BIN)/python -m cluster.main submit $(ARGS)

clean:  ## remove caches; runs and .venv stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
