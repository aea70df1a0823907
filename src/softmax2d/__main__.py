"""The command ``softmax2d``, also ``python -m softmax2d``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say how to install what it needs."""
    try:
        import click  # noqa: F401
    except ImportError:
        from softmax2d.extras import install_command

        command = install_command("cli", "click")
        print(
            f"softmax2d: the command line needs click: install it with `{command}`.",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    from softmax2d.cli import app

    app(prog_name="softmax2d")


if __name__ == "__main__":
    main()
