"""How whatever goes wrong becomes one line (what, the rule, the value, what to do) and an exit code.

Imports neither click nor any other dependency before it must: what failed may be their import.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from rtspikes.errors import DataError, RtspikesError, TransportError, nearest

if TYPE_CHECKING:
    from click import ClickException, UsageError

INTERRUPTED = 130

LONGEST = 600
"""Characters of a line at most; what a person can read is far less, a path may be long."""

SHORT = 200
"""Characters that are kept of what another package says."""

DISTRIBUTIONS = {"zmq": "pyzmq"}
"""Import name → name to install, where they differ."""

DISK = {
    errno.ENOSPC: "free space there",
    errno.EACCES: "check who may read and write there",
    errno.EPERM: "check who may read and write there",
    errno.EROFS: "choose a place that can be written to",
    errno.EIO: "check the disk",
    errno.EFBIG: "choose a file system without that limit",
}
"""What to do about an error of a file."""


def answer(error: BaseException, debug: bool) -> int:
    """Tell the person at the terminal about `error`, with its traceback if `debug`; return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, OSError) and error.filename is None:
        discard_output()
        if isinstance(error, BrokenPipeError):  # the reader of our output has gone, as `| head` does
            return 0
    text, code = describe(error)
    if text is not None:
        tell(error, text, debug)
    return code


def tell(error: BaseException, text: str, debug: bool) -> None:
    """Write one line to stderr, below the traceback if `debug`."""
    with contextlib.suppress(OSError, AttributeError):  # stderr may be closed
        if debug:
            _show_contexts(error)
            traceback.print_exception(error, file=sys.stderr)
        sys.stderr.write(f"rtspikes: {one_line(text)}\n")
        sys.stderr.flush()


def describe(error: BaseException) -> tuple[str | None, int]:
    """Return what to say about an error (None: nothing), and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return None, INTERRUPTED
    if isinstance(error, RtspikesError):
        return str(error), error.exit_code
    if isinstance(error, ImportError) and (package := _culprit(error)) is not None:
        again = f"{sys.executable} -m pip install --force-reinstall {DISTRIBUTIONS.get(package, package)}"
        return f"the Python package {package!r} cannot be loaded ({_short(error)}); install it again: {again}", 1
    if isinstance(error, MemoryError):
        return (
            f"not enough memory{_after(error)}; close other programs, take fewer channels, or lower ring.seconds",
            1,
        )
    if isinstance(error, OSError):
        return _system_text(error)
    if isinstance(error, RuntimeError) and "no locator available" in str(error):
        return "there is no place for the compiled kernels; set NUMBA_CACHE_DIR to a folder that can be written to", 1
    if (zmq := sys.modules.get("zmq")) is not None and isinstance(error, zmq.ZMQError):
        return (
            f"ZeroMQ refused: {error}; close other programs that hold many connections, or report it",
            TransportError.exit_code,
        )
    if (click := sys.modules.get("click")) is not None:
        if isinstance(error, click.exceptions.Exit):
            return None, int(error.exit_code)
        if isinstance(error, click.Abort):
            return None, INTERRUPTED
        if isinstance(error, click.ClickException):
            return _usage_text(error), 2
    return bug(error), 1


def bug(error: BaseException, where: str = "") -> str:
    """Return what to say about an error that nobody foresaw, or that came where nobody can answer it."""
    if isinstance(error, RtspikesError):
        return str(error)
    return (
        f"internal error{where}: {type(error).__name__}{_after(error)}; "
        f"run again with --debug for the traceback, and report it"
    )


def one_line(text: str) -> str:
    """Return `text` without line breaks and control characters, cut to what a terminal shows well."""
    flat = " ".join(text.split())
    flat = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 80]} … {flat[-77:]}"


def discard_output() -> None:
    """Let what is still to be written to stdout, which cannot be written to, go nowhere."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave_no_traceback(debug: bool) -> None:
    """Make one line, too, of exceptions that Python only prints: those that end a thread, and those of destructors."""

    def thread_ended(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            tell(args.exc_value, bug(args.exc_value, f" in thread {args.thread.name!r}" if args.thread else ""), debug)

    def destructor_failed(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            tell(args.exc_value, bug(args.exc_value, " while closing"), debug)

    threading.excepthook, sys.unraisablehook = thread_ended, destructor_failed


def _culprit(error: ImportError) -> str | None:
    """Return the package whose import failed, None when it is rtspikes' own."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [error.name or "", *(str(frame.f_globals.get("__name__", "")) for frame in reversed(frames))]
    packages = [module.partition(".")[0] for module in modules]
    package = next((p for p in packages if p and p not in sys.stdlib_module_names), "rtspikes")
    return None if package == "rtspikes" else package


def _after(error: BaseException) -> str:
    text = _short(error)
    return f": {text}" if text else ""


def _short(error: BaseException) -> str:
    text = one_line(str(error))
    return text if len(text) <= SHORT else f"{text[:SHORT]} …"


def _system_text(error: OSError) -> tuple[str, int]:
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    to_do = DISK.get(error.errno or 0)
    if error.filename is None and to_do is None:
        return f"the system refused: {reason}; run again with --debug to see where", 1
    where = "the output" if error.filename is None else os.fsdecode(error.filename)
    return f"{where}: {reason}; {to_do or 'choose another path'}", DataError.exit_code


def _usage_text(error: ClickException) -> str:
    """Return click's complaint in the words of the other errors, with where to read more."""
    import click

    if not isinstance(error, click.UsageError):
        return _as_clause(error.format_message())
    text = _usage_problem(error)
    return f"{text} (see {error.ctx.command_path} --help)" if error.ctx else text


def _usage_problem(error: UsageError) -> str:
    import click

    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        known = [name for p in error.ctx.command.get_params(error.ctx) for name in p.opts if name.startswith("-")]
        return f"unknown option {error.option_name!r}; {nearest(error.option_name, known)}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.get_error_hint(error.ctx).strip("'[]").replace("'", "")
        if not isinstance(error, click.MissingParameter):
            return f"{name}{' ' if error.message.startswith('must ') else ': '}{_as_clause(error.message)}"
        choices = getattr(error.param.type, "choices", ())
        return f"missing {error.param.param_type_name} {name}{': one of ' if choices else ''}{', '.join(choices)}"
    return _as_clause(error.format_message())


def _as_clause(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def _show_contexts(error: BaseException | None) -> None:
    """Let the traceback tell what `raise … from None` leaves out of the one line."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__suppress_context__ = False
        error = error.__cause__ or error.__context__
