# What a developer runs. Every target sets up what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-bonds demo-calculations demo-campaign demo-training test test-all test-more test-containers test-airflow image setup serve bench fuzz fuzz-api lint docs release-check audit format requirements

demo: setup  ## real LAMMPS jobs feed four models; a table and two pictures
	@$(BIN)/python -m lammps_jobs.demo $(ARGS)

demo-bonds: setup  ## glasses by LAMMPS, bonds labeled by tblite, three models that learn them, a large glass predicted
	@$(BIN)/python -m lammps_jobs.bonds.demo $(ARGS)

demo-calculations: setup  ## an agent runs chains of tblite and LAMMPS, one is held back, a model learns their wall times
	@$(BIN)/python -m lammps_jobs.calculations_demo $(ARGS)

demo-campaign: setup  ## a campaign from nothing: LAMMPS makes glasses, tblite labels them, a policy decides, a person approves
	@$(BIN)/python -m lammps_jobs.campaign_demo $(ARGS)

demo-training: setup  ## a training in Tailrace and in a real MLflow: killed, resumed, both compared; installs MLflow once
	@$(BIN)/python -m training_demo $(ARGS)

# Each test runs once in one of these four. A part that was asked for (ARGS) may have no test in one of them.
QUICK := not slow and not combinations
KEPT := database or postgresql
PYTEST := $(BIN)/python -m pytest
NONE_IS_FINE = $(if $(ARGS),|| test $$? = 5)

test: setup  ## every promise and every feature, on SQLite, and on PostgreSQL what the database decides
	@$(BIN)/python -m tests.slurm
	@echo "On SQLite (1 of 2):"
	@$(PYTEST) $(ARGS) -m "$(QUICK)" $(NONE_IS_FINE)
	@echo "What the database decides, on PostgreSQL (2 of 2):"
	@TAILRACE_TEST_ON=postgresql $(PYTEST) $(ARGS) --marked database,postgresql -m "not one_database and ($(KEPT)) and $(QUICK)" $(NONE_IS_FINE)

test-all: test test-more test-containers  ## all tests: those of `make test`, and the combinations, long faults and containers

test-more: setup  ## what `make test-all` adds to `make test`, but for the containers
	@$(BIN)/python -m tests.slurm
	@echo "Combinations and long faults on SQLite (1 of 2):"
	@$(PYTEST) $(ARGS) -m "not ($(QUICK))" $(NONE_IS_FINE)
	@echo "The rest on PostgreSQL (2 of 2):"
	@TAILRACE_TEST_ON=postgresql $(PYTEST) $(ARGS) -m "not one_database and not (($(KEPT)) and $(QUICK))" $(NONE_IS_FINE)

image:  ## the server's image and the client's, with podman or docker (IMAGES="server": that one alone)
	@images/build.sh $(IMAGES)

test-containers: setup image  ## what is promised of the images, on real containers; needs podman
	@TAILRACE_TEST_CONTAINERS=1 $(BIN)/python -m pytest tests/containers $(ARGS)

test-airflow: setup  ## the Airflow provider against real Airflows; minutes, and an index of packages: ARGS=3.3.2 for one version
	@PYTHONPATH=client:. $(BIN)/python airflow_provider/tests/check.py $(ARGS)

setup: $(STAMP)  ## a .venv with everything, safe to repeat

$(STAMP): requirements/dev.txt requirements/install.py requirements/front_end.py package.json package-lock.json .npmrc client/pyproject.toml pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (half a minute the first time) ..."
	@$(BIN)/python requirements/install.py requirements/dev.txt client
	@$(BIN)/python requirements/front_end.py server/dashboard/static/vendor
	@touch $(STAMP)

serve: setup  ## the server on 127.0.0.1:8080, open to this machine unless TAILRACE_AUTH says otherwise
	@TAILRACE_AUTH=$${TAILRACE_AUTH:-open} exec $(BIN)/python -m server

bench: setup  ## side by side with its predecessor; writes var/bench.json
	@$(BIN)/python -m bench $(ARGS)

fuzz: setup  ## hostile uploads by the thousand, for a minute: ARGS="--seconds 3600 --seed 7" for longer and others
	@PYTHONPATH=client $(BIN)/python -m tests.fuzz.uploads $(ARGS)

fuzz-api: setup  ## requests made from the schema, for two minutes: ARGS="--seconds 3600 --seed 7" for longer and others
	@PYTHONPATH=client $(BIN)/python -m tests.fuzz.api $(ARGS)

lint: setup  ## format, lint, types, layers, missing migrations, spelling, plain English, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	@git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/python -m tools.plain_english
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet --no-progress .github

docs: setup  ## the pages of docs/ as a searchable site: var/docs/index.html; a warning is an error
	@$(BIN)/python -m sphinx --builder html --quiet --fail-on-warning --keep-going --doctree-dir var/docs-cache $(ARGS) docs var/docs
	@echo "var/docs/index.html"

release-check: setup  ## whether this checkout can be released: versions, changelog, tag, the client's distribution
	@$(BIN)/python -m tools.release

audit: setup  ## hold the pinned requirements against published advisories; needs a network that reaches them
	$(BIN)/pip-audit --strict --progress-spinner off --disable-pip --no-deps --requirement requirements/server.txt --requirement requirements/tracing.txt --requirement requirements/s3.txt

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

requirements: setup  ## pin anew what requirements/*.in ask for
	cd requirements && for set in server tracing parquet s3 jobs bonds docs front dev; do ../$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate $$set.in --output-file $$set.txt; done
	$(BIN)/python requirements/front_end.py --lock
