# `make demo` and `make test` need Python >= 3.10 and nothing else; all the rest comes as wheels.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: demo test sweep lint bench install

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --only-binary :all: -e '.[mm,dev]'
	touch $@

# Trains Faster R-CNN with MobileNetV3-Large-FPN on generated images; results in $(DEMO)/.
demo: install
	$(BIN)/mmbackbones demo --work-dir $(DEMO)

test: install
	$(BIN)/python -m pytest -n $(JOBS)

# The contract on every name of the catalog, not only the smallest of each family: an hour or two.
SWEPT := alignment catalog contract_maps contract_training
sweep: install
	MMBACKBONES_SWEEP=1 $(BIN)/python -m pytest -n $(JOBS) $(SWEPT:%=tests/test_%.py)

# mypy wants one folder per package: build/lint/mmbackbones links the three source folders.
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lint && mkdir -p build/lint/mmbackbones
	ln -s $(CURDIR)/plugin/* $(CURDIR)/necks $(CURDIR)/configs build/lint/mmbackbones/
	MYPYPATH=build/lint $(BIN)/mypy -p mmbackbones

bench: install
	$(BIN)/python -m mmbackbones.bench
