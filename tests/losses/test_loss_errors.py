"""Every refusal of the losses: its type and its words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from tests.gate.test_errors import Call, refused

Z = np.zeros((3, 4, 5), np.float32)
T = np.zeros((4, 5), np.uint8)
ENTROPY = [s2d.cross_entropy2d, s2d.cross_entropy2d_with_grad]
REGION = [
    s2d.dice_loss2d,
    s2d.dice_loss2d_with_grad,
    s2d.jaccard_loss2d,
    s2d.jaccard_loss2d_with_grad,
    s2d.tversky_loss2d,
    s2d.tversky_loss2d_with_grad,
]
LOVASZ = [s2d.lovasz_softmax_loss2d, s2d.lovasz_softmax_loss2d_with_grad]
WEIGHTED = ENTROPY + REGION
ALL = WEIGHTED + LOVASZ


@pytest.mark.parametrize("call", ALL)
def test_logits(call: Call) -> None:
    with pytest.raises(TypeError, match=f"^{call.__name__}: logits must be float16"):
        call(Z.astype(bool), T)
    with pytest.raises(ValueError, match=f"^{call.__name__}: logits needs a class axis"):
        call(Z[0], T)
    with pytest.raises(ValueError, match=f"^{call.__name__}: logits must have at least one class"):
        call(Z[:0], T)
    with pytest.raises(ValueError, match=f"^{call.__name__}: temperature must be positive"):
        call(Z, T, temperature=0)
    with pytest.raises((TypeError, ValueError), match=f"^{call.__name__}: size must"):
        call(Z, T, size="large")
    with pytest.raises(ValueError, match=f"^{call.__name__}: interpolation must"):
        call(Z, T, interpolation="cubic")


@pytest.mark.parametrize("call", ALL)
def test_targets_outside_the_classes(call: Call) -> None:
    for bad in (3, 255, 200):
        target = T.copy()
        target[2, 1] = target[3, 3] = bad
        way = f" If {bad} marks pixels without a class, pass ignore_index={bad}."
        text = f"target must be in [0, 3) or ignore_index, 100; got {bad} at (2, 1).{way}"
        refused(ValueError, text, call, Z, target, ignore_index=100)
        text = f"target must be in [0, 3); got {bad} at (0, 2, 1).{way}"
        refused(ValueError, text, call, Z[None], target[None], ignore_index=None)
    signed = T.astype(np.int64)
    signed[0, 4] = -1
    way = " If {0} marks pixels without a class, pass ignore_index={0}."
    text = "target must be in [0, 3); got -1 at (0, 4)." + way.format(-1)
    refused(ValueError, text, call, Z, signed, ignore_index=None)
    huge = np.full((4, 5), 2**64 - 1, np.uint64)
    text = f"target must be in [0, 3); got {2**64 - 1} at (0, 0)." + way.format(2**64 - 1)
    refused(ValueError, text, call, Z, huge, ignore_index=None)
    swapped = huge.astype(">i8")
    text = "target must be in [0, 3) or ignore_index, 7; got -1 at (0, 0)." + way.format(-1)
    refused(ValueError, text, call, Z, swapped, ignore_index=7)
    turned = np.zeros((5, 4), int).T
    turned[1, 0] = 9
    text = "target must be in [0, 3) or ignore_index, 7; got 9 at (1, 0)." + way.format(9)
    refused(ValueError, text, call, Z, turned, ignore_index=7)


@pytest.mark.parametrize("call", ALL)
def test_shapes_of_targets(call: Call) -> None:
    text = "target must hold class indices of shape (4, 5), for logits of shape (3, 4, 5) and "
    text += "dtype float32, class axis 0; got shape {} and dtype uint8. {}"
    size = "Else pass size={} to compare at the target's pixels."
    axis = "If the classes of the logits are on axis 1, pass axis=-2 (tensors: dim)."
    turned = "If rows and columns are exchanged, pass target.swapaxes(-1, -2)."
    targets = {
        f"{axis} {size.format((3, 5))}": T[:3],
        "Pass target[0].": T[None],
        f"{turned} {size.format((5, 4))}": T.T,
        "Pass size=(2, 5) to compare at the target's pixels.": T[:2],
        "If it is one-hot, pass target.argmax(0).": np.zeros((3, 4, 5), np.uint8),
    }
    for way, target in targets.items():
        refused(ValueError, text.format(target.shape, way), call, Z, target)
    text = text.replace("(4, 5), for", "(8, 9), for")
    way = "Pass size=(4, 5) to compare at the target's pixels."
    refused(ValueError, text.format((4, 5), way), call, Z, T, size=(8, 9))


@pytest.mark.parametrize("call", ALL)
def test_dtypes_of_targets(call: Call) -> None:
    kinds = "integer class indices" + (
        " or floating class probabilities" if call in WEIGHTED else ""
    )
    for dtype in ("bool", "complex128", "<U1", "object"):
        way = " Class indices are integers: pass target.astype('uint8'), or target.long() of a "
        way = f"{way}tensor." if dtype == "bool" else ""
        text = f"target must be {kinds}; got shape (4, 5) and dtype {dtype}.{way}"
        refused(TypeError, text, call, Z, T.astype(dtype))
    text = "target must not be a masked array, whose mask would be ignored. "
    text += "Fill it first, for example with target.filled(255)."
    refused(TypeError, text, call, Z, np.ma.masked_array(T, T == 0))
    if call not in WEIGHTED:
        text = f"target must be {kinds}; got shape (3, 4, 5) and dtype float32."
        text += " If it is one-hot, pass target.argmax(0)."
        refused(TypeError, text, call, Z, Z)


@pytest.mark.parametrize("call", WEIGHTED)
def test_probabilities(call: Call) -> None:
    text = "target must hold class probabilities of shape {}, or class indices of shape {}; "
    got = "got shape {} and dtype float32."
    for target in (Z[0], Z[:2], Z[None]):
        way = " Class indices are integers: pass target.astype('uint8'), or target.long() of a "
        way = f"{way}tensor." if target.ndim == 2 else ""
        shapes = text.format((3, 4, 5), (4, 5)) + got.format(target.shape) + way
        refused(ValueError, shapes, call, Z, target)
    shapes = text.format((3, 4, 5), (4, 5)) + got.format((3, 4, 4))
    way = " Pass size=(4, 4) to compare at the target's pixels."
    refused(ValueError, shapes + way, call, Z, Z[..., :4])
    shapes = text.format((3, 8, 9), (8, 9)) + got.format((3, 4, 5))
    shapes += " Pass size=(4, 5) to compare at the target's pixels."
    refused(ValueError, shapes, call, Z, Z, size=(8, 9))
    last = text.format((4, 5, 3), (4, 5)) + got.format((3, 4, 5))
    refused(ValueError, last, call, np.moveaxis(Z, 0, -1), Z, axis=-1)


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize(("value", "kind"), [(1.0, "float"), ("0", "str"), (True, "bool")])
def test_ignore_index(call: Call, value: Any, kind: str) -> None:
    text = f"ignore_index must be an integer or None; got {kind}."
    refused(TypeError, text, call, Z, T, ignore_index=value)
    if call in ENTROPY:
        refused(TypeError, text, call, Z, Z, ignore_index=value)


@pytest.mark.parametrize("call", WEIGHTED)
def test_weight(call: Call) -> None:
    text = "weight must be one value per class, shape (3,); got shape"
    refused(ValueError, f"{text} (2,).", call, Z, T, weight=[1, 2])
    refused(ValueError, f"{text} ().", call, Z, T, weight=1.0)
    refused(
        TypeError, "weight must be real numbers; got dtype bool.", call, Z, T, weight=[True] * 3
    )
    for bad in (-1.0, np.nan, np.inf):
        text = f"weight must be finite and at least 0; got {bad} for class 1."
        refused(ValueError, text, call, Z, T, weight=[1, bad, bad])


@pytest.mark.parametrize("call", ENTROPY)
def test_reduction(call: Call) -> None:
    for bad in ("avg", None, ["mean"], np.zeros(3)):
        text = f"reduction must be mean, sum or none; got {bad!r}."
        refused(ValueError, text, call, Z, T, reduction=bad)


@pytest.mark.parametrize("call", ENTROPY)
def test_smoothing_and_gamma(call: Call) -> None:
    for bad in (-0.1, 1.5, np.nan, np.inf):
        text = f"label_smoothing must be finite and between 0 and 1; got {bad}."
        refused(ValueError, text, call, Z, T, label_smoothing=bad)
    for bad in (-1, np.nan, np.inf):
        text = f"focal_gamma must be finite and at least 0; got {bad}."
        refused(ValueError, text, call, Z, T, focal_gamma=bad)
    for value in ("1", None, True, [0.1], 1j):
        kind = type(value).__name__
        refused(TypeError, f"label_smoothing must be a number; got {kind}.", call, Z, T,
                label_smoothing=value)  # fmt: skip
        refused(TypeError, f"focal_gamma must be a number; got {kind}.", call, Z, T,
                focal_gamma=value)  # fmt: skip


@pytest.mark.parametrize("call", ENTROPY)
def test_the_hardest_pixels(call: Call) -> None:
    text = "top_k must be a whole number of pixels, at least 1, or a fraction of them in (0, 1]; "
    for bad in (0, -3, 0.0, 1.5, -0.5, np.nan):
        refused(ValueError, f"{text}got {bad}.", call, Z, T, top_k=bad)
    for value in ("1", True, [3]):
        what = "a number of pixels, a fraction of them, or None"
        kind = type(value).__name__
        refused(TypeError, f"top_k must be {what}; got {kind}.", call, Z, T, top_k=value)
        what = "a probability or None"
        refused(TypeError, f"threshold must be {what}; got {kind}.", call, Z, T, threshold=value)
    for bad in (0, 1, -0.5, 7, np.nan):
        text = f"threshold must be a probability between 0 and 1; got {bad}."
        refused(ValueError, text, call, Z, T, threshold=bad)
    text = "top_k and threshold choose the pixels that a mean or a sum is taken of; "
    text += "got reduction='none'."
    refused(ValueError, text, call, Z, T, top_k=3, reduction="none")
    refused(ValueError, text, call, Z, T, threshold=0.3, reduction="none")


@pytest.mark.parametrize("call", REGION)
def test_smooth_and_tversky(call: Call) -> None:
    names = ["smooth"] + (["alpha", "beta"] if "tversky" in call.__name__ else [])
    for name in names:
        for bad in (-1, np.nan, np.inf):
            text = f"{name} must be finite and at least 0; got {bad}."
            refused(ValueError, text, call, Z, T, **{name: bad})
        refused(TypeError, f"{name} must be a number; got str.", call, Z, T, **{name: "1"})


@pytest.mark.parametrize("call", LOVASZ)
def test_classes(call: Call) -> None:
    for bad in ("some", None, 3):
        text = f"classes must be present or all; got {bad!r}."
        refused(ValueError, text, call, Z, T, classes=bad)


@pytest.mark.parametrize("call", ALL)
def test_options_are_keywords(call: Call) -> None:
    with pytest.raises(TypeError, match="positional"):
        call(Z, T, 0)
    with pytest.raises(TypeError, match="dim"):
        call(Z, T, dim=0)


@pytest.mark.parametrize("call", REGION)
def test_options_of_regions(call: Call) -> None:
    for name in ("squared", "batch", "include_background"):
        refused(TypeError, f"{name} must be True or False; got 1.", call, Z, T, **{name: 1})
    text = "average must be macro, micro or generalized; got 'mean'."
    refused(ValueError, text, call, Z, T, average="mean")
    text = "absent must be count, full or skip; got None."
    refused(ValueError, text, call, Z, T, absent=None)
    text = "absent='full' gives classes a score of their own, which only average='macro' has; got "
    text += "'micro'. Pass absent='skip' to leave them out."
    refused(ValueError, text, call, Z, T, absent="full", average="micro")
    refused(TypeError, "smooth must be a number; got tuple.", call, Z, T, smooth=(1, 2, 3))
    text = "smooth must be finite and at least 0; got -1."
    for smooth in (-1, (0, -1), [-1, 0]):
        refused(ValueError, text, call, Z, T, smooth=smooth)
    refused(TypeError, "smooth must be a number; got str.", call, Z, T, smooth=(1, "2"))
    text = "include_background=False leaves out class 0; the logits have no other."
    refused(ValueError, text, call, Z[:1], T, include_background=False)
    text = "target must hold class probabilities, between 0 and 1; got numbers in the hundreds. "
    text += "Divide it by what stands for certainty."
    refused(ValueError, text, call, np.zeros((3, 9, 99)), np.full((3, 9, 99), 1e5))
