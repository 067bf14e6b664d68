# make run [DATA="file.root ..."]   the main job, on real files or on simulated events, with the recommended model
# make test                         the tests
# make venv                         only the environment; before SLURM jobs once, on the login node

PYTHON ?= python3
DATA ?=

.PHONY: run test real lint venv clean

run:
	bash example_exec.sh scripts/count_tracks.py $(DATA)

test: .venv/ready-dev
	.venv/bin/python -m pytest -n 2 -m "not real"

real: .venv/ready-dev
	.venv/bin/python -m pytest -n 2 -m real

lint: .venv/ready-dev
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

venv: .venv/ready

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q -r requirements.txt
	touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready
	.venv/bin/python -m pip install -q -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv *.egg-info
