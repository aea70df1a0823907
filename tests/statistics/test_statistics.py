"""evaluate and Statistics: every measure from its formula, every counter, merged = whole."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import softmax2d as s2d
from softmax2d import Statistics, _core, reference
from softmax2d._exact_sums import ExactSum
from softmax2d._statistics.measures import CLASS_BITS, TOP_BITS
from tests import cases
from tests.statistics import evaluation

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
TARGET_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">i2", ">u4", ">i8")


def scene(
    classes: int, size: tuple[int, ...] = (13, 17), name: str = "float32", batch: int = 1
) -> tuple[Any, Any]:
    """Logits (N, C, H, W) whose labels are often right, and the truth."""
    rng = np.random.default_rng([cases.SEED, classes, batch, *size])
    z = rng.normal(0, 2, (batch, classes, *size))
    target = rng.integers(0, classes, (batch, *size))
    lead = np.take_along_axis(z, target[:, None], 1) + rng.uniform(0, 4, (batch, 1, *size))
    np.put_along_axis(z, target[:, None], lead, 1)
    return z.astype(cases.dtype_of(name)), target


def used_bins(found: Statistics) -> Any:
    return np.flatnonzero(found.bins.pixels)


def assert_close(found: Statistics, want: Statistics, room: float = 1e-6) -> None:
    """Labels and counts equal; sums to rounding; one pixel in a thousand may be a bin away."""
    assert np.array_equal(found.confusion, want.confusion)
    tops = found.top_sums, want.top_sums, TOP_BITS
    for mine, true, bits in (tops, (found.class_sums, want.class_sums, CLASS_BITS)):
        moved = np.abs((mine[0] - true[0]).astype(np.int64)).sum()
        assert moved <= 2 * max(1, true[0].sum() // 1000)
        totals = [side.astype(np.int64).sum(-1) for side in (mine, true)]
        assert np.array_equal(totals[0][0], totals[1][0])
        assert np.array_equal(totals[0][2], totals[1][2])
        near = room * totals[1][1] + want.pixels * (1 + 2.0 ** (bits - 40))
        assert (np.abs(totals[0][1] - totals[1][1]) <= near).all()
    for mine, true in ((found.nll_sum, want.nll_sum), (found.brier_sum, want.brier_sum)):
        assert (mine.infinite, mine.undefined) == (true.infinite, true.undefined)
        assert abs(mine.units - true.units) <= room * true.units + want.pixels * 2**125


# ----------------------------------------------------------------------------- the core


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 19, 256])
def test_counters_agree_with_the_reference(isa: str, name: str, classes: int) -> None:
    logits, target = scene(classes, (31, 37), name)
    want = evaluation.statistics(logits, target, 1)
    assert_close(s2d.evaluate(logits, target), want)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("layout", sorted(cases.LAYOUTS))
def test_any_layout_gives_the_same_counts(isa: str, name: str, layout: str) -> None:
    if layout not in cases.layouts_of(name):
        pytest.skip("bfloat16 has one byte order")
    logits, target = scene(7, (9, 11), name)
    whole = s2d.evaluate(logits[0], target[0])
    array, axis = cases.LAYOUTS[layout](logits[0])
    shape = np.moveaxis(array, axis, 0).shape[1:]
    found = s2d.evaluate(array, target.reshape(shape), axis=axis)
    assert found.as_one_image() == whole.as_one_image()


@pytest.mark.parametrize("kind", [*cases.FINITE, *cases.SPECIAL])
def test_every_kind_of_logits(isa: str, kind: str) -> None:
    """NaN, infinities, subnormal probabilities; ties are at an edge of 15 bins, not of 7."""
    z = cases.columns(kind, 5, 300, "float32")[:, None]
    target = np.random.default_rng(3).integers(0, 5, z.shape[1:])
    found, want = s2d.evaluate(z, target, bins=7), evaluation.statistics(z, target, 0, bins=7)
    assert_close(found, want, 1e-5)
    undefined = np.isnan(reference.softmax2d(z)).any(0).sum()
    assert found.undefined == undefined == found.nll_sum.undefined == found.brier_sum.undefined


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("bins", [1, 3, 10, 15, 100])
@pytest.mark.parametrize("kind", ["normal", "spread", "all_equal", "near_ties", "some_minus_inf"])
def test_bins_are_those_of_the_probabilities_bits(
    isa: str, name: str, bins: int, kind: str
) -> None:
    z = cases.columns(kind, 6, 500, name)[:, None]
    target = np.random.default_rng(3).integers(0, 6, z.shape[1:])
    found = s2d.evaluate(z, target, bins=bins)
    at = reference.bin_of(s2d.segment(z, outputs="confidence").confidence, bins)
    assert found.bins.pixels.tolist() == np.bincount(at.ravel(), minlength=bins).tolist()
    for c, p in enumerate(s2d.softmax2d(z)):
        each = np.bincount(reference.bin_of(p, bins).ravel(), minlength=bins)
        assert found.class_sums[0, c].tolist() == each.tolist()


def test_threads_do_not_change_a_bit() -> None:
    logits, target = scene(19, (200, 300))
    found = []
    for threads in (1, 2, 3):
        s2d.set_num_threads(threads)
        found.append(s2d.evaluate(logits, target))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("kind", TARGET_TYPES)
@pytest.mark.parametrize("how", ["plain", "strided", "negative", "fortran", "unaligned"])
def test_targets_of_any_type_and_layout(kind: str, how: str) -> None:
    logits, target = scene(19, (6, 7), batch=2)
    plain = s2d.evaluate(logits, target)
    made = target.astype(kind)
    if how == "strided":
        wide = np.full((2, 12, 21), 77, made.dtype)
        wide[:, ::2, ::3] = made
        made = wide[:, ::2, ::3]
    elif how == "negative":
        made = np.ascontiguousarray(made[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    elif how == "fortran":
        made = np.asfortranarray(made)
    elif how == "unaligned":
        buffer = np.zeros(made.nbytes + 1, np.uint8)
        view = buffer[1:].view(made.dtype).reshape(made.shape)
        view[...] = made
        made = view
    assert s2d.evaluate(logits, made) == plain


def test_targets_from_torch_and_lists() -> None:
    torch = pytest.importorskip("torch")
    logits, target = scene(3, (4, 5))
    plain = s2d.evaluate(logits, target)
    assert s2d.evaluate(torch.from_numpy(logits), torch.from_numpy(target)) == plain
    assert s2d.evaluate(logits, target.tolist()) == plain


@pytest.mark.parametrize(("kind", "ignore"), [("i8", -100), ("u1", 255), ("i1", -1), ("u2", 3)])
def test_ignored_pixels_count_nowhere(isa: str, kind: str, ignore: int) -> None:
    logits, target = scene(19, (12, 13), batch=2)
    target = target.astype(kind)
    left_out = np.random.default_rng(1).random(target.shape) < 0.3
    target[left_out] = ignore
    used = target != ignore
    found = s2d.evaluate(logits, target, ignore_index=ignore)
    only = np.moveaxis(logits, 1, 0)[:, used][:, None]
    same = s2d.evaluate(only, target[used][None])
    assert found.as_one_image() == same
    assert found.pixels == used.sum()


def test_an_ignored_value_that_the_type_cannot_hold() -> None:
    logits, target = scene(3)
    for value in (-100, 300, 1 << 80):
        found = s2d.evaluate(logits, target.astype(np.uint8), ignore_index=value)
        assert found == s2d.evaluate(logits, target)


def test_everything_ignored_is_empty() -> None:
    logits, target = scene(4)
    found = s2d.evaluate(logits, np.full_like(target, -1), ignore_index=-1)
    assert (found.images, found.pixels) == (1, 0)
    assert np.isnan([found.nll, found.ece, found.accuracy]).all()


def test_temperature_and_bias_are_those_of_softmax(isa: str) -> None:
    logits, target = scene(5, (8, 9), "float64")
    bias = np.linspace(-1, 1, 5)
    mapped = reference.mapped(logits, 1, 1.7, bias)
    found = s2d.evaluate(logits, target, temperature=1.7, bias=bias)
    assert_close(found, evaluation.statistics(mapped, target, 1))


def test_one_bin_and_many() -> None:
    logits, target = scene(4, (20, 30))
    one = s2d.evaluate(logits, target, bins=1)
    mean = s2d.segment(logits, outputs="confidence").confidence.mean(dtype=np.float64)
    assert one.ece == one.ace == one.mce == pytest.approx(abs(one.accuracy - mean), abs=1e-7)
    assert one.bins.edges.tolist() == [0, 1]
    many = s2d.evaluate(logits, target, bins=10_000)
    assert many.bins.pixels.sum() == one.bins.pixels.sum() == target.size


def test_certainty_is_in_the_last_bin(isa: str) -> None:
    """Other libraries put the value 1 into a bin of its own."""
    logits = np.zeros((2, 1, 3), np.float32)
    logits[0] = 1000
    found = s2d.evaluate(logits, np.array([[0, 0, 1]]), bins=15)
    assert found.bins.pixels.tolist() == [0] * 14 + [3]
    assert found.bins.confidence[-1] == 1
    assert found.class_sums[0].tolist() == [[0] * 14 + [3], [3] + [0] * 14]
    assert found.ece == pytest.approx(1 / 3)


def test_an_edge_belongs_to_the_bin_above(isa: str) -> None:
    """Equal logits of 2, 4, 5, 8 classes: probabilities at an edge of ten bins, or none."""
    for classes in (2, 4, 5, 8):
        found = s2d.evaluate(np.zeros((classes, 1, 1)), np.zeros((1, 1), int), bins=10)
        assert used_bins(found).tolist() == [int(reference.bin_of(1 / classes, 10))]


def test_one_class() -> None:
    found = s2d.evaluate(np.ones((1, 2, 2), np.float32), np.zeros((2, 2), np.uint8))
    assert (found.accuracy, found.nll, found.brier, found.ece, found.mean_iou) == (1, 0, 0, 0, 1)


@pytest.mark.parametrize("shape", cases.empty_shapes())
def test_no_pixels(shape: tuple[int, ...]) -> None:
    logits = np.zeros(shape, np.float32)
    target = np.zeros(shape[:-3] + shape[-2:], np.uint8)
    found = s2d.evaluate(logits, target)
    assert found.pixels == 0
    assert found.images == int(np.prod(shape[:-3]))


def test_images_are_entries_over_the_batch_axes() -> None:
    target = np.zeros((2, 3, 4, 5), np.int64)
    target[0, 0] = 1
    target[1, 2, 0, 0] = 2
    first = np.zeros((2, 3, 4, 4, 5), np.float32)
    last = np.zeros((2, 3, 4, 5, 4), np.float32)
    for found in (s2d.evaluate(first, target), s2d.evaluate(last, target, axis=-1)):
        assert found.images == 6
        assert found.image_counts.tolist() == [5, 1, 1, 0]
    volumes = s2d.evaluate(last, target, axis=-1, spatial_dims=3)
    assert (volumes.images, volumes.image_counts.tolist()) == (2, [2, 1, 1, 0])


def test_a_large_image_of_certain_pixels() -> None:
    logits = np.zeros((2, 3000, 3000), np.float16)
    logits[0] = 20
    found = s2d.evaluate(logits, np.zeros((3000, 3000), np.uint8))
    assert found.bins.confidence[-1] == pytest.approx(1)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((31, 20), {}),
        ((5, 40), {"align_corners": True}),
        ((31, 20), {"interpolation": "nearest"}),
        ((31, 20), {"interpolation": ("nearest-exact", "linear")}),
    ],
)
def test_resampled_logits(isa: str, name: str, size: tuple[int, int], options: Any) -> None:
    """What the labels and probabilities of the interpolated logits give; and a window's part."""
    logits, _ = scene(6, (9, 11), name, batch=2)
    target = np.random.default_rng(2).integers(0, 6, (2, *size))
    found = s2d.evaluate(logits, target, size=size, **options)
    labels = s2d.segment(logits, size=size, outputs="labels", **options).labels
    assert np.array_equal(found.confusion, reference.confusion(target, labels, 6))
    logs = s2d.log_softmax2d(interpolated(logits, size, **options))
    nll = -np.take_along_axis(logs, target[:, None], 1).mean()
    assert found.nll == pytest.approx(nll, rel=1e-5)
    assert found.images == 2
    windows = [(slice(0, 3), slice(None)), (slice(3, None), slice(0, 7))]
    windows.append((slice(3, None), slice(7, None)))
    tiles = [
        s2d.evaluate(logits, target[:, a, b], size=size, window=(a, b), **options)
        for a, b in windows
    ]
    together = sum(tiles)
    assert together.as_one_image() == found.as_one_image()


def interpolated(logits: Any, size: Any, interpolation: Any = "linear", **options: Any) -> Any:
    """In float64, by the other library, an axis after the other."""
    torch = pytest.importorskip("torch")
    kinds = (interpolation,) * 2 if isinstance(interpolation, str) else interpolation
    whole = torch.from_numpy(logits.astype(np.float64))
    for axis, kind in enumerate(kinds):
        to = [*whole.shape[2:]]
        to[axis] = size[axis]
        mode, more = ("bilinear", options) if kind == "linear" else (kind, {})
        whole = torch.nn.functional.interpolate(whole, to, mode=mode, **more)
    return whole.numpy()


# ------------------------------------------------------------------------- the measures


def by_hand(target: Any, labels: Any, classes: int) -> dict[str, Any]:
    """IoU, Dice, precision and recall by counting."""
    measures: dict[str, list[float]] = {k: [] for k in ("iou", "dice", "precision", "recall")}
    for c in range(classes):
        truth, label = target == c, labels == c
        both = (truth & label).sum()
        for name, below in (
            ("iou", (truth | label).sum()),
            ("precision", label.sum()),
            ("recall", truth.sum()),
        ):
            measures[name].append(both / below if below else np.nan)
        total = truth.sum() + label.sum()
        measures["dice"].append(2 * both / total if total else np.nan)
    return {name: np.array(values) for name, values in measures.items()}


@pytest.mark.parametrize("classes", [1, 2, 7, 40])
def test_measures_of_labels(classes: int) -> None:
    logits, target = scene(classes, (9, 8), batch=3)
    logits[:, -1] = -50  # no pixel has this label, the one before is no pixel's truth
    target[target == classes - 2] = 0
    labels = s2d.segment(logits, outputs="labels").labels
    found, want = s2d.evaluate(logits, target), by_hand(target, labels, classes)
    assert np.array_equal(found.confusion, reference.confusion(target, labels, classes))
    for name, values in want.items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-15)
    assert found.accuracy == (labels == target).mean()
    means = found.mean_iou, found.mean_dice, found.mean_accuracy
    expected = [np.nanmean(want[name]) for name in ("iou", "dice", "recall")]
    np.testing.assert_allclose(means, expected, rtol=1e-14)
    assert (found.pixels, found.images) == (target.size, 3)
    assert found.class_pixels.tolist() == np.bincount(target.ravel(), minlength=classes).tolist()
    occurs = [sum((image == c).any() for image in target) for c in range(classes)]
    assert found.image_counts.tolist() == occurs


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_measures_of_probabilities(name: str, bins: int) -> None:
    logits, target = scene(6, (40, 50), name)
    found = s2d.evaluate(logits, target, bins=bins)
    z = logits.astype(np.float64)
    room = {"rel": 1e-6, "abs": 1e-7}
    assert found.nll == pytest.approx(reference.nll(z, target).mean(), **room)
    assert found.brier == pytest.approx(reference.brier(z, target).mean(), **room)
    probs, right = s2d.softmax2d(logits), reference.labels(z) == target
    sure = probs.max(1).astype(np.float64)
    errors = reference.calibration_errors(sure, right, bins)
    assert (found.ece, found.ace, found.mce) == pytest.approx(errors, **room)
    pairs = [(probs[:, c].astype(np.float64), target == c) for c in range(6)]
    each, _, largest = zip(*(reference.calibration_errors(*p, bins) for p in pairs), strict=True)
    np.testing.assert_allclose(found.class_ece, each, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.class_mce, largest, rtol=1e-6, atol=1e-7)
    assert found.classwise_ece == pytest.approx(np.mean(each), **room)
    at = reference.bin_of(sure, bins)
    for i in used_bins(found).tolist():
        assert found.bins.pixels[i] == (at == i).sum()
        assert found.bins.confidence[i] == pytest.approx(sure[at == i].mean(), **room)
        assert found.bins.accuracy[i] == right[at == i].mean()


def test_likelihood_and_calibration_of_other_libraries() -> None:
    functional = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    logits, target = scene(9, (30, 20), "float64")
    found = s2d.evaluate(logits, target)
    nll = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(target))
    assert found.nll == pytest.approx(float(nll), rel=1e-12)


def test_a_certain_mistake_has_infinite_likelihood() -> None:
    logits = np.zeros((2, 1, 4))
    logits[0] = -np.inf
    found = s2d.evaluate(logits, np.array([[1, 1, 1, 0]]))
    assert (found.nll, found.brier) == (np.inf, 0.5)
    assert found.nll_sum.infinite == 1


def test_pixels_without_probabilities_have_a_label_and_no_bin() -> None:
    logits, target = scene(3, (4, 5))
    logits[0, 1, 0, :2] = np.nan
    found = s2d.evaluate(logits, target)
    assert (found.pixels, found.undefined) == (20, 2)
    assert found.bins.pixels.sum() == 18
    assert np.isnan([found.nll, found.brier]).all()
    assert np.isfinite([found.ece, found.ace, found.mce, found.classwise_ece]).all()
    assert found.accuracy == (logits.argmax(1) == target).mean()
    assert "2 pixels without probabilities" in found.report()


def test_nothing_counted_is_nan_without_a_warning() -> None:
    none = Statistics.empty(3, 4)
    single = ("accuracy", "mean_accuracy", "mean_iou", "mean_dice", "nll", "brier")
    for name in (*single, "ece", "ace", "mce", "classwise_ece"):
        assert np.isnan(getattr(none, name)), name
    for name in ("iou", "dice", "precision", "recall", "class_ece", "class_mce"):
        assert np.isnan(getattr(none, name)).all(), name
    assert np.isnan(none.bins.confidence).all() and np.isnan(none.bins.accuracy).all()
    assert (none.pixels, none.images, none.undefined) == (0, 0, 0)


# --------------------------------------------------------------------- merging, travelling


@each_isa
@given(data=st.data())
def test_any_split_in_any_order_is_the_whole(isa: str, data: Any) -> None:
    classes, bins = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 20))
    height = data.draw(st.integers(2, 12))
    logits, target = scene(classes, (height, 7))
    whole = s2d.evaluate(logits[0], target[0], bins=bins)
    cuts = sorted(data.draw(st.sets(st.integers(1, height - 1))))
    rows = list(zip([0, *cuts], [*cuts, height], strict=True))
    order = data.draw(st.permutations(rows))
    tiles = [s2d.evaluate(logits[0, :, a:b], target[0, a:b], bins=bins) for a, b in order]
    together = sum(tiles)
    assert together.as_one_image() == whole
    assert together.images == len(rows)
    measures = ("nll", "brier", "ece", "ace", "mce", "classwise_ece", "mean_iou")
    for name in measures:  # bit for bit
        assert np.array_equal(getattr(together, name), getattr(whole, name), equal_nan=True)


def test_batches_add_up() -> None:
    logits, target = scene(5, (6, 7), batch=4)
    target[2] = 3
    whole = s2d.evaluate(logits, target)
    parts = [s2d.evaluate(z, t) for z, t in zip(logits, target, strict=True)]
    assert whole == sum(parts) == sum(parts[::-1], Statistics.empty(5))
    assert whole != parts[0]
    assert parts[0] + parts[1] == parts[1] + parts[0]


def test_sums_pass_the_range_of_64_bits() -> None:
    """2^30 times the pixels of an image, by adding."""
    found = s2d.evaluate(np.ones((1, 1, 4), np.float32), np.zeros((1, 4), int), bins=2)
    mean = found.bins.confidence[1]
    for _ in range(30):
        found += found
    assert int(found.top_sums[1, 1]) == 4 << (30 + TOP_BITS)
    assert found.bins.confidence[1] == mean == 1


@pytest.mark.parametrize("other", [Statistics.empty(3), Statistics.empty(2, 10)])
def test_other_classes_or_bins_cannot_be_added(other: Statistics) -> None:
    got = f"{other.classes} classes in {other.top_sums.shape[1]} bins."
    with pytest.raises(ValueError, match=f"2 classes in 15 bins and {got}"):
        Statistics.empty(2) + other
    with pytest.raises(TypeError):
        Statistics.empty(2) + 1
    with pytest.raises(TypeError):
        1 + Statistics.empty(2)
    assert other != 1
    assert other != Statistics.empty(2)


def test_pickles_and_dicts_come_back_equal() -> None:
    logits, target = scene(4, batch=2)
    logits[0, 0, 0, 0] = np.nan
    found = s2d.evaluate(logits, target)
    for copy in (
        pickle.loads(pickle.dumps(found)),
        Statistics.from_dict(json.loads(json.dumps(found.to_dict()))),
    ):
        assert copy == found
        assert type(copy) is Statistics
        assert copy.confusion.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            copy.confusion[0, 0] = 1


def test_saved_and_loaded(tmp_path: Any) -> None:
    logits, target = scene(4, batch=2)
    found = s2d.evaluate(logits, target)
    found.save(tmp_path / "a.json")
    again = Statistics.load(tmp_path / "a.json")
    assert again == found and type(again) is Statistics
    assert (tmp_path / "a.json").read_text() == found.to_json()
    assert list(found.to_dict())[:2] == ["format", "format_version"]
    (tmp_path / "cut.json").write_text(found.to_json()[:99])
    for name in ("cut.json", "gone.json"):
        with pytest.raises(ValueError, match=f"{name}: (is no JSON|no such file)"):
            Statistics.load(tmp_path / name)


def test_dicts_from_before_the_envelope_are_read(tmp_path: Any) -> None:
    found = s2d.evaluate(*scene(3))
    old = {"format": 1} | dict(list(found.to_dict().items())[2:])
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert Statistics.from_dict(old) == found == Statistics.load(tmp_path / "old.json")
    with pytest.raises(ValueError, match="nll_sum is missing"):
        Statistics.from_dict({k: v for k, v in old.items() if k != "nll_sum"})


def test_statistics_cannot_be_changed() -> None:
    found = Statistics.empty(2)
    with pytest.raises(AttributeError):
        found.images = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)
    with pytest.raises(ValueError, match="read-only"):
        found.top_sums[0, 0] = 1
    assert repr(found).startswith("Statistics(classes=2, images=0, pixels=0, accuracy=nan")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"format": 2}, ValueError, 'expected an object whose "format" is "softmax2d statistics"'),
        ({"format_version": 2}, ValueError, "format_version must be 1, the only one known; got 2."),
        ({"more": 1}, ValueError, "'more' is not a known field."),
        ({"confusion": None}, ValueError, "shape (C, C)"),
        ({"confusion": [[1, 2], [3, -4]]}, ValueError, "must not be negative; got -4."),
        ({"confusion": [[1, 2], [3, 0.5]]}, TypeError, "must be integers; got 0.5."),
        ({"confusion": [[1, 2], [3, True]]}, TypeError, "must be integers; got True."),
        ({"image_counts": [1]}, ValueError, "must have shape (2,); got shape (1,)."),
        ({"images": 1.5}, ValueError, "images must be a count; got 1.5."),
        ({"images": -1}, ValueError, "images must be a count; got -1."),
        (
            {"nll_sum": 3},
            ValueError,
            "a sum must have three counts, units, infinite, undefined; got 3.",
        ),
        ({"brier_sum": {"units": 1}}, ValueError, "a sum must have three counts"),
        ({"top_sums": [[1]] * 3}, ValueError, "class_sums must have shape (3, 2, 1)"),
    ],
)
def test_damaged_dicts_are_refused(change: Any, error: Any, text: str) -> None:
    plain = Statistics.empty(2).to_dict() | change
    with pytest.raises(error) as caught:
        Statistics.from_dict(plain)
    assert text in str(caught.value)
    with pytest.raises(ValueError, match="nll_sum is missing"):
        Statistics.from_dict(
            {k: v for k, v in Statistics.empty(2).to_dict().items() if k != "nll_sum"}
        )
    with pytest.raises(ValueError, match="expected an object"):
        Statistics.from_dict([1])


@given(st.lists(st.floats(0, 2.0**100, width=32), max_size=20))
def test_exact_sums_are_exact(values: list[float]) -> None:
    sums = np.zeros(256, np.int64)
    evaluation.by_exponent(np.array(values), sums)
    found = ExactSum.from_core(sums)
    want = sum(map(Fraction, values), Fraction(0))
    assert Fraction(found.units, 1 << 149) == want
    if values:
        assert found.mean(len(values)) == float(want / len(values))


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"target": np.zeros((3, 4))},
            TypeError,
            "target must be integer class indices; got shape (3, 4)",
        ),
        (
            {"target": np.zeros((3, 4), bool)},
            TypeError,
            "class indices; got shape (3, 4) and dtype bool.",
        ),
        ({"target": np.ma.masked_all((3, 4), int)}, TypeError, "target.filled(255)."),
        (
            {"target": np.zeros((4, 3), int)},
            ValueError,
            "target must hold class indices of shape (3, 4), for",
        ),
        ({"target": "labels"}, TypeError, "target must be an array; got str. Read the file"),
        ({"ignore_index": 1.0}, TypeError, "ignore_index must be an integer or None; got float."),
        ({"ignore_index": True}, TypeError, "ignore_index must be an integer or None; got bool."),
        ({"bins": 0}, ValueError, "bins must be between 1 and 10000; got 0."),
        ({"bins": 1 << 70}, ValueError, "bins must be between 1 and 10000; got"),
        ({"bins": 1.5}, TypeError, "bins must be an integer; got float."),
        ({"bins": True}, TypeError, "bins must be an integer; got bool."),
        ({"temperature": 0}, ValueError, "temperature must be positive and finite; got 0.0."),
        ({"axis": 5}, ValueError, "axis must be between -3 and 2"),
    ],
)
def test_refusals(options: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments = {"target": np.zeros((3, 4), int)} | options
    with pytest.raises(error) as caught:
        s2d.evaluate(np.zeros((2, 3, 4), np.float32), **arguments)
    assert str(caught.value).startswith("evaluate: ")
    assert text in str(caught.value)


@pytest.mark.parametrize("kind", TARGET_TYPES)
def test_the_first_place_of_a_bad_target_is_named(kind: str) -> None:
    logits, target = scene(19, (8, 9), batch=3)
    bad = target.astype(kind)
    bad[1, 2, 3], bad[1, 2, 4], bad[2, 0, 0] = 19, 20, 21
    rule = "evaluate: target must be in [0, 19)"
    with pytest.raises(ValueError, match=r"^evaluate: target") as caught:
        s2d.evaluate(logits, bad)
    more = "if they mark pixels without a class, give all of them one value and pass that as "
    more += "ignore_index."
    assert str(caught.value) == f"{rule}; got 19 at (1, 2, 3). So are others (19, 20, 21): {more}"
    with pytest.raises(ValueError, match=r"^evaluate: target") as caught:
        s2d.evaluate(logits, bad, ignore_index=19)
    assert str(caught.value) == (
        f"{rule} or ignore_index, 19; got 20 at (1, 2, 4). So are others (20, 21): {more}"
    )
    if np.dtype(kind).kind == "i":
        bad[0, 7, 8] = -1
        with pytest.raises(ValueError, match=r"got -1 at \(0, 7, 8\)\. So"):
            s2d.evaluate(logits, bad)


def test_the_largest_integers_are_no_classes() -> None:
    logits = np.zeros((2, 1, 1), np.float32)
    for value, kind in ((2**64 - 1, "u8"), (2**63 - 1, "i8"), (-(2**63), "i8"), (2**32, "i8")):
        with pytest.raises(ValueError, match=f"got {value} at"):
            s2d.evaluate(logits, np.full((1, 1), value, kind))


def test_the_core_counts_targets() -> None:
    counts = np.zeros(3, np.int64)
    target = np.array([0, 2, 2, -1, 1, -1], np.int16)
    assert _core.count_targets(target, True, 3, -1, counts) == (2, -1)
    assert counts.tolist() == [1, 1, 2]
