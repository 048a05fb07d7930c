# Two commands matter: `make run` and `make test`. Everything lands in .venv and out.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
TIMES ?= 1
MINUTES ?= 10
# Tests run in three processes, as many wait for processes of their own; more threads in each would wait for each other.
test test-all zoo: export OMP_NUM_THREADS ?= 1
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt
RUN_READY := $(VENV)/.ready-to-run
TEST_READY := $(VENV)/.ready-to-test
DOCS_READY := $(VENV)/.ready-for-docs

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all zoo faults soak fuzz check format openapi operators table map docs bench gpu reproduce servers clean

help:  ## say what there is
	@echo "Whence: explanations of PyTorch models over HTTP"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: $(TEST_READY)  ## install everything into .venv, tests and all

run: $(RUN_READY)  ## start Whence, explain a digit, stay up (PORT=8000 HOST=127.0.0.1)
	@exec $(BIN)/python -m service.cli.demo --host $(HOST) --port $(PORT)

test: $(TEST_READY)  ## run the tests
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

test-all: $(TEST_READY)  ## the tests with those that take long, as CI runs them; faults apart
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not zoo and (not faults or brief)"

zoo: $(TEST_READY)  ## every method on every kind of net: alone, in company, beside autograd; counts what was asked
	@$(BIN)/python -m pytest -q -n 2 -m "zoo or not zoo" -rP tests/zoo

faults: $(TEST_READY)  ## kill, freeze and cut off real processes; print what was survived (TIMES=1)
	@FAULT_TIMES=$(TIMES) $(BIN)/python -m pytest -q -m faults tests/faults tests/fleet

soak: $(TEST_READY)  ## twice the load that can be served, with deaths all along (MINUTES=10)
	@$(BIN)/python -W ignore -m tests.faults.soak --minutes $(MINUTES)

fuzz: $(TEST_READY)  ## break archives at random, load each; break bodies, send each (MINUTES=10, each)
	@nice -n 15 $(BIN)/python -W ignore -m tests.fuzz.archives --minutes $(MINUTES)
	@nice -n 15 $(BIN)/python -W ignore -m tests.fuzz.bodies --minutes $(MINUTES)

check: $(TEST_READY)  ## format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(TEST_READY)  ## put the code in its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

openapi: $(RUN_READY)  ## write openapi/openapi.json from the code
	@mkdir -p openapi
	@$(BIN)/python -m service.cli.openapi > openapi/openapi.json.new
	@mv openapi/openapi.json.new openapi/openapi.json
	@echo "wrote openapi/openapi.json"

operators: $(RUN_READY)  ## write docs/operators.md from the list of operators that archives may call
	@$(BIN)/python -m workers.models.archive.operators > docs/operators.md.new
	@mv docs/operators.md.new docs/operators.md
	@echo "wrote docs/operators.md"

table: $(RUN_READY)  ## write the table of all methods in docs/questions.md from the catalogue
	@$(BIN)/python -m docs.building.method_table
	@echo "wrote docs/questions.md"

map: $(TEST_READY)  ## draw the rooms and what each imports; print circles and arrows up, of which there are none
	@$(BIN)/python -m docs.draw_map

docs: $(DOCS_READY)  ## build the documentation into out/docs; a warning is an error
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs out/docs
	@echo "wrote out/docs/index.html"

bench: $(TEST_READY)  ## measure side by side with Captum, Zennit and plain torch
	@$(BIN)/python -m benchmarks

gpu: $(TEST_READY)  ## test and measure on this machine's GPU, write benchmarks/gpu.md; says so where there is none
	@$(BIN)/python -m pytest -q -rs tests/workers/engine/test_gpu.py tests/workers/methods/on_another_device.py
	@$(BIN)/python -m benchmarks.gpu

reproduce: $(TEST_READY)  ## run what reproduces the seeds' figures, with a table of outcomes (ONLY="S4 Fig. 14.6" for some; hours in all)
	@$(BIN)/python -m reproductions $(if $(ONLY),"$(ONLY)")

servers:  ## install MLServer, MLflow and shap into out/servers, KServe's server into out/kserve, for tests that ask real ones
	@$(PYTHON) -m venv out/servers
	@out/servers/bin/python -m pip install --quiet --disable-pip-version-check -r tests/workers/models/servers/requirements.txt
	@$(PYTHON) -m venv out/kserve
	@out/kserve/bin/python -m pip install --quiet --disable-pip-version-check kserve==0.21.0

clean:  ## remove .venv, out and every cache
	@rm -rf $(VENV) out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Whence needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(RUN_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the service and its worker (torch is the large part) ..."
	@$(PIP) --editable '.[worker]'
	@touch $@

$(TEST_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what the tests need ..."
	@$(PIP) --editable '.[worker,test]'
	@touch $(RUN_READY) $@

$(DOCS_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what the documentation needs ..."
	@$(PIP) --editable '.[docs]'
	@touch $@
