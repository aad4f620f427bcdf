PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv
SOURCES := $(shell find src -type f -not -name '*.pyc')

.PHONY: demo table1 test test-slow test-browser check lint format clean

demo: $(DEMO)/ready
	@$(DEMO)/bin/emofuse data sample demo/sample.mp4
	@$(DEMO)/bin/emofuse predict demo/sample.mp4 --out demo/result --plot

# A synthetic corpus and small networks: all ten rows in minutes. A run that was killed resumes.
table1: $(DEV)/ready
	$(DEV)/bin/emofuse data make runs/table1/corpus --easy --videos 96 --seconds 8 --seed 1
	$(DEV)/bin/emofuse table1 --data runs/table1/corpus --out runs/table1/out --jobs 2

test: $(DEV)/ready
	$(DEV)/bin/pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(DEV)/ready
	$(DEV)/bin/pytest -m slow

# The page of `emofuse serve` in Chromium, which has to be installed; tests of what is missing are skipped.
test-browser: $(DEV)/ready-browser
	$(DEV)/bin/pytest tests/browser

check: lint test

lint: $(DEV)/ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

format: $(DEV)/ready
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

# An environment is ready when its installation ended without an error.
$(DEMO)/ready: pyproject.toml constraints.txt $(SOURCES)
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install -q -c constraints.txt .
	touch $@

$(DEV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install -q -c constraints.txt -e ".[dev]"
	touch $@

$(DEV)/ready-browser: $(DEV)/ready
	$(DEV)/bin/pip install -q -c constraints.txt -e ".[browser]"
	touch $@

clean:
	rm -rf $(DEMO) $(DEV) demo
