"""The command line: ``softmax2d segment``, ``evaluate``, ``calibrate``, ``tune`` and others."""

from __future__ import annotations

import click

import softmax2d
from softmax2d.cli._app import App
from softmax2d.cli._calibrate import calibrate
from softmax2d.cli._counts import counts, weights
from softmax2d.cli._demo import demo
from softmax2d.cli._evaluate import evaluate
from softmax2d.cli._info import info
from softmax2d.cli._predict import predict
from softmax2d.cli._segment import probs, segment
from softmax2d.cli._tune import tune

__all__ = ["app"]


@click.group(
    cls=App,
    invoke_without_command=True,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(softmax2d.__version__, message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context) -> None:
    """The output layer of semantic segmentation.

    Turns the class scores (logits) that a network gives for each pixel into labels and their
    probabilities, in one pass over the scores.

    \b
    Try:
      softmax2d demo                           a photograph segmented, start to end
      softmax2d segment scores.npy -o out.png  labels of your own scores
      softmax2d probs scores.npy -o probs.npy  their probabilities
      softmax2d predict net.onnx photo.jpg -o out.png  a network over an image of any size
      softmax2d evaluate scores.npy truth.png  how they compare with the truth
      softmax2d calibrate scores.npy truth.npy -o map.json  a map that fits them to the truth
      softmax2d counts train/ -o counts.json   how often each class occurs
      softmax2d tune scores.npy truth.png -o bias.json  a bias chosen for labels, as mean IoU asks
      softmax2d info                           versions, instruction sets, threads

    \b
    Exit codes:
      0  done
      2  wrong usage or input that cannot be used; nothing was written
      3  reading or writing failed (a full disk, say); nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP;  141  the pipe of the output was closed
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (segment, probs, predict, evaluate, calibrate, counts, weights, tune, info, demo):
    app.add_command(command)
