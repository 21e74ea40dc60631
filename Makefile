# The commands of this project. Both make their own environment, and find it again the second time.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check coverage dist clean

demo: .venv/installed
	$(BIN)/portkey-bridge demo

test: .venv/installed
	$(BIN)/python -m pytest $(ARGS)

# What CI runs besides the tests.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: .venv/installed
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered $(ARGS)

dist: .venv/installed
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

.venv/installed: pyproject.toml portkey_bridge/__init__.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .coverage*
