"""The entry of the `rtspikes` command: whatever happens behind it becomes one line and an exit code.

Only the standard library is imported before `main` runs, so that a dependency that cannot be loaded is one line too.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from rtspikes.cli.failures import answer, leave_no_traceback


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    0 done, 1 error of rtspikes or the computer, 2 usage or configuration, 3 source, 4 transport, 5 data, 130 Ctrl-C.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # started without one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a console without µ and σ must not end a run
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    leave_no_traceback(debug)
    try:
        from rtspikes.cli.commands import cli

        code = int(cli.main(arguments, prog_name="rtspikes", standalone_mode=False) or 0)
        sys.stdout.flush()
    except BaseException as error:
        code = answer(error, debug)
    sys.exit(code)
