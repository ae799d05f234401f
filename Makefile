# Everything runs from .venv; each target sets up what it needs, once.
PYTHON ?= python3
PY     := .venv/bin/python
PIP    := env -u PIP_USER -u PIP_PREFIX -u PIP_TARGET $(PY) -m pip --disable-pip-version-check install --quiet
RUNS   := $(shell $(PY) -c "print(1)" 2>/dev/null)# empty if there is no .venv, or its Python is gone
DEMO   := outputs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: help demo test soak lint bench report
help:
	@echo "make demo     prove a memory; train the GAN briefly; walk between digits; list the pictures (minutes)"
	@echo "make test     the test suite (minutes)"
	@echo "make soak     the test suite with all fault injections (longer)"
	@echo "make lint     ruff: style and format"
	@echo "make bench    how fast a training step is, in both parts (minutes, on a quiet machine)"
	@echo "make report   make the runs of outputs/report that are not in its tables (days)"

.venv/runtime: requirements.txt $(if $(RUNS),,always)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@[ ! -e .venv ] || [ -f .venv/pyvenv.cfg ] || { echo ".venv is no virtual environment; move it away"; exit 1; }
	@$(PY) -c 'import pip' 2>/dev/null || \
		{ echo "$(PYTHON) -m venv .venv"; $(PYTHON) -m venv $(if $(RUNS),,--clear) .venv; } || \
		{ echo "Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PIP) -r requirements.txt
	@touch $@

always:

.venv/dev: .venv/runtime requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

demo: .venv/runtime
	$(PY) part1/train_proved.py --data_size 500 --out_dir $(DEMO)/lstm
	$(PY) part1/certify.py --run $(DEMO)/lstm --out_dir $(DEMO)/proof
	$(PY) part2/train_gan.py --n_epochs 4 --out_dir $(DEMO)/gan
	$(PY) part2/interpolate.py --out_dir $(DEMO)/walks --run outputs/pretrained/generator
	@echo
	@echo "Pictures to open:"
	@echo "  $(DEMO)/proof/sets.png          an LSTM's memory: ten sets that no digit leads out of, one for each first digit"
	@echo "  $(DEMO)/gan/progress.png        the GAN's first four epochs, from noise to strokes"
	@echo "  $(DEMO)/walks/walk-9-3-2.png    a walk 9 → 3 → 2 (the pretrained generator, 200 epochs)"

test: .venv/dev
	$(PY) -m pytest

soak: .venv/dev
	SOAK=1 $(PY) -m pytest

lint: .venv/dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

bench: .venv/runtime
	$(PY) benchmark.py lstm
	$(PY) benchmark.py gan

report: .venv/runtime
	$(PY) make_report.py
