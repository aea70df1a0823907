"""The command ``softmax2d``, also ``python -m softmax2d``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say how to install what it needs."""
    try:
        import click  # noqa: F401
    except ImportError:
        print(
            "softmax2d: the command line needs click: "
            'install it with `pip install "softmax2d[cli]"`.',
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    from softmax2d.cli import app

    app(prog_name="softmax2d")


if __name__ == "__main__":
    main()
