PYTHON ?= python3
DATA ?=
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# Without compiling each installed module: Python compiles those it imports.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile --editable

# One more than the cores they are made for: some tests wait.
WORKERS := -n 3 --dist worksteal

.PHONY: demo test proofs lint types docs notebooks bench clean

# Each target sets up what it needs, once, in .venv.
demo: .venv/.core
	$(BIN)/cellprep demo $(if $(DATA),--data "$(DATA)" --on-error skip) $(if $(SIZE),--size $(SIZE)) $(if $(OUT),--out "$(OUT)")

test: .venv/.dev
	$(BIN)/python -m pytest -m "not slow" $(WORKERS)

# Kills, clusters, large files: tests that take minutes.
proofs: .venv/.dev
	$(BIN)/python -m pytest -m slow $(WORKERS)

lint: .venv/.dev
	$(BIN)/ruff check src tests benchmarks building docs/*.py examples
	$(BIN)/ruff format --check src tests benchmarks building docs/*.py examples
	$(BIN)/lint-imports --no-logo

types: .venv/.dev
	$(BIN)/mypy

# site/index.html opens without a server and without a network.
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pages that are notebooks, with their outputs and pictures.
notebooks: .venv/.dev
	$(BIN)/python docs/notebooks.py out/notebooks --run

# The libraries to compare with are many and large, so they have an environment of their own.
bench: .venv-bench/.done
	.venv-bench/bin/python -m pytest benchmarks $(if $(IMAGES),--images $(IMAGES))

.venv/.core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) '.[report]'
	touch $@

.venv/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) '.[dev]'
	touch $@ .venv/.core .venv/.docs

.venv/.docs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) '.[docs]'
	touch $@ .venv/.core

.venv-bench/.done: pyproject.toml
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python $(INSTALL) '.[bench]'
	touch $@

clean:
	rm -rf .venv .venv-bench out site
	find src tests benchmarks -name __pycache__ -exec rm -rf {} +
