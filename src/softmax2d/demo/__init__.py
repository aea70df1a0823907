"""The demonstration: a real photograph segmented by a classifier trained with this package.

``softmax2d demo`` on the command line; from Python ``softmax2d.demo.run(folder)``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["run"]

Say = Callable[[str], None]


def _segment_photograph(say: Say) -> tuple[Any, bytes]:
    """Train on the strokes, segment the photograph, draw; the same from coarse logits, a report."""
    import numpy as np

    import softmax2d as s2d
    from softmax2d.demo import _coarse, _figure, _retina

    image = _retina.photograph()
    seen = _retina.features(image)
    rows, columns, labels = _retina.stroke_pixels()
    start = perf_counter()
    weights, losses = _retina.train(seen[:, rows, columns], labels)
    say(
        f"2. scikit-image's retina, {image.shape[0]} × {image.shape[1]} pixels, "
        f"{len(seen)} features each"
    )
    say(
        f"   {len(losses)} steps of gradient descent on {len(labels)} pixels under strokes, by "
        f"log_softmax2d and its vjp: {perf_counter() - start:.2f} s"
    )
    logits = np.tensordot(weights, seen, 1)
    start = perf_counter()
    found = s2d.segment(logits, outputs=("labels", "confidence", "entropy"))
    seconds = perf_counter() - start
    assert found.labels is not None and found.confidence is not None
    right = float((found.labels[rows, columns] == labels).mean())
    say(
        f"   cross-entropy {losses[0]:.3f} → {losses[-1]:.3f} nats, "
        f"{100 * right:.1f} % of the pixels under strokes right"
    )
    say(
        f"   segment: labels, confidence and entropy of {len(weights)} classes in "
        f"{1e3 * seconds:.1f} ms; mean confidence {found.confidence.mean():.3f}"
    )
    page = _coarse.show(logits, found.labels, say)
    return _figure.segmentation(image, s2d.softmax2d(logits), found, len(labels)), page


def _time_libraries(say: Say) -> Any:
    import softmax2d as s2d
    from softmax2d.demo import _figure, _timing

    threads = s2d.get_num_threads()
    size = " × ".join(map(str, _timing.SHAPE))
    say(f"3. time for {size} float32 with {threads} threads, each library in its own process")
    measured = _timing.measure(threads, say=say)
    for m in measured:
        say(f"   {m.work:<22} {m.library:<10} {m.milliseconds:8.1f} ms  {m.ratio:6.1f} × a copy")
    return _figure.timing(measured, _timing.SHAPE, threads) if measured else None


def run(folder: Path, *, timing: bool = True, say: Say = print) -> list[Path]:
    """Show what the package does, on numbers, on a photograph and on the clock.

    Parameters
    ----------
    folder : path
        Where the pictures go; made if it is missing, earlier ones are replaced.
    timing : bool
        Whether to compare with other libraries.
    say : callable
        Takes each line of text.

    Returns
    -------
    list of path
        The files written.

    Raises
    ------
    OSError
        The folder cannot be made or written to; what was there before remains.
    """
    from softmax2d.cli._errors import failing
    from softmax2d.cli._write import Results
    from softmax2d.demo import _article

    start = perf_counter()
    with failing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _article.show(say)
    picture, page = _segment_photograph(say)
    figures = {"retina.png": picture}
    if timing and (drawn := _time_libraries(say)) is not None:
        figures["timing.png"] = drawn
    paths = [*(folder / name for name in figures), folder / "retina.html"]
    with Results(paths, [], overwrite=True) as results:
        for path, figure in zip(paths, figures.values(), strict=False):
            with failing(path):
                figure.savefig(results.create(path), format="png")
        with failing(paths[-1]):
            results.create(paths[-1]).write(page)
    for path in paths:
        say(f"wrote {path}")
    say(f"{perf_counter() - start:.1f} s")
    return paths
