# The two commands: `make deploy` shows the main job, `make test` checks everything. Each sets up what is missing first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv/bin

# The main job: the built-in digits model onto an emulated Raspberry Pi 4.
DATA := digits
DEVICE := pi4
TARGET := --max-size 90kB --max-drop 0.02
OPTIONS := --emulate

.PHONY: help setup deploy test test-slow test-guides lint format schema layers-page lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Stamps lie inside .venv, so that removing it removes them.
.venv/.system: tools/system_packages.sh tools/find_python.sh
	@tools/system_packages.sh
	@mkdir -p .venv && touch $@

.venv/.installed: requirements/test.lock requirements/bootstrap.lock pyproject.toml tools/setup_venv.sh | .venv/.system
	@tools/setup_venv.sh
	@touch $@

setup: .venv/.installed ## system packages and .venv, whatever of it is missing

deploy: setup ## the built-in digits model onto an emulated Raspberry Pi 4, within a size
	$(VENV)/armopt deploy --data $(DATA) --device $(DEVICE) $(OPTIONS) $(TARGET)

lint: setup ## style, types and import layers
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports --no-cache --no-logo

test: lint ## lint, unit tests, and integration tests on the emulator
	$(VENV)/pytest -m "not slow and not guides" -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup ## runs that are killed, doubled or out of disk; searches; the notebooks
	$(VENV)/pytest -m slow || [ $$? -eq 5 ] # 5: none is marked slow

test-guides: setup ## every command of the guides in docs/
	$(VENV)/pytest -m guides

format: setup ## format the code, mend what ruff can mend
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

schema: setup ## docs/schema from the records
	$(VENV)/python tools/make_schema.py

layers-page: setup ## docs/layers.md from what tiny models of each layer show
	$(VENV)/python tools/make_layers_page.py

# Hosts of registries stay out of the files: where packages come from is the machine's own setting.
LOCK := $(VENV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock" $(LOCK_OPTIONS)
lock: setup ## pin all packages again (LOCK_OPTIONS=--upgrade takes new versions)
	$(LOCK) --group dev pyproject.toml -o requirements/test.lock
	$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.lock

clean: ## remove everything that make made in this folder
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build armopt-out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
