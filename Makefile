# Everything runs from .venv; each target sets up what it needs, once.
PYTHON ?= python3
PY     := .venv/bin/python
DEMO   := demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: help demo test soak lint bench report
help:
	@echo "make demo     train the LSTM and, briefly, the GAN; walk between digits; name the pictures (a few minutes)"
	@echo "make test     the test suite"
	@echo "make soak     the test suite with all fault injections (longer)"
	@echo "make lint     ruff: style and format"
	@echo "make bench    how fast the LSTM by hand is, beside nn.LSTM (five minutes on a quiet machine)"
	@echo "make report   every run behind report.md anew, into outputs/ (hours; stopped, it goes on where it was)"

.venv/runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: .venv/runtime requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: .venv/runtime
	$(PY) part1/train.py --input_length 10 --out_dir outputs/part1/$(DEMO)-lstm
	$(PY) part2/train_gan.py --n_epochs 4 --out_dir outputs/part2/$(DEMO)-gan
	$(PY) part2/interpolate.py --out_dir outputs/part2/$(DEMO)-walks --checkpoint outputs/pretrained/generator
	@echo
	@echo "Pictures to open:"
	@echo "  outputs/part1/$(DEMO)-lstm/curves.png         the LSTM learns to remember the first of ten digits"
	@echo "  outputs/part2/$(DEMO)-gan/progress.png        the GAN's first four epochs, from noise to strokes"
	@echo "  outputs/part2/$(DEMO)-walks/walk-9-3-2.png    a walk 9 → 3 → 2 (the pretrained generator, 50 epochs)"

test: .venv/dev
	$(PY) -m pytest

soak: .venv/dev
	SOAK=1 $(PY) -m pytest

lint: .venv/dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

bench: .venv/runtime
	$(PY) part1/benchmark.py

# A run by curriculum in outputs/part1/report-curriculum-seedN: made, gone on with, or left as it is when finished; shown.
curriculum = { test -f $(1)/result.json || $(PY) part1/train.py --curriculum --one_hot --seed $(2) \
	`test -f $(1)/config.json && echo --resume $(1) || echo --out_dir $(1)`; } && \
	mkdir -p outputs/report/part1/curriculum/seed$(2) && \
	cp $(1)/*.json $(1)/metrics.jsonl outputs/report/part1/curriculum/seed$(2)/

gates = rm -rf $(1) && \
	$(PY) part1/show_gates.py --run outputs/part1/report-curriculum-seed0 --input_length $(2) --out_dir $(1) && \
	mkdir -p outputs/report/part1/gates-T$(2) && cp $(1)/*.* outputs/report/part1/gates-T$(2)/

# A GAN run in outputs/part2/report-RECIPE: made, gone on with, or left as it is when finished.
gan = test -f $(1)/result.json || $(PY) part2/train_gan.py $(2) \
	`test -f $(1)/config.json && echo --resume $(1) || echo --out_dir $(1)`

report: .venv/runtime
	$(PY) part1/sweep.py --networks lstm
	$(PY) part1/sweep.py --seeds 0 1 2
	$(foreach seed,0 1 2 3 4,$(call curriculum,outputs/part1/report-curriculum-seed$(seed),$(seed)) &&) true
	$(foreach length,10 1000,$(call gates,outputs/part1/report-gates-T$(length),$(length)) &&) true
	rm -rf outputs/part1/report-benchmark
	$(PY) part1/benchmark.py --rounds 5 --out_dir outputs/part1/report-benchmark
	mkdir -p outputs/report/part1/benchmark && cp outputs/part1/report-benchmark/*.* outputs/report/part1/benchmark/
	$(call gan,outputs/part2/report-reference,--recipe reference --n_epochs 200)
	$(call gan,outputs/part2/report-improved,--recipe improved --n_epochs 50)
	mkdir -p outputs/report/part1 outputs/pretrained/generator
	cd outputs/part1/sweep && cp sweep.csv table.md sweep.png curves.png ../../report/part1/
	for recipe in reference improved; do \
		run=outputs/part2/report-$$recipe; walks=outputs/part2/report-walks-$$recipe; shown=outputs/report/part2/$$recipe; \
		rm -rf $$walks && $(PY) part2/interpolate.py --checkpoint $$run --out_dir $$walks && mkdir -p $$shown/walks && \
		cp $$run/*.json $$run/*.png $$run/*.gif $$run/metrics.jsonl $$shown/ && cp $$walks/*.* $$shown/walks/ || exit 1; \
	done
	cp outputs/part2/report-improved/*.json outputs/pretrained/generator/
	$(PY) -c 'from pathlib import Path; from part2.networks import export_generator; \
	export_generator(Path("outputs/part2/report-improved/checkpoint.pt"), Path("outputs/pretrained/generator/checkpoint.pt"))'
