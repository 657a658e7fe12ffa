# One command per task. `make` or `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint types format repro show experiments seeds compare report \
        review serve bench bench-gallery bench-photographs bench-prepare bench-scanners bench-serve study pins clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A stage runs the first `python` on the path: put the environment's first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A copy of CIFAR-100's archive, a path or a URL: make repro ARCHIVE=...
ifneq ($(ARCHIVE),)
export SIAMESE_ARCHIVE := $(ARCHIVE)
endif
# A copy of the pretrained weights: make repro WEIGHTS=...
ifneq ($(WEIGHTS),)
export SIAMESE_WEIGHTS := $(WEIGHTS)
endif

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv with pinned versions (again only if the pins have changed)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed; $(PYTHON) is {sys.version.split()[0]}. Choose another: make setup PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifneq ($(TORCH_INDEX),)
	$(BIN)/python -m pip install --quiet --extra-index-url $(TORCH_INDEX) -c constraints.txt torch torchvision
endif
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/siamese check
	@touch $@

demo: $(READY)  ## run the whole pipeline on scikit-learn's digits, in demo/ (about a minute, no network)
	@$(BIN)/siamese demo

# Files are shared by as many processes as there are cores, in the order of tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
test: $(READY)  ## run the tests (about five minutes)
	$(PYTEST)

test-all: test  ## run the tests, then the longer ones (some twenty minutes)
	$(PYTEST) -m slow

lint: $(READY)  ## check parameters, style and types
	$(BIN)/siamese check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types

types: $(READY)  ## check types only
	$(BIN)/mypy src tests bench
	MYPYPATH=stages:src $(BIN)/mypy stages

format: $(READY)  ## format the code as `make lint` requires
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# PROFILE=gpu: with what gpu.yaml changes, in gpu/; the committed figures stay as they are.
repro: $(READY)  ## rebuild what is out of date, on CIFAR-100 (from a copy: make repro ARCHIVE=path-or-URL)
	$(BIN)/siamese check
ifeq ($(PROFILE),)
	$(BIN)/dvc repro $(STAGE)
else
	@$(BIN)/siamese profile $(PROFILE)
endif

show: $(READY)  ## print the figures beside the floors
	@$(BIN)/siamese show

experiments: $(READY)  ## list the experiments: what each changes, and its main figures (ALL=1: of all commits)
	@$(BIN)/siamese experiments $(if $(ALL),--all)

# SET: other parameters, separated by spaces; quotes within keep a value that has some together.
SEEDS ?= 1 2 3
SET ?=
NAME ?=
# By the environment, they reach the shell as they were typed.
seeds: export SETTING := $(value SET)
seeds: export TITLE := $(value NAME)
seeds: $(READY)  ## run a setting with several seeds, in a queue (make seeds SEEDS="1 2 3" SET="train.margin=0.5")
	@$(BIN)/siamese seeds $(SEEDS) --set="$$SETTING" --name="$$TITLE"

compare: $(READY)  ## is the difference real? (make compare BASE=main; HEAD=... replaces the workspace)
	@$(BIN)/siamese compare $(BASE) $(HEAD) $(if $(COMPARE_SEEDS),--seeds)

report: $(READY)  ## write a comparison with curves and pictures to report/ (make report BASE=main)
	@$(BIN)/siamese report $(BASE) $(HEAD) $(if $(COMPARE_SEEDS),--seeds)

review: $(READY)  ## rebuild the digits before and after a change, and report the difference (make review BASE=origin/main)
	@$(BIN)/siamese review $(BASE)

# Where `make demo` has run; WORKSPACE=. serves CIFAR-100.
WORKSPACE ?= demo
serve: $(READY)  ## answer over HTTP and serve a page, from demo/ (make serve WORKSPACE=. PORT=8000)
	@test -d $(WORKSPACE)/data/model || { echo "$(WORKSPACE)/data/model: no model; run \`make demo\` first" >&2; exit 1; }
	cd $(WORKSPACE) && $(CURDIR)/$(BIN)/siamese gallery build && exec $(CURDIR)/$(BIN)/siamese serve $(if $(PORT),--port $(PORT))

bench: $(READY)  ## compare training speed with its limit and with pytorch-metric-learning (ten minutes)
	$(BIN)/dvc repro pairs
	$(BIN)/python bench/speed.py

bench-gallery: $(READY)  ## compare the gallery with FAISS and scikit-learn, up to a million rows (twenty minutes, 2 GB of disk)
	$(BIN)/dvc repro embed
	$(BIN)/python bench/gallery.py

bench-prepare: $(READY)  ## measure how fast a folder of 10,000 JPEG files is prepared (five minutes)
	$(BIN)/python bench/prepare.py

# IMAGES: seen in training; TUNED: seen where rates are tried, if fewer should do.
bench-photographs: $(READY)  ## compare fine-tuning with others on photographs (make bench-photographs WORKSPACE=path IMAGES=50000; hours)
	cd $(WORKSPACE) && $(CURDIR)/$(BIN)/dvc repro pairs weights
	$(BIN)/python bench/photographs.py tune --workspace $(WORKSPACE) $(addprefix --images ,$(or $(TUNED),$(IMAGES)))
	$(BIN)/python bench/photographs.py run --workspace $(WORKSPACE) $(addprefix --images ,$(IMAGES)) $(addprefix --tuned ,$(TUNED))
	$(BIN)/python bench/photographs.py table

bench-scanners: $(READY)  ## measure what another scanner or pen does to verification (make bench-scanners WORKSPACE=path; minutes)
	$(BIN)/python bench/scanners.py --workspace $(WORKSPACE)

bench-serve: $(READY)  ## measure the service over HTTP (make bench-serve WORKSPACE=.; a minute)
	cd $(WORKSPACE) && $(CURDIR)/$(BIN)/siamese gallery build
	$(BIN)/python bench/serve.py --workspace $(WORKSPACE)

# The first queue chose these on validation.
FINALISTS ?= default images-128 pml-contrastive pml-proxy-anchor cross-entropy
study: $(READY)  ## compare settings and losses at a small budget, in queues of DVC experiments (two hours)
	$(BIN)/dvc repro pairs
	$(BIN)/python bench/study.py queue
	$(BIN)/python bench/study.py queue --split test --seeds 1 2 3 --contestants $(FINALISTS)

pins:  ## write the newest versions of all dependencies to constraints.txt
	rm -rf .venv-pins && $(PYTHON) -m venv .venv-pins
	.venv-pins/bin/python -m pip install --quiet --upgrade setuptools '.[dev]'
	# torch pins its own CUDA packages, which differ by platform: leave them out.
	.venv-pins/bin/python -m pip freeze --all --exclude siamese --exclude pip | grep -vE '^(nvidia-|cuda-|triton)' > constraints.txt
	rm -rf .venv-pins

clean:  ## remove the environment, the demo, logs and downloads (never results)
	rm -rf .venv .study .review .bench demo logs report data/downloads data/resume .mypy_cache .pytest_cache .ruff_cache .hypothesis
