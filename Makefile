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
LONG := benchmarks/study.py benchmarks/study_page.py benchmarks/noise.py benchmarks/bank.py benchmarks/cohorts.py benchmarks/cohorts_page.py

# of the bank of simulated people: three hours on two processors at these sizes
PEOPLE ?= 1000
HELD ?= 200
COHORTS ?= 2000

# what is tried outside this folder: the rooms whose tests need nothing but the package
ROOMS ?= tests/dynamics tests/signal tests/stats tests/bids
TRIED = build/tried/$(notdir $(PYTHON))

.PHONY: help check env demo gallery test test-slow cluster-check coverage mutation sanitize lint bench validation study calibration docs dist test-dist test-lowest
.PHONY: lock image image-archive container-check boutiques sbom check-outputs wheels check-tag publish-wheels publish-image clean

help:
	@echo "make demo       simulate a study, analyse it, compare its groups (pages and tables in $(DEMO)/out)"
	@echo "make test       the everyday tests"
	@echo "make test-slow  the long ones as well"
	@echo "make cluster-check  the SLURM script on a real SLURM (needs Debian's slurm-wlm and munge, and root)"
	@echo "make coverage   lines and branches of signal, dynamics and stats that their own tests reach: 95 %"
	@echo "make lint       style, types, import contracts, configuration files"
	@echo "make mutation   faults put into dynamics and stats, a sample of each module: do their own tests notice?"
	@echo "make sanitize   the kernels' tests under AddressSanitizer and UBSan"
	@echo "make bench      the headline figures of benchmarks/"
	@echo "make validation the tables of docs/validation-dynamics.md"
	@echo "make study      simulate a study of 207 people, analyse it, hold it against the truth (docs/study): an hour"
	@echo "make calibration  false positives, power, reliability and noise (docs/validation): hours, resumed where it stopped"
	@echo "make gallery    pictures of the demo's pages for the manual (needs chromium)"
	@echo "make docs       the manual (build/docs)"
	@echo "make dist       source and binary distribution (dist/)"
	@echo "make test-dist  that one, built and installed in an empty environment of PYTHON, with the newest dependencies"
	@echo "make wheels     binary distributions of all Pythons (build/wheels; needs docker and a network)"
	@echo "make check-outputs  what make demo wrote, before the validator of BIDS and our own"
	@echo "make test-lowest  the oldest dependencies that pyproject.toml allows"
	@echo "make lock       renew requirements.lock from pyproject.toml"
	@echo "make image      the container image (IMAGE, BASE_IMAGE, PREFETCH_ATLASES may be given)"
	@echo "make container-check  calls of that image as on a locked-down cluster"
	@echo "make boutiques  the description of the command line for CBRAIN and Nipoppy (boutiques/)"
	@echo "make sbom       what is in that image, as CycloneDX (build/sbom.cdx.json)"

# what a fresh Debian or Ubuntu lacks, in one line to paste
check:
	@# first: what a Python that is too old lacks besides is no matter
	@! command -v $(PYTHON) >/dev/null 2>&1 || $(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" \
	  || { echo "bids_flex needs Python 3.11 to 3.13, and $(PYTHON) is another; choose one with: make PYTHON=python3.12 ..."; exit 1; }
	@{ command -v git && command -v g++ && $(PYTHON) -c "import ensurepip, venv" \
	  && $(PYTHON) -c "import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h')))"; \
	} >/dev/null 2>&1 || { echo "Something is missing. On Debian or Ubuntu: sudo apt-get install -y $(NEEDS)"; exit 1; }

env: $(VENV)/.ready

# the environment is built again when the lock, the package's description or a kernel changes
$(VENV)/.ready: requirements.lock pyproject.toml CMakeLists.txt $(wildcard bids_flex/dynamics/kernels/*)
	@$(MAKE) --no-print-directory check
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked environment into $(VENV): two to five minutes, 1.5 GB ..."
	@# no dependencies are looked up: the lock names them all, and a newer coverage[toml] must not break it
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
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

# a minute: only the tests of the science, which reach it without the rest of the house
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

# MODULES, EACH and SEED choose the sample; the interpreter is the one below the environment, which would find the unchanged code
EACH ?= 25
SEED ?= 1
mutation: env
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target build/mutation/tools --group mutation
	@PYTHONPATH=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])"):$(CURDIR)/build/mutation/tools \
	  $$(readlink -f $(BIN)/python) tests/mutation.py --each $(EACH) --seed $(SEED) $(MODULES)

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
	@$(BIN)/python benchmarks/cohorts_page.py --cohorts $(COHORTS)
	@$(BIN)/python benchmarks/noise.py --page docs/validation/noise.md

docs: env
	@$(BIN)/sphinx-build -W --keep-going -q docs build/docs
	@echo "Manual: build/docs/index.html"

dist: env
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*

# as a user would: pip builds the wheel from the sdist, and the tests are those of the sdist
test-dist: dist
	@rm -rf $(TRIED) && mkdir -p $(TRIED)/source
	@tar -xzf dist/*.tar.gz --strip-components 1 -C $(TRIED)/source
	@$(PYTHON) -m venv $(TRIED)/env
	@$(TRIED)/env/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(TRIED)/wheel dist/*.tar.gz
	@$(TRIED)/env/bin/python -m pip install --quiet --only-binary numpy,scipy "$$(echo $(TRIED)/wheel/*.whl)[test]"
	@$(TRY)

# the oldest that PYTHON has binaries of; pip has no such resolution, hence uv
test-lowest: TRIED = build/tried/lowest
test-lowest: dist
	@rm -rf $(TRIED) && mkdir -p $(TRIED)/source
	@tar -xzf dist/*.tar.gz --strip-components 1 -C $(TRIED)/source
	@$(BIN)/uv venv --quiet --python $(PYTHON) $(TRIED)/env
	@$(BIN)/uv pip install --quiet --python $(TRIED)/env/bin/python --resolution lowest-direct \
	  --only-binary numpy --only-binary scipy --only-binary scikit-learn --only-binary matplotlib --only-binary isal "$(TRIED)/source[test]"
	@$(TRY)

# nothing may import the package from the folder rather than from the environment
TRY = cd $(TRIED)/source && export PYTHONSAFEPATH=1 && ../env/bin/bids_flex --version && ../env/bin/pytest -q -p no:cacheprovider -n $(JOBS) --dist worksteal \
  -m "not slow and not cluster and not container" $(ROOMS)

# everything a developer needs; of these, what the app needs to run, and what builds it (the image uses these two)
COMPILE = $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --quiet \
  --no-annotate --custom-compile-command "make lock"
lock:
	@$(COMPILE) --upgrade --extra dev --group build --no-emit-package bids-flex pyproject.toml -o requirements.lock
	@$(COMPILE) -c requirements.lock --extra harmonise --no-emit-package bids-flex pyproject.toml -o requirements-run.lock
	@$(COMPILE) -c requirements.lock --group build -o requirements-build.lock

# unset, BASE_IMAGE and PREFETCH_ATLASES have the defaults that Dockerfile states; an empty PREFETCH_ATLASES fetches none
IMAGE ?= bids_flex
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' bids_flex/__init__.py)
ARGUMENTS := VERSION=$(VERSION) \
  REVISION=$(shell git rev-parse HEAD 2>/dev/null) $(if $(SOURCE),SOURCE=$(SOURCE)) $(if $(BASE_IMAGE),BASE_IMAGE=$(BASE_IMAGE))
ATLASES := $(if $(filter undefined,$(origin PREFETCH_ATLASES)),,--build-arg "PREFETCH_ATLASES=$(PREFETCH_ATLASES)")
# newer engines would add a statement of origin, which makes of an image a list of images, and publish-image needs an image
image:
	@BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --network=host -t $(IMAGE) $(ARGUMENTS:%=--build-arg %) $(ATLASES) $(CACHE) .

# the strict calls of docs/docker.md, with the image that `make image` built
container-check: env
	@BIDS_FLEX_IMAGE=$(IMAGE) $(BIN)/python -m pytest -q -m container tests/container

boutiques: env
	@$(BIN)/python docs/make_boutiques.py

SBOM ?= build/sbom.cdx.json
sbom:
	@mkdir -p $(dir $(SBOM))
	@docker run --rm --network none --entrypoint cat $(IMAGE) /opt/bids_flex/sbom.cdx.json > $(SBOM)
	@echo "Bill of materials (CycloneDX): $(SBOM)"

image-archive:
	@mkdir -p $(dir $(ARCHIVE)) && docker save -o $(ARCHIVE) $(IMAGE)

# what `make demo` wrote, before the validator of BIDS and our own check
check-outputs: env
	@$(BIN)/bids-validator-deno $(DEMO)/out
	@$(BIN)/bids_flex-check $(DEMO)/out

# binary distributions for Pythons 3.11 to 3.13 and old Linuxes: needs docker and a network
# (they are made, and tested, from the source distribution: the folder itself holds the environment and other builds)
wheels: dist
	@rm -rf build/wheels
	@$(BIN)/cibuildwheel --output-dir build/wheels dist/*.tar.gz

# releases: TAG is v and the version; what is published under a wrong name cannot be taken back
check-tag:
	@cited=$$(sed -n 's/^version: //p' CITATION.cff); [ "$(TAG)" = "v$(VERSION)" ] && [ "$$cited" = "$(VERSION)" ] \
	  || { echo "Not released: TAG is '$(TAG)', bids_flex/__init__.py says $(VERSION) and CITATION.cff $$cited; let them agree"; exit 1; }

# TWINE_USERNAME and TWINE_PASSWORD, DOCKER_USERNAME and DOCKER_PASSWORD come from the environment
publish-wheels: check-tag dist
	@$(BIN)/twine check --strict build/wheels/*
	@$(BIN)/twine upload --non-interactive build/wheels/* dist/*.tar.gz

# an image for each kind of processor, one name for both, and in build/digests.txt the name that never changes its meaning
publish-image: check-tag
	@[ -z "$$DOCKER_USERNAME" ] || printf %s "$$DOCKER_PASSWORD" \
	  | docker login --username "$$DOCKER_USERNAME" --password-stdin $(firstword $(subst /, ,$(REGISTRY)))
	@for arch in amd64 arm64; do docker load -q -i build/image-$$arch.tar && docker tag $(IMAGE) $(REGISTRY):$(TAG)-$$arch \
	  && docker push -q $(REGISTRY):$(TAG)-$$arch || exit 1; done
	@docker manifest create --amend $(REGISTRY):$(TAG) $(REGISTRY):$(TAG)-amd64 $(REGISTRY):$(TAG)-arm64
	@pushed=$$(docker manifest push --purge $(REGISTRY):$(TAG)) && echo "$(REGISTRY)@sha256:$${pushed##*sha256:}" > build/digests.txt
	@cat build/digests.txt

clean:
	rm -rf build dist $(VENV)
