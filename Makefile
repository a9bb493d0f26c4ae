# make            this help
# make run        install into .venv, execute the notebooks, end with the table of results
# make notebook   install and open JupyterLab
# make check      install, then ruff and the quick tests: while you change something
# make test       install, then ruff and all tests (make tests is the same)
# make executed   run all notebooks once; keep copies with outputs in docs/executed
# make gallery    the executed copies as web pages, in site/
# make stamp      write the repository's address into notebooks and README
# make colab-check    what works with the versions that Colab has (Python 3.13, 6 GB)
# make lowest-check   what works with the lowest versions of requirements.txt (Python 3.11, 7 GB)
# make clean      remove results and caches; make distclean also .venv folders, runs and data
#
# Options: make run ARGS="--only 01 03 --dataset stl10"; make PYTHON=/path/to/python3.12 run

PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& echo "$$name" && break; done)
VENV := .venv
# uv where it is installed: the same packages in a fraction of the time.
TOOL := $(if $(shell command -v uv 2>/dev/null),uv,pip)
INSTALL_uv := uv pip install --python $(VENV)/bin/python
INSTALL_pip := $(VENV)/bin/python -m pip install --disable-pip-version-check
# Their output goes to a file, under one line of progress.
INSTALL := $(VENV)/bin/python scripts/quietly.py $(VENV)/install.log $(INSTALL_$(TOOL)) \
	-c constraints.txt
# One process a core; the tests of a file stay together, for they share what is costly to make.
PYTEST := $(VENV)/bin/python -m pytest --quiet --numprocesses logical --dist loadfile \
	--no-loadscope-reorder
ARGS ?=
# The Pythons of Colab and of the lowest versions, and what to say when one is not there.
PYTHON313 ?= python3.13
PYTHON311 ?= python3.11
need = "$(PYTHON$(1))" -c 'import sys; sys.exit("%d%d" % sys.version_info[:2] != "$(1)")' \
	2>/dev/null || { echo "error: $(PYTHON$(1)) starts no Python $(2): install one" \
	"(such as pyenv install $(2), or https://www.python.org) and name it if it is elsewhere:" \
	"make $@ PYTHON$(1)=/path/to/python$(2)" >&2; exit 2; }

# The kernels of notebooks are those of .venv, whatever else is installed for this user.
export JUPYTER_PREFER_ENV_PATH := 1
# Compiled code is kept: the tests start Python hundreds of times.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run notebook check test tests executed gallery stamp colab-check lowest-check clean distclean
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

run: $(VENV)/.installed
	@$(VENV)/bin/python -m helpers run $(ARGS)

notebook: $(VENV)/.installed-dev
	@$(VENV)/bin/jupyter lab --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/01_resnet18_baseline.ipynb $(ARGS)

check: $(VENV)/.installed-dev
	@$(VENV)/bin/ruff check .
	@$(PYTEST) -m "not slow" $(ARGS)

test: $(VENV)/.installed-dev
	@$(VENV)/bin/ruff check .
	@$(PYTEST) $(ARGS)

tests: test

executed: $(VENV)/.installed-dev
	@$(VENV)/bin/python -m scripts.executed $(ARGS)

gallery: $(VENV)/.installed
	@$(VENV)/bin/python -m scripts.gallery $(ARGS)

stamp: $(VENV)/.installed
	@$(VENV)/bin/python -m scripts.stamp $(ARGS)

colab-check:
	@$(call need,313,3.13)
	@"$(PYTHON313)" tests/colab/check.py colab $(ARGS)

lowest-check:
	@$(call need,311,3.11)
	@"$(PYTHON311)" tests/colab/check.py lowest $(ARGS)

clean:
	rm -rf results .pytest_cache .ruff_cache .hypothesis
	find helpers tests notebooks benchmarks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .venv-colab .venv-lowest runs data

$(VENV)/bin/pip:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: Python 3.11 or newer is needed, found" \
	       "`"$(or $(PYTHON),python3)" --version 2>&1 || true`." \
	       "Install it from https://www.python.org, or name one:" \
	       "make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "making $(VENV) with `"$(PYTHON)" --version`"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: $(PYTHON) cannot make a virtual environment." \
	       "On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 2; }

$(VENV)/.installed: requirements.txt requirements-extra.txt constraints.txt | $(VENV)/bin/pip
	@echo "installing with $(TOOL) into $(VENV): several GB with torch, minutes the first time"
	@$(INSTALL) -r requirements.txt -r requirements-extra.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "installing with $(TOOL) what the tests and JupyterLab need"
	@$(INSTALL) -r requirements-dev.txt
	@touch $@
