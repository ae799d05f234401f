# Everything runs from .venv; each target sets up what it needs, once.
PYTHON ?= python3
BIN    := .venv/bin
DEMO   := demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: help demo test lint
help:
	@echo "make demo    train the LSTM and, briefly, the GAN; walk between digits; name the pictures (a few minutes)"
	@echo "make test    the whole test suite"
	@echo "make lint    ruff: style and format"

.venv/runtime: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/dev: .venv/runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: .venv/runtime
	$(BIN)/python part1/train.py --input_length 10 --out_dir outputs/part1/$(DEMO)-lstm
	$(BIN)/python part2/train_gan.py --n_epochs 4 --out_dir outputs/part2/$(DEMO)-gan
	$(BIN)/python part2/interpolate.py --out_dir outputs/part2/$(DEMO)-walks
	@echo
	@echo "Pictures to open:"
	@echo "  outputs/part1/$(DEMO)-lstm/curves.png          the LSTM learns to remember the first of ten digits"
	@echo "  outputs/part2/$(DEMO)-gan/progress.png         the GAN, from noise to first digits"
	@echo "  outputs/part2/$(DEMO)-walks/walk-9-3-2.png     a walk 9 → 3 → 2 through latent space"

test: .venv/dev
	$(BIN)/python -m pytest

lint: .venv/dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
