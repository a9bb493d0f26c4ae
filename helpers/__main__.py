"""`python -m helpers COMMAND`: see `helpers/cli/main.py`."""

import sys

from helpers.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
