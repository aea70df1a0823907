"""Export of nnU-Net v2: from logits on the network's grid to labels on the scan's, in one pass.

nnU-Net resamples the logits of all classes to the size of the scan, then takes the largest. Here
each tile of voxels is interpolated in the cache and only its label is kept::

    from softmax2d.adapters import nnunet
    with nnunet.patch():
        predictor.predict_from_files("images", "labels")
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from softmax2d.adapters._peers import peer

Otherwise = Literal["refuse", "nnunet"]

_CONVERT = "convert_predicted_logits_to_segmentation_with_correct_shape"
_EXPORT = "export_prediction_from_logits"
# Linear in the plane; what nnU-Net says across thick slices, in our words.
_SCIKIT_IMAGE = {0: "nearest-exact", 1: "linear"}
_TORCH = {"nearest-exact": "nearest-exact", "nearest": "nearest", "linear": "linear"}


def _nnunet(module: str) -> Any:
    return peer("nnunet", f"nnunetv2.{module}", "nnunetv2")


def _across_slices(name: str, options: dict[str, Any]) -> str | None:
    """The interpolation across thick slices; None for ``options`` without an equal here."""
    if options.get("is_seg", False):
        return None
    if name == "resample_data_or_seg_to_shape" and options.get("order", 3) == 1:
        return _SCIKIT_IMAGE.get(options.get("order_z", 0))
    if name == "resample_torch_fornnunet" and options.get("mode", "linear") == "linear":
        return _TORCH.get(options.get("aniso_axis_mode", "nearest-exact"))
    return "nearest" if name == "no_resampling_hack" else None


def _unsupported_option(configuration: Any, labels: Any, probabilities: bool) -> str | None:
    """Name an option that this adapter has no equal for, or return None."""
    resample = configuration.resampling_fn_probabilities
    if _across_slices(resample.func.__name__, resample.keywords) is None:
        return f"resampling by {resample.func.__name__} with {resample.keywords}"
    if type(labels).__name__ != "LabelManager":
        return f"a label manager of the class {type(labels).__name__}"
    nonlinearity = getattr(labels.inference_nonlin, "__name__", "of no name")
    usual = "sigmoid" if labels.has_regions else "softmax_helper_dim0"
    if nonlinearity != usual and (probabilities or labels.has_regions):
        return f"the nonlinearity {nonlinearity}"
    return None


def _grid(
    logits: Any, plans: Any, configuration: Any, properties: dict[str, Any]
) -> dict[str, Any]:
    """``size`` and ``interpolation`` of each axis, by nnU-Net's own rule for thick slices."""
    resample = configuration.resampling_fn_probabilities
    name, options = resample.func.__name__, resample.keywords
    across = str(_across_slices(name, options))
    if name == "no_resampling_hack":
        return {"size": tuple(logits.shape[1:]), "interpolation": across}
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    own = list(configuration.spacing)
    current = own if len(own) == len(spacing) else [spacing[0], *own]
    rule = _nnunet("preprocessing.resampling.default_resampling").determine_do_sep_z_and_axis
    usual = False if name == "resample_data_or_seg_to_shape" else None
    limits = {key: options[key] for key in {"separate_z_anisotropy_threshold"} & options.keys()}
    apart, thick = rule(options.get("force_separate_z", usual), current, spacing, **limits)
    size = tuple(int(n) for n in properties["shape_after_cropping_and_before_resampling"])
    kinds = [across if apart and axis == thick else "linear" for axis in range(3)]
    return {"size": size, "interpolation": kinds}


def _against_zero(logits: Any) -> NDArray[Any]:
    """One region's logits beside those of its absence: softmax of the two is the sigmoid."""
    region = np.asarray(logits)
    return np.stack([np.zeros_like(region), region])


def _label_map(logits: Any, labels: Any, how: dict[str, Any]) -> NDArray[Any]:
    if not labels.has_regions:
        return np.asarray(s2d.segment(logits, axis=-4, outputs="labels", **how).labels)
    found = np.zeros(how["size"], np.uint16)
    for region, label in zip(logits, labels.regions_class_order, strict=True):
        inside = s2d.segment(_against_zero(region), axis=-4, outputs="labels", **how).labels
        found[np.asarray(inside) == 1] = label
    return found


def _probabilities(logits: Any, labels: Any, how: dict[str, Any], out: NDArray[Any]) -> None:
    if not labels.has_regions:
        s2d.softmax2d(np.asarray(logits, np.float32), axis=-4, out=out, **how)
        return
    for region, place in zip(logits, out, strict=True):
        pair = _against_zero(region).astype(np.float32)
        place[...] = s2d.softmax2d(pair, axis=-4, **how)[1]


def convert_predicted_logits_to_segmentation_with_correct_shape(
    predicted_logits: Any,
    plans_manager: Any,
    configuration_manager: Any,
    label_manager: Any,
    properties_dict: dict[str, Any],
    return_probabilities: bool = False,
    num_threads_torch: int = 1,
    *,
    otherwise: Otherwise = "refuse",
) -> Any:
    """Labels (and probabilities) on the scan's grid: nnU-Net's function of this name, in one pass.

    Parameters
    ----------
    predicted_logits : array or CPU tensor, shape (C, z, y, x)
        What the network gave, on its own grid.
    plans_manager, configuration_manager, label_manager, properties_dict
        As for nnU-Net's function.
    return_probabilities : bool
        Probabilities as well: an array of all classes, which there is no way around then.
    num_threads_torch : int
        Not used: softmax2d has its own number of threads, and results do not depend on it.
    otherwise : "refuse" or "nnunet"
        Where a configuration is not reproduced: an error, or nnU-Net's own function and a warning.

    Returns
    -------
    array, shape of the scan, uint8 | uint16
        Labels; with ``return_probabilities`` a pair with the float32 probabilities.

    Raises
    ------
    ValueError
        A configuration that is not reproduced; another number of classes than the plans say.

    Notes
    -----
    Reproduced: ``resample_data_or_seg_to_shape`` of order 1 (what nnU-Net plans), with or without
    thick slices, ``resample_torch_fornnunet`` and ``no_resampling_hack``; labels and regions.
    nnU-Net rounds resampled half precision logits to half precision, and its argmax then takes the
    first of classes that have become equal; here the larger one wins. Labels differ there and
    nowhere else (tests/adapters/test_nnunet.py).
    """
    why = _unsupported_option(configuration_manager, label_manager, return_probabilities)
    if why is not None:
        if otherwise == "refuse":
            raise ValueError(
                f"softmax2d.adapters.nnunet does not reproduce {why}. "
                'Pass otherwise="nnunet" for nnU-Net\'s own way.'
            )
        warnings.warn(
            f"softmax2d.adapters.nnunet does not reproduce {why}: nnU-Net's own way is taken.",
            RuntimeWarning,
            stacklevel=2,
        )
        given = plans_manager, configuration_manager, label_manager, properties_dict
        return _original(_CONVERT)(
            predicted_logits, *given, return_probabilities, num_threads_torch
        )
    heads = int(label_manager.num_segmentation_heads)
    if predicted_logits.shape[0] != heads:
        raise ValueError(
            f"softmax2d.adapters.nnunet: predicted_logits needs {heads} classes, as the plans "
            f"have; got shape {tuple(predicted_logits.shape)}."
        )
    how = _grid(predicted_logits, plans_manager, configuration_manager, properties_dict)
    place = tuple(slice(int(a), int(b)) for a, b in properties_dict["bbox_used_for_cropping"])
    whole = tuple(int(n) for n in properties_dict["shape_before_cropping"])
    few = len(label_manager.foreground_labels) < 255
    segmentation = np.zeros(whole, np.uint8 if few else np.uint16)
    segmentation[place] = _label_map(predicted_logits, label_manager, how)
    segmentation = segmentation.transpose(plans_manager.transpose_backward)
    if not return_probabilities:
        return segmentation
    probs = np.zeros((heads, *whole), np.float32)
    if not label_manager.has_regions:
        probs[0] = 1  # outside the crop all is background
    _probabilities(predicted_logits, label_manager, how, probs[(slice(None), *place)])
    axes = [0, *(1 + axis for axis in plans_manager.transpose_backward)]
    return segmentation, probs.transpose(axes)


def export_prediction_from_logits(*arguments: Any, **options: Any) -> Any:
    """nnU-Net's function of this name, with the conversion of this module.

    :func:`patch` puts it in nnU-Net's place. It patches again where it runs: nnU-Net exports in
    worker processes, which import everything anew.
    """
    with patch():
        return _original(_EXPORT)(*arguments, **options)


def _convert_or_leave(*arguments: Any, **options: Any) -> Any:
    """Convert by softmax2d, or by nnU-Net where this adapter has no equal."""
    return convert_predicted_logits_to_segmentation_with_correct_shape(
        *arguments, **options, otherwise="nnunet"
    )


_REPLACEMENTS = {_CONVERT: _convert_or_leave, _EXPORT: export_prediction_from_logits}
_ORIGINALS: dict[str, Any] = {}


def _original(name: str) -> Any:
    """nnU-Net's own function, whether or not it is patched."""
    if name in _ORIGINALS:
        return _ORIGINALS[name]
    return getattr(_nnunet("inference.export_prediction"), name)


def _swap(old: Any, new: Any) -> None:
    """Replace ``old`` by ``new`` in every module of nnU-Net that imported it by name."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "nnunetv2":
            for key in [key for key, value in vars(module).items() if value is old]:
                setattr(module, key, new)


@contextmanager
def patch() -> Iterator[None]:
    """Let nnU-Net export through softmax2d inside a ``with`` block.

    All of its ways from logits to labels go through here then: ``nnUNetPredictor``'s, also in
    its worker processes, and the validation at the end of a training. Configurations that are not
    reproduced are exported by nnU-Net itself, with a warning. Blocks may be nested.

    Raises
    ------
    ModuleNotFoundError
        nnU-Net is not installed.
    """
    module = _nnunet("inference.export_prediction")
    outermost = not _ORIGINALS
    if outermost:
        _ORIGINALS.update({name: getattr(module, name) for name in _REPLACEMENTS})
        for name, ours in _REPLACEMENTS.items():
            _swap(_ORIGINALS[name], ours)
    try:
        yield
    finally:
        if outermost:
            for name, ours in _REPLACEMENTS.items():
                _swap(ours, _ORIGINALS[name])
            _ORIGINALS.clear()
