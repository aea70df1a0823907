"""``softmax2d evaluate``: stored class scores against the truth, tile by tile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from softmax2d.cli import _boundaries, _help, _judge, _options, _paths, _values
from softmax2d.stream import Results, Unusable, holds_labels


@click.command(cls=_help.Command)
@_options.take(
    _options.LOGITS,
    _options.TRUTH,
    _options.ignore_index(),
    _options.report("Write everything to FILE: .html, .txt, .png or .json."),
    _options.PER_IMAGE,
    _options.CURVES,
    *_options.BOUNDARIES,
    _options.classes("Class names: a,b,c or a text file, one a line; or how many there are."),
    _options.axis(),
    _options.FILE_SPATIAL_DIMS,
    *_options.MEANING,
    _options.IGNORE_PLACE,
    *_options.MAP,
    _options.DECODE,
    _options.BINS,
    _options.TRUTH_SIZE,
    *_options.INTERPOLATION,
    _options.key(),
    _options.TRUTH_KEY,
    *_options.BUDGET,
    *_options.RUN,
    _options.overwrite("Replace an existing report."),
    _options.quiet("Print nothing, no progress bar."),
)
def evaluate(logits: Path, truth: Path, classes: str | None, quiet: bool, **rest: Any) -> None:
    """Compare LOGITS, or labels, with the TRUTH: IoU, Dice, accuracy, calibration.

    LOGITS holds class scores as for `softmax2d segment`, or one label a pixel: the label map that
    `segment`, `predict` or any other program wrote. What it holds decides, and is said first. Of
    labels alone there is no calibration. TRUTH holds the class of every pixel as an integer, in
    one of the same formats or as .png (grey or palette). Where TRUTH is larger than LOGITS, the
    logits are interpolated to it on the fly; where it is smaller, --size must say so.

    Both may be folders, whose files pair by their names without suffix: all are added up.

    Both are read tile by tile within --memory, so that they may be larger than memory (a .png is
    read whole).

    \b
    The report's suffix decides what it holds:
      .html  tables, reliability diagram, confusion matrix; one file, nothing else needed
      .txt   the tables as text
      .png   the two diagrams; needs matplotlib
      .json  every measure, and the counts, which Statistics.from_dict reads

    All measures are of all pixels together, and large objects decide them. --per-image scores.csv
    also scores each image by itself: the means over images, which medical papers report, are then
    printed beside them, with the images of the lowest IoU, and the .csv has IoU and Dice of every
    image. Images are called after their files, and entries of a batch scan[0], scan[1], ….

    --curves counts each class's probability at all thresholds: average precision, AUROC and the
    precision-recall curve. It takes several times as long.

    --boundary-tolerance 2 also compares the boundaries of a label map with the truth's: boundary
    IoU, boundary F-score and surface Dice, within 2 pixels; within 1.5 mm as 1.5mm, by the voxel
    sizes of a NIfTI, or 30 m as 30m, by the pixel sizes of a projected GeoTIFF. Needs SciPy.

    The report appears complete or not at all. Until then what is counted is kept in a hidden folder
    beside it, or beside the --summary: a run that was stopped, killed or failed goes on with the
    same command and --resume, and ends with the same numbers.

    \b
    Examples:
      softmax2d evaluate scores.npy truth.png --ignore-index 255
      softmax2d evaluate labels.png truth.png --ignore-index 255
      softmax2d evaluate labels/ truth/ --classes road,car,sky --report out.html
      softmax2d evaluate labels/ truth/ --per-image scores.csv
      softmax2d evaluate labels.nii truth.nii --boundary-tolerance 2mm
      softmax2d evaluate coarse.npz truth.tif --classes road,car,sky --report out.html

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used; nothing was written
      3  reading or writing failed; nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    _boundaries.check(rest)
    scores = [] if rest["per_image"] is None else [rest["per_image"]]
    if rest["resume"] and rest["report"] is None and rest["summary"] is None and not scores:
        words = "--resume needs --report or --summary, or --per-image"
        raise Unusable(f"{words}: beside it what is counted is kept.")
    _paths.check_apart([rest["report"], *scores], rest["calibration"])
    kept = [logits, truth]
    Results(scores, kept, rest["overwrite"], rest["resume"], rest["report"])  # looks at names alone
    rest["per_image"] = rest["per_image"] or False
    scored = rest["axis"] is not None or rest["input"] is not None or rest["binary"]
    mapped = rest["calibration"] is not None or rest["temperature"] is not None
    scores, labels, _ = _paths.pairs_of(logits, truth, scored or mapped)
    if not isinstance(scores, list):
        scores, labels = [scores], [labels]
    keys = {"key": rest["key"], "target_key": rest["target_key"]}
    given = scores, labels, (logits, truth), classes, quiet, rest
    if not scored and holds_labels(scores[0], labels[0], **keys):
        _judge.judge_labels(*given)
        return
    _boundaries.refuse_scores(scores[0], rest)
    _values.take_map(rest)
    _values.take_scheduler(rest)
    _judge.judge_scores(*given)
