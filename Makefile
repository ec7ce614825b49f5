# Two commands do all set-up: `make demo` and `make test`. Each makes .venv where it is missing.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
# Rooms whose tests meet every dependency of the core.
OLDEST := tests/backbones tests/cli/test_app.py tests/cli/test_every_verb.py tests/data tests/features tests/heads tests/runs/test_run.py tests/test_public.py
READY := $(VENV)/.ready

.PHONY: help demo test test-all coverage lint audit licences bench evidence figures docs package oldest clean

help:
	@echo "make demo    install, then the whole main job offline: predict, fit, predict, report"
	@echo "make test    install, then lint, types and tests (under 10 minutes on 2 cores)"
	@echo "make test-all  the slow tests too"
	@echo "make coverage  the tests of make test again, with the share of lines that they run"
	@echo "make audit   licences and known weaknesses of the dependencies (OFFLINE=1: where they can be looked up)"
	@echo "make licences  install every extra and write docs/licences.md"
	@echo "make bench   speed against the peers, written to docs/performance.md"
	@echo "make evidence  tables of accuracies on real data, written to docs/evidence/ (hours; resumable)"
	@echo "make figures  the figures of the guide, written to docs/figures/ (minutes)"
	@echo "make docs    the guide as a site, written to build/site/"
	@echo "make package  source archive and wheel in dist/, and the demo run from the wheel in a bare environment"
	@echo "make oldest  the tests of the core with the oldest versions that pyproject.toml allows"
	@echo "make clean   remove .venv and what demo made"

# torch and torchvision come as a matching pair from the registry; see docs/dependencies.md.
$(READY): pyproject.toml constraints.txt
	@echo "== installing into $(VENV) (several GB the first time; needs the package registry only)"
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(READY)
	@$(BIN)/headstart demo --force

lint: $(READY)
	@echo "== ruff: lint and format"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy

test: lint
	@echo "== pytest"
	@$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadscope --no-loadscope-reorder -m "not slow and not network"

test-all: lint
	@$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadscope --no-loadscope-reorder -m "not network"

coverage: $(READY)
	@$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadscope --no-loadscope-reorder -m "not slow and not network" \
		--cov=headstart --cov-report=term:skip-covered

audit: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[audit,docs]"
	@$(BIN)/python tools/audit.py $(if $(OFFLINE),--offline)

licences: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[audit,dev,docs,hub,release,text,video]"
	@$(BIN)/python tools/audit.py --write

bench: $(READY)
	@$(BIN)/python bench/run.py

evidence: $(READY)
	@$(BIN)/python bench/evidence.py

figures: $(READY)
	@$(BIN)/python tools/figures.py

docs: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "read it: build/site/index.html"

package: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[release]"
	@$(BIN)/python tools/package.py $(if $(SBOM),--sbom "$(abspath $(SBOM))")

# Needs uv, which alone can resolve to the oldest versions.
oldest:
	@uv venv --quiet --clear --python 3.11 build/oldest
	@uv pip compile --quiet --python-version 3.11 --resolution lowest-direct --extra dev pyproject.toml -o build/oldest.txt
	@uv pip install --quiet --python build/oldest -r build/oldest.txt
	@uv pip install --quiet --python build/oldest --no-deps -e .
	@build/oldest/bin/python -m pytest -q -m "not slow and not network" $(OLDEST)

clean:
	rm -rf $(VENV) build dist demo
