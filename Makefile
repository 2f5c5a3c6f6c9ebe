# What a developer runs. Every target sets up what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-bonds test test-containers image setup serve bench fuzz fuzz-api lint audit format requirements

demo: setup  ## real LAMMPS jobs feed four models; a table and two pictures
	@$(BIN)/python -m lammps_jobs.demo $(ARGS)

demo-bonds: setup  ## glasses by LAMMPS, bonds labeled by tblite, three models that learn them, a large glass predicted
	@$(BIN)/python -m lammps_jobs.bonds.demo $(ARGS)

test: setup  ## the whole suite, on SQLite and on a real PostgreSQL
	@$(BIN)/python -m tests.slurm
	@$(BIN)/python -m pytest $(ARGS)
	@echo "The same promises on PostgreSQL:"
	@TAILRACE_TEST_ON=postgresql $(BIN)/python -m pytest $(ARGS) -m "not one_database"

image:  ## the server's image and the client's, with podman or docker (IMAGES="server": that one alone)
	@images/build.sh $(IMAGES)

test-containers: setup image  ## what is promised of the images, on real containers; needs podman
	@TAILRACE_TEST_CONTAINERS=1 $(BIN)/python -m pytest tests/containers $(ARGS)

setup: $(STAMP)  ## a .venv with everything, safe to repeat

$(STAMP): requirements/dev.txt requirements/install.py client/pyproject.toml pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (half a minute the first time) ..."
	@$(BIN)/python requirements/install.py requirements/dev.txt client
	@touch $(STAMP)

serve: setup  ## the server on 127.0.0.1:8080, open to this machine unless TAILRACE_AUTH says otherwise
	@TAILRACE_AUTH=$${TAILRACE_AUTH:-open} exec $(BIN)/python -m server

bench: setup  ## side by side with its predecessor; writes var/bench.json
	@$(BIN)/python -m bench $(ARGS)

fuzz: setup  ## hostile uploads by the thousand, for a minute: ARGS="--seconds 3600 --seed 7" for longer and others
	@PYTHONPATH=client $(BIN)/python -m tests.fuzz.uploads $(ARGS)

fuzz-api: setup  ## requests made from the schema, for two minutes: ARGS="--seconds 3600 --seed 7" for longer and others
	@PYTHONPATH=client $(BIN)/python -m tests.fuzz.api $(ARGS)

lint: setup  ## format, lint, types, layers, missing migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

audit: setup  ## hold the pinned requirements against published advisories; needs a network that reaches them
	$(BIN)/pip-audit --strict --progress-spinner off --disable-pip --no-deps --requirement requirements/server.txt --requirement requirements/tracing.txt

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

requirements: setup  ## pin anew what requirements/*.in ask for
	cd requirements && for set in server tracing jobs bonds dev; do ../$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate $$set.in --output-file $$set.txt; done
