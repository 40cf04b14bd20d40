"""`python -m xautolm.cli`."""

from xautolm.cli import main

main()
