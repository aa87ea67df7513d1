"""``python -P -m lrwp``: the command line where no script is installed."""

from lrwp.cli import main

main()
