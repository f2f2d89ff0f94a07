# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.installed
AIMOCK_VERSION := 1.43.0
AIMOCK := $(VENV)/aimock-$(AIMOCK_VERSION)/node_modules

.PHONY: demo test interop soak fuzz lint format docs bench bench-profiles bench-bulk lock clean

demo: $(STAMP)  ## show every main job against a simulator on this machine: no key, no network
	$(BIN)/barechat demo

test: $(STAMP)  ## the whole suite, and the core's branch coverage
	rm -rf .coverage && mkdir .coverage
	$(BIN)/python -m coverage run -m pytest -n auto --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=100

interop: $(STAMP) $(if $(shell command -v npm),$(AIMOCK))  ## clients and servers that others wrote, some of them on Node 20: some minutes
	$(BIN)/python -m pytest interop

soak: $(STAMP)  ## what takes time, load or ten thousand repetitions: some minutes
	$(BIN)/python -m pytest soak

fuzz: $(STAMP)  ## any bytes at what reads a server's, coverage-guided: a million inputs each, or FUZZ="--runs N TARGET…"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz
	$(BIN)/python fuzz $(FUZZ)

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

format: $(STAMP)  ## let ruff arrange the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(STAMP)  ## write docs/prices.md, scenarios.md, faults.md, speed.md and screens/ anew, and say which prices are old: a minute or two
	$(BIN)/python tests/prices_page.py
	$(BIN)/python tests/scenario_page.py
	$(BIN)/python tests/fault_page.py
	$(BIN)/python tests/chat_screens.py
	$(BIN)/python tests/speed_page.py

bench: $(STAMP)  ## how fast it is on this machine, beside other clients, into bench/results/: less than 20 minutes
	$(BIN)/python -m bench

bench-profiles: $(STAMP)  ## what the time of a call and of a token goes to, in instructions (with valgrind): some minutes
	$(BIN)/python -m bench.profiles

bench-bulk: $(STAMP)  ## how close a bulk run keeps to a server's limits, beside what most scripts do: some twelve minutes
	$(BIN)/python -m bench bulk

lock: $(STAMP)  ## pin the development versions anew, by hash, for every Python and platform at once
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --group dev --extra cli --extra simulator --extra tls --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade -o requirements-dev.txt pyproject.toml

$(AIMOCK): | $(STAMP)
	npm install --silent --no-package-lock --no-audit --no-fund --prefix $(@D) @copilotkit/aimock@$(AIMOCK_VERSION)

clean:
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache dist

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "barechat needs Python 3.11 or newer; say which with PYTHON=...")'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import pathlib; pathlib.Path("$(STAMP)").touch()'
