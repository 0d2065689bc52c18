# Each target sets up by itself; `make` alone lists them.
.PHONY: help setup demo test soak check bench screenshots documents lock clean
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PYTHONUTF8 := 1
PYTHON ?= python3
export PYTHON
WORKERS ?= 3
RUN := .venv/bin/python -m

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## make .venv ready
	@scripts/setup

demo: setup  ## a hub and twelve colleges on this machine; Ctrl-C ends it
	@$(RUN) node demo

test: setup  ## all tests, with the browser
	@scripts/browser
	@$(RUN) pytest -n $(WORKERS) -rs

soak: setup  ## faults of every kind, at length: an hour at most, prints its figures
	@GONGHUI_SOAK=1 timeout 3600 $(RUN) pytest -n $(WORKERS) -o timeout=1200 -rs --durations=10 tests/faults tests/hostile \
		tests/federation/test_hostile_channel.py tests/exchange tests/sync tests/transports tests/releases tests/web/test_any_request.py tests/cli/test_kill.py tests/cli/test_life.py tests/cli/test_half_hour.py tests/cli/test_earlier_release.py tests/totals tests/demo tests/schemas/test_agreement.py

check: setup  ## style, types, layers
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@.venv/bin/lint-imports

bench: setup  ## measure, and write docs/benchmarks.md
	@$(RUN) bench

screenshots: setup  ## pictures of the screens into docs/images
	@scripts/browser
	@mkdir -p docs/images
	@GONGHUI_SCREENSHOTS=docs/images $(RUN) pytest -m browser

documents: setup  ## write the parts of docs that are generated
	@$(RUN) tests.documents.generated

lock: setup  ## pin all requirements anew (needs uv)
	@uv pip compile pyproject.toml --all-extras --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --no-header -o requirements.lock -q

clean:  ## remove .venv and caches
	@rm -rf .venv .setup.lock .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
