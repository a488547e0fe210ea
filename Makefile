# The same words here, in the README and in CI.
.PHONY: check format test test-slow catalogue

check:                ## format, lint, types, imports
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format:               ## put the format and the fixable lint right
	ruff format .
	ruff check --fix .

test:                 ## the suite a fresh clone must pass
	python -m pytest

test-slow:            ## real trainings and kill tests: minutes
	python -m pytest -m slow

catalogue:            ## write models/catalogue.json, models/tables, docs/ledger.md, docs/recipes.md anew from what is declared (a test fails when it is stale)
	python -m convatlas.models._catalogue
	python -m convatlas.models._tables
	python -m convatlas.models._ledger > docs/ledger.md
	python -m convatlas.recipes._page > docs/recipes.md
