# `make help` lists the targets. Python packages go into .venv; nothing is installed outside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HDRBENCH := $(BIN)/hdrbench
# For tests in a browser: axe-core looks over a page, onnxruntime-web runs an exported model. npm's own
# cache stays in .venv too.
NPM := npm install --silent --no-save --ignore-scripts --no-update-notifier \
  --cache $(VENV)/npm-cache --fetch-retries 1
AXE := $(NPM) --prefix $(VENV)/axe axe-core@4.14.1
ONNX_WEB := $(NPM) --prefix $(VENV)/onnxruntime-web onnxruntime-web@1.30.0
RECIPES := demo-retouch demo-retouch-pointwise demo-retouch-pyramid demo-local-laplacian demo-hdrplus
# From the coarsest grid to the finest, then the two other variants.
GRIDS := bsds500-l4s8 bsds500-l8s16 bsds500-l8s32 bsds500-l16s32
EXPERIMENT := $(GRIDS) bsds500-pointwise bsds500-pyramid
# The bound of the finest grid takes ten seconds a picture, four times the next one's.
BOUNDED := $(filter-out bsds500-l16s32,$(GRIDS))
SOME_SIZES := $(addprefix --resolution ,640x480 1920x1080 3840x2160 4000x3000)
# Removed and made anew by the demo, so that no command line moves it.
override DEMO_RESULTS := build/demo/results

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults fuzz lint report report-check results experiment bsds500-there gpu-pack gpu-check dist clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(STAMP)  ## make .venv and install the package with everything it needs

$(STAMP): pyproject.toml $(wildcard hdrnet_bench/slicing/kernels/*.cpp hdrnet_bench/slicing/kernels/*.h)
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(None if v >= (3, 11) else "Python 3.11 or newer is needed, $(PYTHON) is %d.%d: make setup PYTHON=..." % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@$(AXE) || echo "axe-core was not installed (needs npm): the test of the page with it is skipped"
	@$(ONNX_WEB) || echo "onnxruntime-web was not installed (needs npm): its tests are skipped"
	@touch $(STAMP)

demo: export HDRBENCH_RESULTS := $(DEMO_RESULTS)
demo: setup  ## prepare, train, evaluate, time, report, and a page to try the model, into build/demo
	$(HDRBENCH) prepare demo
	$(HDRBENCH) verify demo-retouch
	$(HDRBENCH) train demo-retouch --run demo --overwrite
	rm -rf $(DEMO_RESULTS)
	$(HDRBENCH) eval demo-retouch/demo
	$(HDRBENCH) time demo-retouch/demo --resolution 640x480 --resolution 1920x1080
	$(HDRBENCH) report
	$(HDRBENCH) export demo-retouch/demo build/demo/try-it.html --format web --overwrite
	@echo "Look at $(DEMO_RESULTS)/report.html; open build/demo/try-it.html in a browser and drop a photo"

# Two tests at a time, each with one thread, take little more than half the time.
test: setup  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --faults check

faults: setup  ## inject all faults that are tested, and count them in tests/README.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m fault --faults write

FUZZ_MINUTES ?= 10
fuzz: setup  ## mutate pictures of every kind for FUZZ_MINUTES; what is found goes to build/fuzz
	$(BIN)/python -m tests.pictures.fuzz --minutes $(FUZZ_MINUTES)

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

report: setup  ## make the report in results/ from the result files there; also report-private.html
	$(HDRBENCH) report --private --insert README.md

report-check: setup  ## whether the committed tables, figures and page are what the result files give
	$(HDRBENCH) report --check --insert README.md

results: setup  ## measure again what is committed: the demo recipes, trained, evaluated, timed
	$(HDRBENCH) prepare demo
	$(HDRBENCH) prepare demo --protocol local-laplacian
	$(HDRBENCH) prepare synthetic-hdrplus
	for recipe in $(RECIPES); do $(HDRBENCH) train $$recipe --overwrite || exit; done
	$(HDRBENCH) eval --overwrite
	for recipe in demo-retouch demo-local-laplacian demo-hdrplus; do \
	  for baseline in affine grid; do \
	    $(HDRBENCH) eval $$recipe --baseline $$baseline --overwrite || exit; \
	  done || exit; \
	done
	$(HDRBENCH) time demo-retouch/seed-0 --backend native --backend reference --backend compiled
	for recipe in $(filter-out demo-retouch,$(RECIPES)); do \
	  $(HDRBENCH) time $$recipe/seed-0 --backend native $(SOME_SIZES) || exit; \
	done
	$(HDRBENCH) time --kernels --save
	$(HDRBENCH) export demo-retouch/seed-0 results/try-it.html --format web --overwrite
	$(HDRBENCH) recipes --markdown > recipes/README.md
	$(HDRBENCH) report --private --insert README.md

bsds500-there:
	@test -d '$(BSDS500)' || { echo 'make experiment BSDS500=DIR: the extracted archive of BSDS500'; exit 2; }

# BSDS500 is the folder of the extracted archive. Two trainings at a time, each with one thread, take
# little more than half the time.
experiment: bsds500-there setup  ## the local Laplacian experiment again: BSDS500=DIR, its archive
	$(HDRBENCH) prepare bsds500 --source-dir '$(BSDS500)'
	$(HDRBENCH) verify bsds500-local-laplacian
	printf '%s\n' $(EXPERIMENT) | OMP_NUM_THREADS=1 xargs -n 1 -P 2 $(HDRBENCH) train --overwrite
	$(HDRBENCH) eval bsds500-l8s16 --baseline affine --overwrite
	for recipe in $(BOUNDED); do $(HDRBENCH) eval $$recipe --baseline grid --overwrite || exit; done
	for recipe in $(EXPERIMENT); do $(HDRBENCH) eval $$recipe --overwrite || exit; done
	$(HDRBENCH) compare bsds500-l8s16 bsds500-l4s8
	$(HDRBENCH) compare bsds500-l8s32 bsds500-l8s16
	$(HDRBENCH) compare bsds500-l16s32 bsds500-l8s32
	$(HDRBENCH) report --private --insert README.md

GPU_PYTHON ?= 3.12
gpu-pack: setup  ## for gpu-check without a package index: wheels and sources in build/gpu
	$(BIN)/python tests/gpu/check.py --make-pack $(GPU_PYTHON) --also '$(GPU_ALSO)'

# With OFFLINE=1 by $(PYTHON), its torch and what gpu-pack made elsewhere; else in .venv.
GPU_OUT ?= build/gpu-check
gpu-check: $(if $(OFFLINE),,setup)  ## on a machine with a GPU: tests, memory errors, timing, training
ifdef OFFLINE
	PYTHON='$(PYTHON)' sh build/gpu/run $(GPU_OUT) $(PARTS)
else
	$(BIN)/python -m pip install --quiet --editable '.[dev,cuda]'
	$(BIN)/python tests/gpu/check.py --out $(GPU_OUT) $(PARTS)
endif

# From the commit, so that nothing goes along that git does not know: a private picture, a result that
# was not committed. The wheel is built from the sdist, and so lacks what that lacks.
dist: setup  ## wheel and sdist of the commit (not of uncommitted changes), in build/dist
	rm -rf build/dist
	mkdir -p build/dist/source
	git archive HEAD | tar -x -C build/dist/source
	$(BIN)/python -m build --no-isolation --outdir build/dist build/dist/source
	rm -rf build/dist/source

clean:  ## remove what make demo, dist, fuzz, gpu-pack and gpu-check wrote (not data/, runs/ or .venv)
	rm -rf build/demo build/dist build/gpu build/gpu-check build/fuzz
	@rmdir build 2>/dev/null || true
