# Two commands do it all on a fresh machine: `make demo` and `make test`. `make help` lists the others.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := build/demo
NEEDS := git make g++ python3-venv python3-dev
# test processes: as many as processors
JOBS ?= auto

SCIENCE := signal dynamics stats

# measured on simulated truth rather than against a clock: twenty minutes
VALIDATION := benchmarks/nulls.py benchmarks/recovery.py

# hours, in pieces that resume: no part of bench
LONG := benchmarks/study.py benchmarks/noise.py benchmarks/bank.py benchmarks/cohorts.py

# of the bank of simulated people: three hours on two processors at these sizes
PEOPLE ?= 1000
HELD ?= 200
COHORTS ?= 2000

.PHONY: help check env demo gallery test test-slow cluster-check coverage sanitize lint bench validation study calibration docs lock image clean

help:
	@echo "make demo       simulate a study, analyse it, compare its groups (pages and tables in $(DEMO)/out)"
	@echo "make test       the everyday tests"
	@echo "make test-slow  the long ones as well"
	@echo "make cluster-check  the SLURM script on a real SLURM (needs Debian's slurm-wlm and munge, and root)"
	@echo "make coverage   lines and branches of signal, dynamics and stats that their own tests reach: 95 %"
	@echo "make lint       style, types, import contracts, configuration files"
	@echo "make sanitize   the kernels' tests under AddressSanitizer and UBSan"
	@echo "make bench      the headline figures of benchmarks/"
	@echo "make validation the tables of docs/validation-dynamics.md"
	@echo "make study      simulate a study of 207 people, analyse it, hold it against the truth (docs/study): an hour"
	@echo "make calibration  false positives, power, reliability and noise (docs/validation): hours, resumed where it stopped"
	@echo "make gallery    pictures of the demo's pages for the manual (needs chromium)"
	@echo "make docs       the manual (build/docs)"
	@echo "make lock       renew requirements.lock from pyproject.toml"
	@echo "make image      the container image"

# what a fresh Debian or Ubuntu lacks, in one line to paste
check:
	@{ command -v git && command -v g++ && $(PYTHON) -c "import ensurepip, venv" \
	  && $(PYTHON) -c "import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h')))"; \
	} >/dev/null 2>&1 || { echo "Something is missing. On Debian or Ubuntu: sudo apt-get install -y $(NEEDS)"; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" \
	  || { echo "bids_flex needs Python 3.11 to 3.13; choose one with: make PYTHON=python3.12 ..."; exit 1; }

env: $(VENV)/.ready

# the environment is built again when the lock, the package's description or a kernel changes
$(VENV)/.ready: requirements.lock pyproject.toml CMakeLists.txt $(wildcard bids_flex/dynamics/kernels/*)
	@$(MAKE) --no-print-directory check
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked environment into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: env
	@$(BIN)/bids_flex-simulate $(DEMO)/bids --participants 12 --seed 1 --force
	@$(BIN)/bids_flex $(DEMO)/bids $(DEMO)/out participant --work-dir $(DEMO)/work --clean-workdir \
	  --restarts 50 --n-surrogates 99 --force \
	  --atlas $(DEMO)/bids/derivatives/atlas/tpl-MNI152NLin2009cAsym_atlas-Sim_seg-7n_scale-100_dseg.nii.gz
	@$(BIN)/bids_flex $(DEMO)/bids $(DEMO)/out group --groups antidepressant --covariates age sex mean_fd
	@echo "Open $(DEMO)/out/group.html and $(DEMO)/out/sub-01.html (group/ and sub-*/ hold the tables, logs/ says how it went)"

gallery: env
	@$(BIN)/python docs/make_gallery.py $(DEMO)/out docs/gallery

test: env
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not cluster and not container"

test-slow: env
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "slow and not cluster and not container"

cluster-check: env
	@$(BIN)/python -m pytest -q -m cluster tests/cluster

# half a minute: only the tests of the science, which reach it without the rest of the house
coverage: env
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow and not cluster and not container" $(SCIENCE:%=tests/%) $(SCIENCE:%=--cov=bids_flex.%) \
	  --cov-report=term-missing:skip-covered --cov-report=json:build/coverage.json
	@$(BIN)/python tests/coverage_floor.py build/coverage.json

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/check-jsonschema --builtin-schema vendor.circle-ci .circleci/config.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

sanitize: env
	@tests/sanitizers.sh

bench: env
	@for file in $(filter-out $(VALIDATION) $(LONG),$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

validation: env
	@for file in $(VALIDATION); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

study: env
	@$(BIN)/python benchmarks/study.py

# two pieces of the bank at a time, one for each processor
calibration: env
	@$(BIN)/python benchmarks/bank.py --people $(PEOPLE) --held $(HELD) --piece 1/2 & first=$$!; \
	  $(BIN)/python benchmarks/bank.py --people $(PEOPLE) --held $(HELD) --piece 2/2 && wait $$first
	@$(BIN)/python benchmarks/cohorts.py --cohorts $(COHORTS)
	@$(BIN)/python benchmarks/noise.py --page docs/validation/noise.md

docs: env
	@$(BIN)/sphinx-build -W --keep-going -q docs build/docs
	@echo "Manual: build/docs/index.html"

# everything a developer needs; of these, what the app needs to run, and what builds it (the image uses these two)
COMPILE = $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --quiet \
  --no-annotate --custom-compile-command "make lock"
lock:
	@$(COMPILE) --upgrade --extra dev --group build --no-emit-package bids-flex pyproject.toml -o requirements.lock
	@$(COMPILE) -c requirements.lock --extra harmonise --no-emit-package bids-flex pyproject.toml -o requirements-run.lock
	@$(COMPILE) -c requirements.lock --group build -o requirements-build.lock

image:
	docker build --network=host -t bids_flex .

clean:
	rm -rf build $(VENV)
