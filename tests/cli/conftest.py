"""What the tests of the commands share."""

from __future__ import annotations

import pytest

from convatlas.cli import main


@pytest.fixture
def convatlas(capsys):
    """``convatlas("data", path, ...)`` runs the command line here; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run
