"""`python -m fscl`."""

from fscl.cli import main

main()
