"""The demonstration: a classifier trained, applied and judged with this package, on a photograph.

``softmax2d demo`` on the command line; from Python ``softmax2d.demo.run(folder)``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from softmax2d.language import fill, pad, translate

__all__ = ["run"]

Say = Callable[[str], None]


def _train(say: Say) -> tuple[Any, Any]:
    """The photograph, and the logits on a coarse grid of a classifier trained on the strokes."""
    import numpy as np

    from softmax2d.demo import _retina, _strokes

    image = _retina.photograph()
    samples = _retina.thin(_retina.features(image))
    target = _strokes.draw(_strokes.STROKES, image.shape[:2])
    fine, coarse = (" × ".join(map(str, size)) for size in (target.shape, samples.shape[1:]))
    words = "2. scikit-image's retina, {fine} pixels; logits of {classes} classes on a grid of "
    words += "{coarse}, coarser than the picture as those of networks are"
    say(fill(words, fine=fine, coarse=coarse, classes=len(_strokes.CLASSES)))
    start = perf_counter()
    weights, losses = _retina.train(samples, target)
    words = "   cross_entropy2d_with_grad, {times} times in {seconds:.1f} s: loss and gradient of "
    words += "the {coarse} logits against strokes on the {fine} picture"
    seconds = perf_counter() - start
    say(fill(words, times=len(losses), seconds=seconds, coarse=coarse, fine=fine))
    words = "   every class weighs the same; cross-entropy {first:.3f} → {last:.3f} nats"
    say(fill(words, first=losses[0], last=losses[-1]))
    return image, np.tensordot(weights, samples, 1)


def _segment(logits: Any, size: tuple[int, int], say: Say) -> Any:
    """Labels and certainty of every pixel of the photograph."""
    import softmax2d as s2d

    start = perf_counter()
    found = s2d.segment(logits, size=size, outputs=("labels", "confidence", "entropy"))
    seconds = perf_counter() - start
    assert found.confidence is not None
    never = len(logits) * found.confidence.nbytes / 1e6
    words = "   segment(logits, size={size}): labels, confidence, entropy in {time:.0f} ms; "
    words += "{never:.0f} MB of interpolated logits are never built"
    say(fill(words, size=size, time=1e3 * seconds, never=never))
    say(fill("   mean confidence {mean:.3f}", mean=found.confidence.mean()))
    return found


def _evaluate(logits: Any, size: tuple[int, int], say: Say) -> Any:
    """Statistics of the pixels under strokes that the classifier has not seen."""
    import softmax2d as s2d
    from softmax2d.demo import _strokes

    truth = _strokes.draw(_strokes.CHECKS, size)
    statistics = s2d.evaluate(logits, truth, size=size, ignore_index=_strokes.UNMARKED)
    words = "3. evaluate: those logits and the pixels under strokes that the training has not seen"
    say(fill(words))
    for line in statistics.report(_strokes.CLASSES).splitlines():
        say(f"   {line}".rstrip())
    return statistics


def _show_photograph(say: Say) -> dict[str, bytes]:
    """Train, segment and evaluate; the bytes of each file by name."""
    from softmax2d.demo import _figure, _strokes

    image, logits = _train(say)
    size = image.shape[:2]
    found = _segment(logits, size, say)
    statistics = _evaluate(logits, size, say)
    title = "A photograph of the retina: pixels under strokes not seen in training"
    return {
        "retina.png": _figure.png(_figure.segmentation(image, logits, found, statistics)),
        "report.html": statistics.figure(_strokes.CLASSES, title).render(".html"),
    }


def _time_libraries(say: Say) -> dict[str, bytes]:
    import softmax2d as s2d
    from softmax2d.demo import _figure, _timing

    threads = s2d.get_num_threads()
    size = " × ".join(map(str, _timing.SHAPE))
    words = "4. time for {size} float32 with {threads} threads, each library in its own process"
    say(fill(words, size=size, threads=threads))
    measured = _timing.measure(threads, say=say)
    for m in measured:
        words = "   {work} {library:<10} {time:8.1f} ms  {ratio:6.1f} × a copy"
        work = pad(translate(m.work), 34)
        say(fill(words, work=work, library=m.library, time=m.milliseconds, ratio=m.ratio))
    if not measured:
        return {}
    return {"timing.png": _figure.png(_figure.timing(measured, _timing.SHAPE, threads))}


def run(folder: Path, *, timing: bool = True, say: Say = print) -> list[Path]:
    """Show what the package does, on numbers, on a photograph and on the clock.

    Parameters
    ----------
    folder : path
        Where pictures and report go; made if it is missing, earlier ones are replaced.
    timing : bool
        Whether to compare with other libraries.
    say : callable
        Takes each line of text, in the language in use (:mod:`softmax2d.language`).

    Returns
    -------
    list of path
        The files written.

    Raises
    ------
    OSError
        The folder cannot be made or written to; what was there before remains.
    ValueError
        A package is missing, or ``folder`` is no folder.
    """
    from softmax2d._errors import Refused, failing, require
    from softmax2d._whole_file import WholeFiles

    for module in ("skimage", "matplotlib"):
        require(module, "demo")
    if folder.exists() and not folder.is_dir():
        raise Refused(folder, "is not a folder.")
    from softmax2d.demo import _article

    start = perf_counter()
    with failing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _article.show(say)
    files = _show_photograph(say) | (_time_libraries(say) if timing else {})
    paths = [folder / name for name in files]
    with WholeFiles() as results:
        for path, data in zip(paths, files.values(), strict=True):
            with failing(path):
                results.create(path).write(data)
    for path in paths:
        say(fill("wrote {path}", path=path))
    say(fill("{seconds:.1f} s", seconds=perf_counter() - start))
    return paths
