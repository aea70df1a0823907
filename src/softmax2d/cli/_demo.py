"""``softmax2d demo``: the command; the work is in :mod:`softmax2d.demo`."""

from __future__ import annotations

from pathlib import Path

import click

from softmax2d.cli import _help, _options


@click.command(cls=_help.Command)
@_options.take(_options.FOLDER, _options.NO_TIMING)
def demo(folder: Path, no_timing: bool) -> None:
    """Segment a real photograph, start to end.

    From a few labelled strokes to pictures of the result.

    A linear classifier of each pixel's surroundings gives its logits on a coarse grid, as a network
    does. It is trained by cross_entropy2d_with_grad against strokes on a photograph of the retina
    that comes with scikit-image; nothing is downloaded. segment labels the full picture, and
    evaluate judges it by strokes kept back. Then probabilities, labels, and labels from coarse
    logits are timed beside SciPy and PyTorch, where they are installed. It takes some ten seconds
    and needs the extra `demo`; of what is missing it names the command that installs it.

    \b
    Examples:
      softmax2d demo
      softmax2d demo -o pictures --no-timing

    Exit codes: 0 done; 2 wrong usage or a package is missing; 3 writing failed.
    """
    from softmax2d.demo import run

    run(folder, timing=not no_timing, say=click.echo)
