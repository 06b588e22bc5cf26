# make run    a real service of several processes, under load, patched with real fixes through files (KEEP=1 leaves it running)
# make test   everything that must hold, in a few minutes (RETRY=1: a failed measurement of time is taken once more, named and written
#             to test-retries.log; nothing else is ever run again. REQUIRE=1: 3.14 or 3.15 skipped is a failure)
# make pythons  3.14 and 3.15 out of Debian's archive into .venvs/pythons, where the machine has none; every target below that runs on
#             "every CPython here" uses them, and make test, which makes this one first
# make test-3.N  all tests with klpfs and the programs on CPython 3.N: test-3.15 (make test runs a part of them on 3.14 and 3.15)
# make lint   ruff and mypy, which it installs in .venv
# make kernel the scenarios that a real Linux kernel answered, step by step (PROCESSES=n: by a service of n processes)
# make faults  processes and daemons killed, stopped, out of descriptors, a full disk, at every step of every operation (CASES="text": some)
# make attacks every known attack on service, daemon and mount, random ones, and loads and imports cut off at an instruction, on every CPython
#             here: nothing hangs, grows or is disturbed (ATTACKS="name item kind": these, SEED=n, COUNT=n random ones of each kind, 0: every
#             instruction, PYTHONS="3.9 3.13"); takes root
# make processes how processes join a service and live in it: every case
# make scripts the shell scripts of tests/scripts through `klpfs exec`, as for a kernel (SCRIPTS='load busy': these)
# make stress many threads, tasks and generators against patches that come and go, on every CPython here (SECONDS=n each)
# make corpus real security releases, built into livepatches, loaded into running programs and taken out (ENTRIES="a b": some; SUITES=1: their tests);
#             takes ../shared/corpus, the list of them, beside the project; LIST=releases: pairs of 2025 and 2026 (tests/corpus/releases.json),
#             LIST=more: older ones, which need nothing beside it
# make cases  small pairs of releases of every kind that klpfs was once wrong about, and random ones, on every CPython here: each carried and taken
#             back exactly, or refused by place and reason (PYTHONS="3.9 3.14", NAMES="cache module": these, SEED=n, COUNT=n random ones)
# make servers real servers under load, patched and reverted: no request fails, nothing grows (CYCLES=n, NAMES="sync gevent",
#             SERVERS_PYTHON=python3.13: what runs them; without, .venv's, and aiohttp on the newest CPython here from 3.12 on)
# make cpython  a sample of CPython's own tests (asyncio, threading, coroutines, annotations, interpreters ...) on 3.14 and 3.15, alone and while
#             livepatches of the modules that they test come and go: nothing differs, case by case, without a known reason (PYTHONS="3.13 3.15",
#             ROWS="threading tasks": these, SEED=n). Debian's package of the tests is fetched beside an interpreter where that has none
# make bare   make run and make test on bare Debian machines, made in .bare; takes root (RELEASES="bookworm", ACCOUNTS="root user", TARGETS="servers bench",
#             MAKE_ARGS="CYCLES=1": others)
# make bench  what klpfs costs, each figure beside its goal; writes bench.json
# make docs   docs/STATES.md, from the tables of the code
# make clean  takes back what these made, but for the interpreters of make pythons (.venvs/pythons)

PYTHON ?= python3
SECONDS ?= 60
CYCLES ?= 8
NAMES ?=
SERVERS_PYTHON ?=
KEEP ?=
PROCESSES ?= 1
CASES ?=
ATTACKS ?=
SEED ?= 1
COUNT ?= 100
PYTHONS ?=
PYTEST_ARGS ?=
SCRIPTS ?=
ENTRIES ?=
LIST ?=
SUITES ?=
ROWS ?=
RELEASES ?=
ACCOUNTS ?=
TARGETS ?=
MAKE_ARGS ?=

PY = .venv/bin/python

.PHONY: run pythons test lint kernel faults attacks cases processes scripts stress servers corpus cpython bare bench docs clean
.DEFAULT_GOAL := test

run: .venv/ready
	KEEP="$(KEEP)" $(PY) -m demo

pythons:
	scripts/pythons

test: .venv/ready
	scripts/test $(PYTEST_ARGS)

test-3.%:
	scripts/test-python 3.$* $(PYTEST_ARGS)

lint: .venv/lint
	$(PY) -m ruff check .
	$(PY) -m mypy

kernel: .venv/ready
	PROCESSES=$(PROCESSES) $(PY) tests/kernel/scenarios.py tests/kernel/world.py > .venv/kernel.jsonl && $(PY) tests/kernel/compare.py .venv/kernel.jsonl

faults: .venv/ready
	$(PY) -m tests.faults --only $(if $(CASES),"$(CASES)")

attacks: .venv/ready
	$(PY) -m tests.attacks --seed $(SEED) --count $(COUNT) $(if $(ATTACKS),--attacks $(ATTACKS)) $(if $(PYTHONS),--pythons $(PYTHONS))

cases: .venv/ready
	$(PY) -m tests.cases --seed $(SEED) --count $(COUNT) $(if $(PYTHONS),--pythons $(PYTHONS)) $(NAMES)

processes: .venv/ready
	$(PY) -m pytest -n auto tests/integration/test_processes*.py $(PYTEST_ARGS)

scripts: .venv/ready
	tests/scripts/run $(SCRIPTS)

stress: .venv/ready
	scripts/stress $(SECONDS)

corpus: .venv/ready
	$(PY) -m tests.corpus $(ENTRIES) $(if $(LIST),--$(LIST)) $(if $(SUITES),--suites)

servers: .venv/ready
	$(PY) -m tests.servers -c $(CYCLES) $(if $(SERVERS_PYTHON),-p $(SERVERS_PYTHON)) $(NAMES)

cpython: .venv/ready
	$(PY) -m tests.cpython_suite --seed $(SEED) $(if $(PYTHONS),--pythons $(PYTHONS)) $(if $(ROWS),--rows $(ROWS))

bare:
	RELEASES="$(RELEASES)" ACCOUNTS="$(ACCOUNTS)" TARGETS="$(TARGETS)" MAKE_ARGS="$(MAKE_ARGS)" KEEP="$(KEEP)" scripts/bare

bench: .venv/ready
	$(PY) -m bench

docs: .venv/ready
	$(PY) scripts/states > .venv/STATES.md && cp .venv/STATES.md docs/STATES.md

clean:
	[ ! -d .venvs ] || find .venvs -mindepth 1 -maxdepth 1 ! -name pythons -exec rm -rf {} +
	rm -rf .venv .bare build dist bench.json test-retries.log *.egg-info .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/lint: .venv/ready
	$(PY) -m pip install -q --disable-pip-version-check -e '.[lint]'
	touch $@

.venv/ready: setup.cfg pyproject.toml scripts/setup scripts/system
	PYTHON="$(PYTHON)" scripts/setup
	touch $@
