# From a fresh machine: `make demo`, `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= auto
FACES ?= ../shared/faces
SEED ?= 0
# demo and docs read the same versions that the tests ran with
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PINS := setup.cfg pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo demo-train test test-all test-min test-train lint audit-deps dev figures docs bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## photographs to a verified set of blends, in demo/
	$(BIN)/faceblend demo --out demo

demo-train: $(VENV)-train/.done ## photographs to a tested detector: 15 minutes on two cores
	$(VENV)-train/bin/xray-train demo --faces $(FACES) --out demo-train --seed $(SEED)

test: $(VENV)/.test ## the tests, apart from the slow ones
	$(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses 8 -m "not slow"

test-all: $(VENV)/.test ## every test
	$(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses 8

test-min: $(VENV)-min/.done ## the tests with the lowest versions that setup.cfg allows
	$(VENV)-min/bin/python -m pytest -q -n $(WORKERS) --maxprocesses 8 -m "not slow" \
		-W ignore::DeprecationWarning # of old versions beside new ones

test-train: $(VENV)-train/.done ## the trainers' tests with timm, which brings 6 GB of CUDA
	$(VENV)-train/bin/python -m pytest -q tests/xray_train xray_train

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

audit-deps: $(VENV)-audit/.done ## known vulnerabilities of what constraints.txt pins; asks PyPI
	$(VENV)-audit/bin/pip-audit --strict --disable-pip --no-deps -r constraints.txt

dev: $(VENV)/.dev ## everything a developer needs, with the pre-commit hook
	$(BIN)/pre-commit install

figures: $(VENV)/.demo ## draw the figures of README and docs again
	$(BIN)/python docs/figures.py
	$(BIN)/python docs/performance.py

docs: $(VENV)/.docs ## the site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet # a notice of Material's, not of ours

bench: $(VENV)/.demo ## time the generator on the demo's faces
	$(BIN)/faceblend demo --out demo > /dev/null
	$(BIN)/faceblend bench generate demo/bank

clean: ## remove what these targets made
	rm -rf $(VENV) $(VENV)-min $(VENV)-train $(VENV)-audit demo demo-train site

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python $(PINS)
	$(INSTALL) -e '.[landmarks]'
	@touch $@

# all that the loop needs; the networks need timm, that torchvision, and that torch's CUDA build
$(VENV)/.test: $(BIN)/python $(PINS)
	$(INSTALL) -e '.[landmarks,test]' torch tensorboard 'jsonargparse[signatures]' safetensors
	@touch $@

$(VENV)-min/.done: setup.cfg pyproject.toml constraints-min.txt
	$(PYTHON) -m venv $(VENV)-min
	$(VENV)-min/bin/pip install --quiet --disable-pip-version-check \
		-c constraints-min.txt -e '.[landmarks,test,audit]'
	@touch $@

# another torch than the tests': pip chooses the one that torchvision fits
$(VENV)-train/.done: $(PINS)
	$(PYTHON) -m venv $(VENV)-train
	grep -v ^torch== constraints.txt > $(VENV)-train/constraints.txt
	$(VENV)-train/bin/pip install --quiet --disable-pip-version-check \
		-c $(VENV)-train/constraints.txt -e '.[landmarks,train,export,test]'
	@touch $@

# apart from the others: what audits is no part of what is audited
$(VENV)-audit/.done:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.10'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(INSTALL) -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(INSTALL) -e '.[docs]'
	@touch $@
