# The front door. Each target sets up .venv first: that takes minutes once, and nothing after.
# Another Python: make PYTHON=python3.12 book.  Options for JupyterLab: make lab LAB="--no-browser --port=8890"
PYTHON ?= python3
LAB ?=
BENCH ?=
FIGURE ?=
PYTEST = .venv/bin/python -m pytest -n 2

.PHONY: help book pdf public figure film check test lab bench pages audit claims-bite faults twice newest mutants clean environment

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' Makefile

book: environment ## run every chapter and build the site
	.venv/bin/python -m notes.site.build

pdf: book ## print the whole book into one file, _build/pdf/sampling-with-a-score.pdf (needs Chromium)
	.venv/bin/python -m notes.site.pdf

public: book ## make the site as it is published, in _build/public: with the PDF to download
	.venv/bin/python -m notes.site.public

figure: environment ## draw one figure alone: make figure FIGURE=langevin.bias
	@.venv/bin/python -m notes.site.figure $(FIGURE)

film: environment ## draw the moving picture of the README anew, from the landing page's figure
	.venv/bin/python -m notes.site.film

check: environment ## run the tests that need no build and no browser, a minute: after each edit
	$(PYTEST) -m "not built"

test: environment ## run every test
	$(PYTEST)

# One thread in its kernels, as in the build's: several threads wait for each other where something else runs.
lab: environment ## open the chapters in JupyterLab, as notebooks
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 .venv/bin/jupyter-lab --ip=localhost --LabApp.default_url=/lab/tree/book \
	--LabApp.workspaces_dir=.venv/share/jupyter/lab/workspaces $(LAB)

bench: environment ## measure the package beside its peers, a quarter of an hour: make bench BENCH="langevin training"
	@"$(PYTHON)" tools/environment.py bench benchmarks/requirements.txt
	.venv-bench/bin/python benchmarks/run.py $(BENCH)

pages: environment ## measure what each page of the built site costs its reader, 5 minutes on a quiet machine
	@.venv/bin/python tools/pages.py

audit: environment ## ask whether a pinned version has a known vulnerability (needs the network)
	@.venv/bin/python tools/audit.py

claims-bite: environment ## make each claim of the book fail, by a slip in the package
	.venv/bin/python tests/bite.py

faults: environment ## kill, starve and damage builds and kernels, and see them end well
	.venv/bin/python -m pytest tests/faults

twice: environment ## build the book twice and compare; then run it with more threads
	.venv/bin/python benchmarks/twice.py

newest: environment ## test the package with the newest numpy, matplotlib and ipywidgets
	.venv/bin/python tools/newest.py

mutants: ## see that some test fails for each slip that could be made in the package
	@"$(PYTHON)" tools/environment.py mutants tests/mutants/requirements.txt
	.venv-mutants/bin/python -m pytest tests/mutants/check_slips.py
	.venv-mutants/bin/python tests/mutants/run.py

clean: ## forget the site and every cache (the environment stays: rm -r .venv)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -prune -exec rm -rf {} +

environment: ## set up .venv and no more
	@command -v "$(PYTHON)" > /dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or later," \
	"or name the one you have: make PYTHON=python3.11 book" >&2; exit 1; }
	@"$(PYTHON)" tools/environment.py
