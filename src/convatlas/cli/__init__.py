"""The command line: one file per command, each parses, calls the library and prints.

stdout is the result, stderr the progress. A command's file is imported when the command is used, so ``--help`` and
``models`` never wait for torch.
"""

from convatlas.cli._app import main

__all__ = ["main"]
