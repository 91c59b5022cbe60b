# Proven Node.js. `make serve` and `make test` are all you need to know.
PYTHON ?= python3
PORT ?= 8000
TOPIC ?=
TITLE ?=
TIMES ?=
ROUNDS ?=
E ?=
CHECK ?=

# PYTHON= is meant for everything; without it, uv looks for one that will do
ASKED := $(filter command environment,$(firstword $(origin PYTHON)))
UV := UV_PYTHON_DOWNLOADS=never $(if $(ASKED),UV_PYTHON="$$(command -v $(PYTHON))") .uv/bin/uv
ONCE := $(PYTHON) .ci/once.py
RUN := .venv/bin/python -m lab
NEEDED := $(shell sed -n 's/^requires-python = ">=\(.*\),<\(.*\)"/\1 or newer, below \2,/p' pyproject.toml)
COMMA := ,
UV_PIN := uv$(shell sed -n 's/^uv = "\(.*\)".*/\1/p' pyproject.toml)
AGENTS := snippets/observability/agents
# only two topics have tests that want more than set-up gives
HEAVY := $(if $(filter-out hardening observability,$(TOPIC)),,heavy)
# Python keeps what it has compiled: some images say it shall not, and then each of some
# hundred processes compiles all that it imports, for seconds
unexport PYTHONDONTWRITEBYTECODE
# npm and node come from PyPI with everything else
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# a home that cannot be written to: what is downloaded is kept in here
ifneq ($(shell test -w "$$HOME" && echo writable),writable)
export UV_CACHE_DIR := $(CURDIR)/build/cache/uv
export npm_config_cache := $(CURDIR)/build/cache/npm
export PIP_NO_CACHE_DIR := 1
endif

.DEFAULT_GOAL := help
.PHONY: help setup serve check test pages outputs seal evidence exercise topic repeat versions bench map lighthouse notebook hooks site heavy clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: .venv/.ready snippets/node_modules/.ready ## install what the locks name, inside this folder

serve: .venv/.site ## the guide on 127.0.0.1:8000 with live reload (PORT=)
	@$(RUN) serve --port $(PORT)

check: setup ## what your change concerns: its gates and tests, in seconds to a minute
	@$(RUN) check

test: setup $(HEAVY) ## everything (TOPIC= for one topic)
	@$(RUN) test $(TOPIC)

pages: .venv/.site ## the fast gates, nothing is run
	@$(RUN) pages

outputs: setup ## rewrite the recorded output of snippets (TOPIC=)
	@$(RUN) outputs $(TOPIC)

seal: setup ## after reading what changed: seal it, run its counter-proofs (TOPIC=)
	@$(RUN) seal $(TOPIC)

evidence: setup ## record measured values and figures (TOPIC=)
	@$(RUN) evidence $(TOPIC)

exercise: setup ## check your copy of an exercise; start a diagnosis, CHECK=1 checks it (E=topic/name)
	@$(RUN) exercise $(or $(E),$(error say which one: make exercise E=topic/name)) \
	  $(if $(CHECK),--check) $(if $(filter command environment,$(firstword $(origin PORT))),--port $(PORT))

topic: setup ## start a topic (TOPIC=slug, TITLE= in the navigation)
	@$(RUN) topic $(or $(TOPIC),$(error say which one: make topic TOPIC=slug)) --title "$(TITLE)"

repeat: setup $(HEAVY) ## tests again and again, with counts (TOPIC=, TIMES= for a trial)
	@$(RUN) repeat $(TOPIC) $(if $(TIMES),--times $(TIMES))

versions: setup $(HEAVY) ## which answers change with another Node or Express 4 (TOPIC= for a trial)
	@$(RUN) versions $(TOPIC)

bench: setup ## what our own parts cost, as ratios, nothing else running (ROUNDS=)
	@$(RUN) bench $(if $(ROUNDS),--rounds $(ROUNDS))

map: setup ## draw the map of lab/ and its helpers in CONTRIBUTING.md
	@$(RUN) map

lighthouse: setup tests/lighthouse/node_modules/.ready ## audit the built site in Chromium (mobile)
	@$(RUN) lighthouse

notebook: setup ## open a topic's notebook in JupyterLab (TOPIC=)
	@$(RUN) notebook $(or $(TOPIC),$(error say which one: make notebook TOPIC=event-loop))

hooks: setup ## check what is committed, at each git commit
	@.venv/bin/pre-commit install

site: .venv/.site ## build the site into site/
	@$(RUN) site

heavy: setup $(foreach tool,ddapm wapiti,tests/tools/$(tool)/.venv/.ready) $(AGENTS)/node_modules/.ready ## what tests marked heavy need (whoever runs them calls it)

clean: ## remove what was made; set-up and work/ stay
	rm -rf build site

.uv/.ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "set-up: no '$(PYTHON)' here — install Python 3 with venv, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(ONCE) $@ $^ -- ' \
	  $(PYTHON) -m venv .uv >/dev/null || { echo "set-up: '\''$(PYTHON) -m venv'\'' failed — install Python'\''s venv (Debian: apt-get install python3-venv)" >&2; exit 1; }; \
	  echo "set-up: $(UV_PIN)"; \
	  .uv/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 "$(UV_PIN)" || { echo "set-up: could not install $(UV_PIN) — is the package index reachable?" >&2; exit 1; }'

# $(call uv_sync,WHAT IT IS,OPTIONS)
uv_sync = $(UV) python find >/dev/null 2>&1 || { echo "set-up: no Python $(NEEDED) here — install one (Debian and Ubuntu: apt-get install python3), or say make PYTHON=/path/to/python3" >&2; exit 1; }; \
	  echo "set-up: $(1)"; \
	  $(UV) sync --frozen $(2) || { echo "set-up: the Python packages could not be installed — uv says why above" >&2; exit 1; }

# what reading needs; more may be there already
.venv/.site: uv.lock | .uv/.ready
	@$(ONCE) $@ $^ -- '$(call uv_sync,what the site needs,--inexact --no-default-groups --group site)'

.venv/.ready: uv.lock | .uv/.ready
	@$(ONCE) $@ $^ -- '$(call uv_sync,Python packages and Node$(COMMA) as locked); touch .venv/.site'

# $(call npm_ci,FOLDER)
npm_ci = (cd $(1) && npm ci --no-progress --loglevel=error) || { echo "set-up: npm could not install what $(1) needs — is the npm registry reachable, and package-lock.json that of package.json?" >&2; exit 1; }

NPM_LOCKS := $(foreach folder,snippets snippets/_specimens,$(folder)/package.json $(folder)/package-lock.json)
snippets/node_modules/.ready: $(NPM_LOCKS) | .venv/.ready
	@$(ONCE) $@ $^ -- 'echo "set-up: npm packages, as locked"; $(call npm_ci,snippets); $(call npm_ci,snippets/_specimens)'

# only `make lighthouse` wants it, so set-up leaves it alone
tests/lighthouse/node_modules/.ready: tests/lighthouse/package.json tests/lighthouse/package-lock.json | .venv/.ready
	@$(ONCE) $@ $^ -- 'echo "set-up: Lighthouse, as locked"; $(call npm_ci,tests/lighthouse)'

# each wants versions that the guide's environment cannot have, so each has its own; where
# no Python that is here will do, its tests are skipped
tests/tools/%/.venv/.ready: tests/tools/%/uv.lock | .uv/.ready
	@$(ONCE) $@ $^ -- 'if $(UV) python find --project tests/tools/$* >/dev/null 2>&1; then echo "set-up: $*, as locked"; $(UV) sync --frozen --quiet --project tests/tools/$* || { echo "set-up: tests/tools/$* could not be installed — uv says why above"; exit 1; } >&2; else echo "set-up: $* wants a Python that is not here (requires-python in tests/tools/$*/pyproject.toml) — its tests are skipped"; mkdir -p tests/tools/$*/.venv; fi'

$(AGENTS)/node_modules/.ready: $(AGENTS)/package.json $(AGENTS)/package-lock.json | .venv/.ready
	@$(ONCE) $@ $^ -- 'echo "set-up: the agents of observability (290 MB), as locked"; $(call npm_ci,$(AGENTS))'
