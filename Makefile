# `make demo` and `make test` need Python >= 3.10 and nothing else; all the rest comes as wheels.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
# One more than cores: trainings in processes of their own wait a while. 11 to 12 minutes on two cores.
JOBS ?= 3
# What a file or a net's name has made is made once: its tests go to one worker, in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder

.PHONY: demo test sweep lint bench docs install

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --only-binary :all: -e '.[mm,dev]'
	touch $@

# Trains Faster R-CNN with MobileNetV3-Large-FPN on generated images; results in $(DEMO)/.
demo: install
	$(BIN)/mmbackbones demo --work-dir $(DEMO)

# Memory that a net has used is used again instead of being given back: half of the time of big ones is saved.
test sweep: export MALLOC_MMAP_THRESHOLD_ = 33554432
test sweep: export MALLOC_TRIM_THRESHOLD_ = 8000000000
# Bytecode is kept for the processes that tests start.
test sweep: export PYTHONDONTWRITEBYTECODE =

test: install
	$(PYTEST)

# The contract on every name of the catalog, not only the smallest of each family: an hour or two.
# What has passed with the same code is left out; FRESH=1 starts over, ARGS="-k resnet" takes a part.
SWEPT := alignment catalog contract_export contract_freezing contract_maps contract_training equal_upstream finetune_layer_decay frozen_fraction pairs
# What takes all configs and pairs, not one of each kind, in place of names.
WHOLE := alignment_open_set base_names bench bench_tables boards_page cli_stops compose configs demo equal_detectors export export_heads filling finetune_recipes_training heads_detection_parts heads_segmentation heads_segmentation_export house leaderboard_executors leaderboard_measure leaderboard_training ops_families own_pairs siblings_tools site together torchvision_models whole_way
sweep: export MMBACKBONES_SWEEP = 1
sweep: export MMBACKBONES_SWEEP_FILE = build/sweep.jsonl
sweep: install
	$(if $(FRESH),rm -f $(MMBACKBONES_SWEEP_FILE))
	$(PYTEST) $(SWEPT:%=tests/test_%.py) $(ARGS); \
	done=$$?; $(BIN)/python docs/sweep_table.py; exit $$done
	MMBACKBONES_SWEEP_FILE= $(PYTEST) $(WHOLE:%=tests/test_%.py)

# mypy wants one folder per package: build/lint/mmbackbones links the three source folders.
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lint && mkdir -p build/lint/mmbackbones
	ln -s $(CURDIR)/plugin/* $(CURDIR)/necks $(CURDIR)/configs build/lint/mmbackbones/
	MYPYPATH=build/lint $(BIN)/mypy -p mmbackbones

# The site, in build/docs/index.html: nothing is fetched, and a warning is an error.
docs: install
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

bench: install
	$(BIN)/mmbackbones bench --out build/bench
