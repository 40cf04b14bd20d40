# Front door: `make demo` fine-tunes a model on a real data set; `make test` checks the code. Nothing is installed outside .venv.
PYTHON ?= python3
TORCH ?= 2.13.0
VENV := .venv
BIN := $(VENV)/bin
# Linux without an NVIDIA GPU takes PyTorch's CPU wheels, a tenth of the download.
CPU_WHEELS := https://download.pytorch.org/whl/cpu

.PHONY: demo test test-slow check install dev clean

demo: install
	$(BIN)/xautolm fit examples/data/pros_cons.csv --target label --budget 4m --seed 0 --out "$(or $(OUT),runs/demo-$(shell date +%Y%m%d-%H%M%S))"

test: check
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=10

# Tests of many small trainings share the cores; those that limit, kill or time processes have the machine to themselves.
SHARING := tests/methods tests/test_matrix.py tests/evaluate/test_text_formulation.py
test-slow: dev
	$(BIN)/python -m pytest -q -m slow -n 2 --timeout=1200 --durations=10 $(SHARING)
	$(BIN)/python -m pytest -q -m slow --timeout=1200 --durations=10 $(addprefix --ignore=,$(SHARING)) tests

check: dev
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
	    $(BIN)/pip install -q --retries 1 --extra-index-url $(CPU_WHEELS) "torch==$(TORCH)+cpu" \
	        || $(BIN)/pip install -q torch==$(TORCH); \
	else $(BIN)/pip install -q torch==$(TORCH); fi
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install -q -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info
