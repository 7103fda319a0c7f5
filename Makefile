# `make demo` and `make test` need nothing but Python 3.11 or newer; everything else goes into .venv.
PYTHON ?= python3
PYTHONS ?= $(PYTHON)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check lint format docs wheel clean

setup: $(VENV)/installed-dev

demo: $(VENV)/installed
	$(BIN)/fscl demo

test: lint
	$(BIN)/pytest -n 2

check: lint  ## what to run before each commit: about two minutes
	$(BIN)/pytest -n 2 -m "not slow"

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed-dev  ## the documentation as a site, in site/
	$(BIN)/zensical build --clean --strict

wheel: $(VENV)/installed-dev  ## wheel and source archive, in dist/; the wheel tried in a clean environment of each of PYTHONS
	rm -rf dist
	$(BIN)/python -m build
	bash .ci/try_wheel dist/*.whl $(PYTHONS)

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/installed
