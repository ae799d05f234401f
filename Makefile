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
	@echo "make bench    how fast a training step is in both parts, beside others (six minutes on a quiet machine)"
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
	@echo "  outputs/part2/$(DEMO)-walks/walk-9-3-2.png    a walk 9 → 3 → 2 (the pretrained generator, 200 epochs)"

test: .venv/dev
	$(PY) -m pytest

soak: .venv/dev
	SOAK=1 $(PY) -m pytest

lint: .venv/dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

bench: .venv/runtime
	$(PY) part1/benchmark.py
	$(PY) part2/benchmark.py

# A run by curriculum in outputs/part1/report-curriculum-NAME: made, gone on with, or left when finished; and shown.
curriculum = run=outputs/part1/report-curriculum-$(1) && \
	{ test -f $$run/result.json || $(PY) part1/train.py --curriculum $(2) \
	`test -f $$run/config.json && echo --resume $$run || echo --out_dir $$run`; } && \
	mkdir -p outputs/report/part1/curriculum/$(1) && cp $$run/*.json $$run/metrics.jsonl outputs/report/part1/curriculum/$(1)/

gates = rm -rf $(1) && \
	$(PY) part1/show_gates.py --run outputs/part1/report-curriculum-seed0 --input_length $(2) --out_dir $(1) && \
	mkdir -p outputs/report/part1/gates-T$(2) && cp $(1)/*.* outputs/report/part1/gates-T$(2)/

# One of Part 2's scripts, on a recipe's generator: into outputs/part2/report-SCRIPT-RECIPE, shown beside the run.
look = rm -rf outputs/part2/report-$(1)-$(2) && $(PY) part2/$(1).py --checkpoint $(3) \
	--out_dir outputs/part2/report-$(1)-$(2) && mkdir -p outputs/report/part2/$(2)/$(1) && \
	cp outputs/part2/report-$(1)-$(2)/*.* outputs/report/part2/$(2)/$(1)/

report: .venv/runtime
	$(PY) part1/sweep.py --networks lstm
	$(PY) part1/sweep.py --seeds 0 1 2
	$(foreach seed,0 1 2 3 4,$(call curriculum,seed$(seed),--one_hot --seed $(seed)) &&) true
	$(foreach seed,0 1 2,$(call curriculum,scalar-seed$(seed),--data_size 300000 --seed $(seed)) &&) true
	$(foreach length,10 1000,$(call gates,outputs/part1/report-gates-T$(length),$(length)) &&) true
	rm -rf outputs/part1/report-benchmark
	$(PY) part1/benchmark.py --rounds 5 --out_dir outputs/part1/report-benchmark
	mkdir -p outputs/report/part1/benchmark && cp outputs/part1/report-benchmark/*.* outputs/report/part1/benchmark/
	mkdir -p outputs/report/part1 && cd outputs/part1/sweep && cp sweep.csv table.md sweep.png curves.png ../../report/part1/
	$(PY) part2/compare.py --recipes reference improved
	$(PY) part2/compare.py --recipes reference_rmsprop --seeds 0 1
	$(PY) part2/compare.py --n_epochs 20 --eval_interval 5 --out_dir outputs/part2/levers
	$(PY) part2/compare.py --recipes improved --n_epochs 10 --eval_interval 1 --out_dir outputs/part2/soon
	$(PY) part2/compare.py --recipes improved --n_epochs 20 --eval_interval 5 --precision bf16 --out_dir outputs/part2/bf16
	cd outputs/part2 && for file in $(foreach name,compare levers soon bf16, \
		$(name)/*.* $(name)/runs/*/*.json* $(name)/runs/*/samples.png); do \
		mkdir -p ../report/part2/`dirname $$file` && cp $$file ../report/part2/$$file || exit 1; \
	done
	for recipe in reference improved; do \
		mkdir -p outputs/report/part2/$$recipe && cd outputs/part2/compare/runs/$$recipe-seed0 && \
		cp progress.png curves.png training.gif ../../../../report/part2/$$recipe/ && cd - || exit 1; \
	done
	rm -rf outputs/pretrained/generator && mkdir outputs/pretrained/generator && \
	cp outputs/part2/compare/runs/improved-seed0/*.json outputs/pretrained/generator/
	$(PY) -c 'from pathlib import Path; from part2.networks import export_generator; \
	export_generator(Path("outputs/part2/compare/runs/improved-seed0/checkpoint.pt"), \
	Path("outputs/pretrained/generator/checkpoint.pt"))'
	$(foreach script,evaluate interpolate, \
	$(call look,$(script),reference,outputs/part2/compare/runs/reference-seed0) && \
	$(call look,$(script),improved,outputs/pretrained/generator) &&) true
	rm -rf outputs/part2/report-benchmark
	$(PY) part2/benchmark.py --out_dir outputs/part2/report-benchmark
	mkdir -p outputs/report/part2/benchmark && cp outputs/part2/report-benchmark/*.* outputs/report/part2/benchmark/
