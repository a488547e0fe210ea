# The same words here, in the README and in CI.
.PHONY: test-loops release-check ranges docs test-docs check page page-check format test test-slow test-peers test-exports test-runtime parity catalogue messages

# the virtual environment of the libraries ours are compared with; never the one convatlas is used in
PEERS ?= build/peers

check:                ## format, lint, types, imports, texts that cannot be translated
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python .ci/lint_texts.py

page:                 ## build the page of `convatlas explore` from web/ (needs Node; the build is committed)
	cd web && npm ci --silent && npm run check && npm test && npm run build

page-check:           ## the page in a real browser: the committed build is fresh, and a wheel of it is clicked through
	.ci/page

docs:                 ## the documentation site in both languages, in build/site; needs the extra [docs]
	python -m docs.builder

test-docs:            ## the site, the notebooks and every block of code on a page; needs the extra [docs]: minutes
	python -m pytest -m "slow or not slow" tests/docs

format:               ## put the format and the fixable lint right
	ruff format .
	ruff check --fix .

test:                 ## the suite a fresh clone must pass
	python -m pytest

test-slow:            ## real trainings and kill tests: minutes
	python -m pytest -m slow

test-exports:         ## exported files, their contracts and the mutations; needs the extra [export]: minutes
	python -m pytest -m "slow or not slow" tests/exports

test-runtime:         ## convatlas-runtime in an empty environment, and the example clients (npm, Chromium, cmake, [export]): minutes
	if command -v npm > /dev/null; then cd examples/clients/web && npm ci --silent --ignore-scripts; fi
	python -m pytest -m "slow or not slow" tests/deployed

test-peers: $(PEERS)/ready   ## agreement with torchvision, timm, Keras and the counters; installs them where they are not
	CONVATLAS_PEERS=required OMP_NUM_THREADS=1 $(PEERS)/bin/python -m pytest -n 2 -m "peers and not slow"

test-loops:           ## the scripts of examples/ with Lightning, Accelerate, Keras and three loggers, in an environment of their own
	test -x build/loops/bin/python || python3 -m venv build/loops
	build/loops/bin/pip install -q -c constraints.txt -e '.[test]'
	build/loops/bin/pip install -q -c constraints.txt -r .ci/loops.txt
	build/loops/bin/python -m pytest -m "slow or not slow" tests/examples tests/training/test_loggers.py

parity: $(PEERS)/ready       ## the same with the deepest networks; writes results/atlas/parity.json
	CONVATLAS_PEERS=required PARITY_RECORD=results/atlas/parity.json $(PEERS)/bin/python -m pytest -m peers tests/models

$(PEERS)/ready: .ci/peers .ci/peers.txt constraints.txt pyproject.toml
	.ci/peers $(PEERS)

release-check:        ## wheel and sdist built twice, CITATION.cff, the README's first command from the wheel; QUICK=quick is shorter
	.ci/release-check $(QUICK)

ranges:               ## a part of the tests with the oldest versions of the dependencies that pyproject.toml allows
	.ci/ranges oldest

catalogue:            ## write models/catalogue.json, models/tables, models/weights/shapes.json, docs/ledger.md, docs/recipes.md and the counts on pages anew from what is declared (a test fails when it is stale)
	python -m convatlas.models.catalogue
	python -m convatlas.models.layer_tables
	python -m convatlas.models.weight_shapes
	python -m convatlas.models.ledger > docs/ledger.md
	python -m convatlas.recipes.page > docs/recipes.md
	python -m convatlas.experiments.page results/experiments en > docs/en/experiments.md
	python -m convatlas.experiments.page results/experiments ko > docs/ko/experiments.md
	python benchmarks/page_counts.py

messages:             ## bring the Korean catalogues in step with what the program says, compile them, name what they lack
	python -m convatlas.cli._messages
