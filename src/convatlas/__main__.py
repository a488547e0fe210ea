"""``python -m convatlas`` is the command ``convatlas``."""

from convatlas.cli import main

if __name__ == "__main__":
    main()
