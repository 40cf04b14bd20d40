"""The command line: parse, call, print. Results go to stdout, everything else to stderr.

Exit codes: 0 done; 1 the run found no working pipeline or failed; 2 wrong usage or bad input (nothing written); 130
interrupted (everything finished so far is kept).
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from xautolm.errors import XAutoLMError

EXIT_INTERRUPTED = 130
#: click's `UsageError`, wherever this version of typer keeps click.
_WrongUsage: Any = typer.BadParameter.__base__

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # Rich's own markup would swallow `[default: 30m]`
    help="AutoML for fine-tuning language models: picks the model, the method and the hyperparameters together.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, everything else on stderr.")]


def main() -> None:
    """Entry point of the `xautolm` command."""
    try:
        sys.exit(app(standalone_mode=False))  # what `typer.Exit` carried, else None
    except XAutoLMError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except _WrongUsage as error:
        error.show()
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(EXIT_INTERRUPTED)
