"""Every option of the command line, defined once; a command names its options.

An option with the same words everywhere is a constant; an option with different help texts is a
function of its text. :func:`take` adds options to a command, in the order of its help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from softmax2d.cli import _values

Decorator = Callable[[Any], Any]

PALETTES = ("okabe-ito", "cityscapes", "voc", "distinct")
_PATH = click.Path(path_type=Path)


def take(*options: Decorator) -> Decorator:
    """A decorator that adds arguments and options, in the order of the help."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _flag(name: str, words: str) -> Decorator:
    return click.option(name, is_flag=True, help=words)


def _file(*names: str, metavar: str = "FILE", **how: Any) -> Decorator:
    return click.option(*names, type=_PATH, metavar=metavar, **how)


def _choice(name: str, choices: Iterable[str], default: str, words: str) -> Decorator:
    kind = click.Choice([*choices])
    return click.option(name, type=kind, default=default, show_default=True, help=words)


# Arguments.
LOGITS = click.argument("logits", type=_PATH)
TRUTH = click.argument("truth", type=_PATH)
MODEL = click.argument("model", type=_PATH)
IMAGE = click.argument("image", type=_PATH)
LABELS = click.argument("labels", type=_PATH, nargs=-1, required=True, metavar="LABELS...")


# What is read.
def axis(words: str = "The class axis; -1 for channels last.  [default: what the file says, else -3]") -> Decorator:  # fmt: skip # noqa: E501
    """Which axis counts classes, or channels."""
    return click.option("--axis", type=int, help=words)


def key(words: str = "Which array of LOGITS, if it has several.") -> Decorator:
    """Which array of a file with several."""
    return click.option("--key", metavar="NAME", help=words)


TRUTH_KEY = click.option(
    "--truth-key", "target_key", metavar="NAME", help="Which array of TRUTH, if it has several."
)


def ignore_index(words: str = "Pixels whose truth is N count nowhere.") -> Decorator:
    """Which label counts nowhere."""
    return click.option("--ignore-index", type=int, metavar="N", help=words)


def classes(words: str = "Class names: a,b,c or a text file, one a line.") -> Decorator:
    """Names of the classes."""
    return click.option("--classes", metavar="NAMES", help=words)


def nodata(words: str = "Logits of this value, any class, are no data.") -> Decorator:
    """Which number stands for no data."""
    return click.option("--nodata", type=float, metavar="V", help=words)


NODATA_LABEL = click.option(
    "--nodata-label",
    type=int,
    metavar="N",
    help="Label of pixels without data, no class.  [default: the largest that labels hold]",
)
MISSING_AS_FILL = _flag("--missing-as-fill", "Missing chunks are the fill value, no error.")
FILE_SPATIAL_DIMS = click.option(
    "--spatial-dims",
    type=int,
    metavar="N",
    help="Of label maps: 2 for pictures, 3 for volumes.  [default: what the file says, else 2]",
)
SPATIAL_DIMS = click.option(
    "--spatial-dims", default=2, show_default=True, help="3 for volumes, 2 for pictures."
)


# What the numbers are, and whether places are compared.
def _input(words: str) -> Decorator:
    kinds = click.Choice(["logits", "probabilities", "log-probabilities"])
    return click.option("--input", type=kinds, help=words)


MEANING = (
    _input("What the numbers of LOGITS are.  [default: what the file says, else logits]"),
    _flag("--binary", "LOGITS of one channel: the second of two classes, the first has score 0."),
)
IGNORE_PLACE = _flag("--ignore-place", "Do not compare where files say that their pixels lie.")


# How logits are mapped and brought to another size.
MAP = (
    click.option(
        "--temperature", type=float, metavar="T",
        help="Divides the logits; positive.  [default: 1]",
    ),
    _file("--calibration",
          help="The map that `softmax2d calibrate` fitted, in place of a temperature."),
)  # fmt: skip
INTERPOLATION = (
    click.option(
        "--interpolation",
        default="linear",
        show_default=True,
        metavar="KIND",
        callback=_values.parse_kinds,
        help="linear, nearest or nearest-exact; or one per spatial axis: nearest,linear,linear.",
    ),
    _flag("--align-corners", "Corner pixels lie on corner logits, not half inside."),
)
TRUTH_SIZE = click.option(
    "--size",
    metavar="HxW",
    callback=_values.parse_size,
    help="The size of TRUTH, where it is smaller than LOGITS, which are then interpolated down.",
)
SIZE = (
    click.option(
        "--size",
        metavar="HxW",
        callback=_values.parse_size,
        help="Interpolate the logits to this size (volumes: DxHxW).",
    ),
    _file(
        "--like",
        metavar="IMAGE",
        help="Interpolate them to the size of this image or array, in any format.",
    ),
    *INTERPOLATION,
)


# What is made.
def out(words: str, required: bool = False) -> Decorator:
    """Where the result goes."""
    return _file("-o", "--out", metavar="OUT", help=words, required=required)


FORMAT = click.option(
    "--format",
    "folder_format",
    metavar="SUFFIX",
    help="Of a folder's results: png, tif, npy, nii.gz, …  [default: as the files; pictures png]",
)


PER_IMAGE = _file(
    "--per-image",
    callback=_values.check_scores,
    help="Score each image as well; FILE, a .csv, takes a line for each.",
)
CURVES = _flag("--curves", "Precision-recall curves and average precision in the report.")


BOUNDARIES = (
    click.option(
        "--boundary-tolerance",
        metavar="DISTANCE",
        help="Compare boundaries of label maps within 2 (pixels), 1.5mm, 30m.",
    ),
    click.option(
        "--spacing",
        metavar="LIST",
        callback=_values.parse_numbers,
        help="Distances between pixels along each axis, the slowest first (z,y,x), in the "
        "tolerance's unit.  [default: the files']",
    ),
)


def report(
    words: str = "Write tables and charts to FILE: .html, .txt, .png or .json.",
) -> Decorator:
    """Where the report goes."""
    return _file("--report", help=words)


OUTPUTS = click.option(
    "--outputs",
    default="labels,confidence",
    show_default=True,
    metavar="LIST",
    callback=_values.parse_names,
    help="Any of labels, confidence, margin, entropy.",
)


class _Renamed(click.Option):
    """An option whose earlier spellings work, and are not in the help."""

    def get_help_record(self, context: click.Context) -> tuple[str, str] | None:
        """Name and text, of the first spelling alone."""
        every, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(context)
        finally:
            self.opts = every


def _encoding(*names: str, words: str, **how: Any) -> Decorator:
    """How floats are stored."""
    return click.option(
        *names,
        "encoding",
        type=click.Choice(["float", "float32", "float16", "8bit"]),
        default="float",
        show_default=True,
        callback=_values.parse_encoding,
        help=words,
        **how,
    )


CONFIDENCE_AS = _encoding(
    "--as", "--confidence-as", cls=_Renamed,
    words="How confidence, margin and entropy are stored; in 8bit 255 is 1.",
)  # fmt: skip
PROBS_AS = _encoding(
    "--as", words="How probabilities are stored; float is the logits' own kind, in 8bit 255 is 1."
)
TOP_K = click.option("--top-k", type=int, metavar="K", help="Only the K most probable classes.")
DECODE = _choice(
    "--decode",
    ("argmax", "dice", "iou"),
    "argmax",
    "The most probable class, or what makes the image's expected Dice or IoU large.",
)


def palette(
    words: str = f"Colours: {', '.join(PALETTES)}, or a text file, `R G B` or `#rrggbb` a line.",
) -> Decorator:
    """Colours of the labels."""
    return click.option("--palette", metavar="NAME|FILE", help=words)


PREVIEW = _file("--preview", help="Also a coloured picture, .png.")
COG = _flag("--cog", "GeoTIFF as Cloud Optimized GeoTIFF, with overviews.")


# How the run goes.
def memory(words: str = "What the run may take beside the program itself.") -> Decorator:
    """The budget."""
    return click.option("--memory", default="512MB", show_default=True, metavar="SIZE", help=words)


def resume(words: str = "Go on with a run that was stopped, killed or failed.") -> Decorator:
    """Whether to go on with an unfinished run."""
    return _flag("--resume", words)


def summary(words: str = "Account for every tile and pixel in FILE, as JSON.") -> Decorator:
    """Where the account goes."""
    return _file("--summary", callback=_values.check_account, help=words)


WORKERS = click.option(
    "--workers",
    type=int,
    metavar="N",
    callback=_values.check_positive,
    help="N processes of dask.distributed; threads of this one by default.",
)
SCHEDULER = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Workers of this dask.distributed scheduler, tcp://HOST:PORT.",
)
BUDGET = (memory(), nodata(), MISSING_AS_FILL)
RUN = (resume(), WORKERS, SCHEDULER, summary())


def overwrite(words: str = "Replace existing files.") -> Decorator:
    """Whether existing files may be replaced."""
    return _flag("--overwrite", words)


def quiet(words: str = "Print nothing.") -> Decorator:
    """Whether nothing is printed."""
    return _flag("--quiet", words)


# A network's windows.
WINDOWS = (
    click.option(
        "--window", callback=_values.parse_window,
        help="Pixels at once; or HxW.  [default: what MODEL takes, else 512]",
    ),
    click.option("--overlap", default=0.5, show_default=True, help="Of neighbouring windows."),
    _choice(
        "--weighting", ("gaussian", "hann", "flat"), "gaussian",
        "How much a window counts at each of its pixels.",
    ),
    _choice(
        "--test-time", ("none", "flips"), "none", "flips: the mean over all mirrored windows."
    ),
    _choice("--blend", ("logits", "probabilities"), "logits", "What is averaged."),
    click.option("--batch", default=1, show_default=True, help="Windows at a time."),
)  # fmt: skip

# What it returns.
RETURNED = (
    _input("What MODEL returns.  [default: logits]"),
    _flag("--binary", "MODEL returns one channel: the second of two classes, the first is 0."),
)
PREDICTED_AS = _encoding(
    "--as", "--confidence-as", cls=_Renamed,
    words="How everything but labels is stored; in 8bit 255 is 1.",
)  # fmt: skip

# What is fitted, counted and tuned.
BINS = click.option("--bins", default=15, show_default=True, help="Bins of the confidence.")
FIT = (
    _choice(
        "--method", ("temperature", "vector", "bias", "temperature+bias", "best"), "temperature",
        "One temperature; a temperature and a bias for each class; a bias for each class; one "
        "temperature and biases; or whichever of these is best by cross-validation.",
    ),
    click.option(
        "--folds", type=int,
        help="Parts of the images for the cross-validation; 0: none.  [default: 5, or as many as "
        "images]",
    ),
)  # fmt: skip
WEIGHT = click.option(
    "--weight",
    metavar="LIST",
    callback=_values.parse_numbers,
    help="What a pixel of each class counts: 1,2,…",
)
DATA_DATE = click.option(
    "--data-date", metavar="TEXT", help="When the data were taken; kept in OUT."
)
WEIGHTS = (
    _choice(
        "--method", ("inverse", "median", "enet", "effective"), "inverse",
        "Inverse frequency, median frequency, ENet's, or effective number of samples.",
    ),
    _choice(
        "--normalize", ("none", "mean", "sum"), "none",
        "As the formula gives them; to mean 1; to sum C.",
    ),
    click.option("--beta", default=0.9999, show_default=True, help="Of the effective number."),
)  # fmt: skip
TUNING = (
    click.option(
        "--goal", default="mean_iou", show_default=True, callback=_values.parse_goal,
        help="What to raise: mean_iou, mean_accuracy, or recall:CLASS,CLASS.",
    ),
    click.option(
        "--at-least-accuracy", type=float, metavar="A",
        help="The accuracy not to fall below on these images, 0 to 1.",
    ),
    _choice(
        "--family", ("classes", "tau"), "classes",
        "A bias for each class, or one share of the log prior; the latter needs --counts.",
    ),
    _file("--counts", help="Counts of the training labels, of `softmax2d counts -o`."),
    click.option(
        "--sweeps", default=10, show_default=True, help="At most so many over all classes."
    ),
)  # fmt: skip

# The demonstration.
FOLDER = _file(
    "-o",
    "--out",
    "folder",
    metavar="FOLDER",
    default=Path("softmax2d-demo"),
    show_default=True,
    help="Where pictures and report go; made if it is missing, files of earlier runs are replaced.",
)
NO_TIMING = _flag("--no-timing", "Leave out the comparison with other libraries.")
