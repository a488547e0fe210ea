"""What the tests of the commands share."""

from __future__ import annotations

import pytest

from convatlas.cli import main


@pytest.fixture
def convatlas(capsys):
    """``convatlas("data", ...)`` runs the command line here; gives exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run
