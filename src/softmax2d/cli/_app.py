"""How the command line ends: exit codes, one-line errors, signals."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import click

from softmax2d.cli import _help
from softmax2d.language import fill, language_of, shown_in, translate_usage, using
from softmax2d.stream import StreamError

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Stopped(BaseException):
    """A stop signal as an exception, so that temporaries are removed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Raise :class:`Stopped` at the first stop signal; ignore later signals.

    The exception may come at any line. Code that does not expect it (Python's own Condition, a
    library) may raise another error on the way out; the command was stopped all the same.
    """
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        came.append(number)
        raise Stopped(number)

    # A signal that the parent made us ignore (nohup) stays ignored.
    before = {s: h for s in _SIGNALS if (h := signal.getsignal(s)) not in (signal.SIG_IGN, None)}
    report = sys.unraisablehook

    def come_again(lost: sys.UnraisableHookArgs) -> None:
        """Send the signal anew where its exception had no caller (a callback, a finaliser)."""
        if isinstance(lost.exc_value, Stopped):
            signal.signal(came[0], stop)
            threading.Timer(0.01, os.kill, (os.getpid(), came[0])).start()
        else:
            report(lost)

    sys.unraisablehook = come_again
    try:
        for each in before:
            signal.signal(each, stop)
        yield
    except BaseException as error:
        if came and not isinstance(error, Stopped):
            raise Stopped(came[0]) from error
        raise
    finally:
        sys.unraisablehook = report
        for each, handler in before.items():
            signal.signal(each, handler)


def _flush() -> None:
    if sys.stdout is not None:  # closed by the shell: softmax2d info >&-
        sys.stdout.flush()


def _os_error(error: OSError) -> int:
    """The exit code of an error that no file's message covers: output that cannot be written."""
    if error.filename:
        return _complain(f"{os.fsdecode(error.filename)}: {error.strerror or error}.", 3)
    if sys.stdout is not None:
        # What is left in the buffer has nowhere to go; the interpreter would try again at exit.
        with suppress(OSError, ValueError):  # a stream of Python's own has no number
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 141
    return _complain(f"standard output: {error.strerror or error}.", 3)


def _complain(message: str, code: int) -> int:
    line = "".join(c if c.isprintable() else " " for c in message)
    click.echo(f"softmax2d: {line}", err=True)
    return code


def _usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "softmax2d"
    way = fill(" Try `{path} --help`.", path=path)
    return translate_usage(error.format_message()) + way


class App(_help.Command, click.Group):
    """A group with errors of one line and the exit codes of its help."""

    def main(self, args: Any = None, prog_name: str | None = None, *_: Any, **extra: Any) -> Any:
        """Run and exit; never returns."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal without the character ×
                stream.reconfigure(errors="replace")
        arguments = list(sys.argv[1:] if args is None else args)
        asked = _help.asked_language(arguments) or language_of(os.environ)
        with using(shown_in(asked)):
            sys.exit(self._run(arguments, prog_name or "softmax2d", extra))

    def _run(self, arguments: list[str], name: str, extra: dict[str, Any]) -> int:
        try:
            with _stop_signals(), self.make_context(name, arguments, **extra) as context:
                self.invoke(context)
                _flush()
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except (Stopped, KeyboardInterrupt, click.Abort) as stop:
            return 128 + getattr(stop, "number", signal.SIGINT)
        except click.UsageError as error:
            return _complain(_usage(error), 2)
        except StreamError as error:
            return _complain(error.message, error.exit_code)
        except click.ClickException as error:
            return _complain(error.format_message(), error.exit_code)
        except MemoryError:
            return _complain("not enough memory.", 3)
        except OSError as error:
            return _os_error(error)
        return 0
