PYTHON ?= python3
DATA ?=
BIN := .venv/bin

.PHONY: demo test lint types clean

# Each target sets up what it needs, once, in .venv.
demo: .venv/.core
	$(BIN)/cellprep demo $(if $(DATA),--data "$(DATA)") $(if $(SIZE),--size $(SIZE)) $(if $(OUT),--out "$(OUT)")

test: .venv/.dev
	$(BIN)/python -m pytest

lint: .venv/.dev
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests

types: .venv/.dev
	$(BIN)/mypy

.venv/.core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/.core

clean:
	rm -rf .venv out
	find src tests -name __pycache__ -exec rm -rf {} +
