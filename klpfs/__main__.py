"""`python -m klpfs`: the klpfs command."""
import sys

from klpfs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
