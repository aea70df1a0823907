"""Operations on files bigger than memory: tile by tile, in a stated budget, and nothing lost."""

from softmax2d._errors import Failed, Refused, StreamError, Unusable
from softmax2d.stream._evaluate import evaluate_files
from softmax2d.stream._evaluate_boundaries import evaluate_boundary_files
from softmax2d.stream._evaluate_labels import evaluate_label_files, holds_labels
from softmax2d.stream._predict import predict
from softmax2d.stream._segment import segment_file, softmax2d_file
from softmax2d.stream.plan import tiles as _tiles  # noqa: F401 - tests set sizes
from softmax2d.stream.recovery.whole_files import Results
from softmax2d.stream.workers.summary import Summary
from softmax2d.stream.workers.watching import watched

__all__ = [
    "Failed",
    "Refused",
    "Results",
    "StreamError",
    "Summary",
    "Unusable",
    "evaluate_boundary_files",
    "evaluate_files",
    "evaluate_label_files",
    "holds_labels",
    "predict",
    "segment_file",
    "softmax2d_file",
    "watched",
]
