"""What a network sees of an image, and the results that are asked of it: of ``predict`` alone."""

from __future__ import annotations

import click

from softmax2d.cli import _options, _values

SEEN = (
    click.option(
        "--bands", metavar="LIST", callback=_values.parse_integers,
        help="Bands of IMAGE that MODEL sees, counted from 1: 4,3,2.",
    ),
    click.option(
        "--scale", default="auto", show_default=True, metavar="X", callback=_values.parse_scale,
        help="Factor of IMAGE's numbers: 1/10000; auto brings 8 bits to 0…1.",
    ),
    click.option(
        "--mean", metavar="LIST", callback=_values.parse_numbers,
        help="Subtracted after that, one or one a channel.  [default: what MODEL states, else 0]",
    ),
    click.option(
        "--std", metavar="LIST", callback=_values.parse_numbers,
        help="Divides after that.  [default: what MODEL states, else 1]",
    ),
)  # fmt: skip
RETURNED = (
    click.option("--output", metavar="NAME", help="Which output of MODEL holds the scores."),
    click.option(
        "--layout", type=click.Choice(["channels-first", "channels-last"]),
        help="Where MODEL has channels.  [default: what its sizes say, else first]",
    ),
    *_options.RETURNED,
)  # fmt: skip
PREDICTED = click.option(
    "--outputs",
    default="labels,confidence",
    show_default=True,
    metavar="LIST",
    callback=_values.parse_names,
    help="Any of labels, confidence, margin, entropy, probs, logits.",
)
