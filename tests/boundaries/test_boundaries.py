"""``evaluate_boundaries``: against loops over pixels and points, in any tiles, and its edges."""

import json
import math
import pickle
import re
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d._boundaries import counting
from softmax2d._boundaries import evaluate as door
from softmax2d._boundaries.counting import Counts, Part, Scale, count, region_of, seen
from softmax2d._boundaries.elements import coefficients, corners_of, sizes
from softmax2d._boundaries.tiles import extents_of, known_pixels, parts_of
from tests.boundaries.loops import areas, boundaries, lengths


def maps(seed, shape, classes=3, noise=0.05):
    """A truth of patches, and labels that are moved and noisy."""
    r = np.random.default_rng(seed)
    coarse = r.integers(0, classes, [-(-n // 4) for n in shape])
    truth = coarse
    for axis, n in enumerate(shape):
        truth = truth.repeat(4, axis).take(range(n), axis)
    labels = np.roll(truth, r.integers(-2, 3, len(shape)), range(len(shape)))
    labels = np.where(r.random(shape) < noise, r.integers(0, classes, shape), labels)
    return labels.astype(np.uint8), truth.astype(np.uint8)


def scores(found):
    return np.stack([found.boundary_iou, found.boundary_f, found.surface_dice])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.5, 0.7), (1.0, 1.0, 1.0), (3.0, 0.9, 1.4)])
def test_elements_measure_marching_squares_and_cubes(spacing):
    dims = len(spacing)
    table, corners = (lengths if dims == 2 else areas)(spacing), corners_of(dims)
    found = coefficients(dims) @ sizes(spacing)
    for code, size in enumerate(found):
        inside = frozenset(c for bit, c in enumerate(corners) if code >> bit & 1)
        assert size == pytest.approx(table[inside], rel=1e-14), inside


@pytest.mark.parametrize("tolerance", [0, 1, 2.2, 100])
@pytest.mark.parametrize("spacing", [None, (1.7, 0.6)])
@pytest.mark.parametrize("ignore", [None, 9])
def test_pictures_against_loops(tolerance, spacing, ignore):
    labels, truth = maps(1, (9, 10))
    if ignore is not None:
        truth[4:6, 3:8], truth[0, 0] = ignore, ignore
    found = s2d.evaluate_boundaries(
        labels, truth, tolerance=tolerance, spacing=spacing, classes=5, ignore_index=ignore
    )
    steps, ignored = spacing or (1.0, 1.0), truth == 9
    wanted = [boundaries(labels, truth, c, tolerance, steps, ignored) for c in range(5)]
    np.testing.assert_allclose(scores(found), np.transpose(wanted), rtol=1e-13)
    assert np.isnan(scores(found)[:, 3:]).all()


@pytest.mark.parametrize("tolerance", [0, 1.5])
def test_volumes_against_loops(tolerance):
    labels, truth = maps(2, (5, 6, 4))
    truth[2, 2:4, 1] = 255
    found = s2d.evaluate_boundaries(
        labels, truth, tolerance=tolerance, spacing=(2, 0.8, 1), ignore_index=255, spatial_dims=3
    )
    ignored = truth == 255
    wanted = [
        boundaries(labels, truth, c, tolerance, (2, 0.8, 1), ignored) for c in range(found.classes)
    ]
    np.testing.assert_allclose(scores(found), np.transpose(wanted), rtol=1e-13)


@pytest.mark.parametrize("shape", [(11, 13), (4, 5, 6)])
@pytest.mark.parametrize("tolerance", [0, 2.5])
def test_parts_of_any_size_count_the_same(shape, tolerance):
    labels, truth = maps(3, shape)
    truth.flat[5::29] = 255
    scale, ignored = Scale(tolerance, (1.5, 1.0, 0.8)[: len(shape)]), truth == 255
    whole = tuple(slice(0, n) for n in shape)
    wanted = count(Part(*seen(labels, truth, ignored), whole, whole, shape), scale, 3)
    for extents in ((1,) * len(shape), (3, 5, 2)[: len(shape)], (20, 2, 4)[: len(shape)]):
        found = Counts.empty(3, len(shape))
        for core in parts_of(shape, extents):
            region = region_of(core, shape, scale.margin)
            piece = seen(labels[region], truth[region], ignored[region])
            found += count(Part(*piece, region, core, shape), scale, 3)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("spacing", [(1, 1), (2.5, 0.7), (1, 1, 1), (0.4, 3, 1)])
def test_noise_counts_the_same_place_by_place_as_by_a_tree(monkeypatch, spacing):
    shape = (30, 34) if len(spacing) == 2 else (9, 11, 10)
    r = np.random.default_rng(6)
    for classes, tolerance in ((2, 0), (2, 1), (5, 1.5), (5, 2), (9, 4)):
        pair = r.integers(0, classes, (2, *shape))
        pair[1][r.random(shape) < 0.1] = 255
        options = {"tolerance": tolerance, "spacing": spacing, "ignore_index": 255}
        options["spatial_dims"] = len(spacing)
        found = []
        for sparse in (8, 0):  # none is dense enough for 0
            monkeypatch.setattr(counting, "_SPARSE", sparse)
            found.append(s2d.evaluate_boundaries(*pair, **options))
        assert found[0] == found[1]


def test_a_class_at_the_last_edges_meets_nothing_far_away():
    truth, labels = np.zeros((2, 300, 400), np.uint8)
    truth[40:90, 30:70] = labels[150:180, 350:] = labels[280:, 200:230] = 1
    for pair in ((labels, truth), (truth, labels)):
        found = s2d.evaluate_boundaries(*pair, tolerance=2)
        assert not found.points[:, 0].any()
        assert found.boundary_f.tolist() == [0, 0]


def test_large_images_are_counted_in_parts(monkeypatch):
    labels, truth = maps(4, (60, 50))
    whole = s2d.evaluate_boundaries(labels, truth, tolerance=3)
    asked = []
    monkeypatch.setattr(door, "_PIXELS", 500)
    monkeypatch.setattr(door, "count", lambda part, *rest: asked.append(part) or count(part, *rest))
    assert s2d.evaluate_boundaries(labels, truth, tolerance=3) == whole
    assert len(asked) > 10
    assert all(part.labels.size <= 500 for part in asked)


def test_extents_keep_to_the_pixels_where_they_can():
    assert extents_of((100, 200), (3, 3), 10**6) == [100, 200]
    extents = extents_of((1000, 2000, 50), (4, 4, 4), 10**5)
    assert known_pixels(extents, (1000, 2000, 50), (4, 4, 4)) <= 10**5
    assert min(extents) > 1
    assert known_pixels(extents_of((40, 40), (50, 50), 100), (40, 40), (50, 50)) == 1600
    assert list(parts_of((2, 3), (2, 2))) == [
        (slice(0, 2), slice(0, 2)),
        (slice(0, 2), slice(2, 3)),
    ]


def test_the_same_maps_are_right_and_one_without_a_class_is_wrong():
    _, truth = maps(5, (20, 20), noise=0)
    same = s2d.evaluate_boundaries(truth, truth, tolerance=0, classes=4)
    np.testing.assert_array_equal(scores(same)[:, :3], 1)
    assert np.isnan(scores(same)[:, 3]).all()
    assert same.mean_boundary_iou == same.mean_boundary_f == same.mean_surface_dice == 1
    without = s2d.evaluate_boundaries(np.where(truth == 2, 1, truth), truth, tolerance=3)
    np.testing.assert_array_equal(scores(without)[:, 2], 0)


def test_a_single_pixel():
    truth = np.zeros((7, 7), np.uint8)
    truth[3, 3] = 1
    found = s2d.evaluate_boundaries(np.roll(truth, 1, 0), truth, tolerance=1, spacing=0.5)
    assert found.boundary_iou[1] == 0
    assert found.boundary_f[1] == found.surface_dice[1] == 1
    assert found.points[:, :, 1].tolist() == [[4, 4], [4, 4]]
    assert found.surface[1, 1] == pytest.approx(4 * 0.5 * math.sqrt(0.5))
    apart = s2d.evaluate_boundaries(np.roll(truth, 1, 0), truth, tolerance=0)
    assert apart.boundary_f[1] == apart.surface_dice[1] == 0.5


def test_the_edge_of_the_image():
    one = np.ones((4, 5), np.uint8)  # a class that fills the image
    found = s2d.evaluate_boundaries(one, one, tolerance=1, spacing=(2, 3))
    assert np.isnan(found.boundary_f[1])
    assert found.boundary_iou[1] == found.surface_dice[1] == 1
    corners = 4 * math.hypot(2, 3) / 2
    assert found.surface[1, 1] == pytest.approx(2 * 3 * 2 + 2 * 4 * 3 + corners)


def test_where_pixels_are_ignored_is_no_boundary():
    truth = np.zeros((9, 9), np.uint8)
    truth[:, 4], truth[:, 5:] = 255, 1
    labels = (np.arange(9) > 3).astype(np.uint8)[None].repeat(9, 0)
    found = s2d.evaluate_boundaries(labels, truth, tolerance=1, ignore_index=255)
    assert found.points.sum() == 0
    assert scores(found)[[0, 2]].tolist() == [[1, 1], [1, 1]]
    labels[:, 4] = 77  # whatever the label is there
    assert s2d.evaluate_boundaries(labels, truth, tolerance=1, ignore_index=255) == found


def test_a_distance_that_rounding_lifts_above_the_tolerance_is_within_it():
    truth = np.zeros((4, 12), np.uint8)
    truth[:, :4] = 1
    labels = np.roll(truth, 3, 1)
    labels[:, :4] = 1
    for spacing in (0.1, float(np.float32(0.1)), 1 / 3):
        near = [
            s2d.evaluate_boundaries(labels, truth, tolerance=t, spacing=spacing).boundary_f[1]
            for t in (3 * round(spacing, 4) if spacing != 1 / 3 else 1.0, 2.9 * spacing)
        ]
        assert near == [1, 0]


def test_images_and_their_means():
    pairs = [maps(seed, (16, 12)) for seed in range(3)]
    labels, truth = map(np.stack, zip(*pairs, strict=True))
    truth[2][truth[2] == 2] = 1
    labels[2][labels[2] == 2] = 0
    options = {"tolerance": 1, "classes": 3}
    whole = s2d.evaluate_boundaries(labels, truth, **options)
    each = [s2d.evaluate_boundaries(*pair, **options) for pair in zip(labels, truth, strict=True)]
    assert whole.images == 3
    np.testing.assert_array_equal(whole.by_image, np.stack([scores(one) for one in each]))
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        found = sum(each[i] for i in order)
        assert found == whole
        for one, other in zip(found.image_means, whole.image_means, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(
        whole.image_means.surface_dice, np.nanmean(whole.per_image.surface_dice, 0), rtol=1e-15
    )
    np.testing.assert_allclose(
        whole.image_means.boundary_f[2], whole.per_image.boundary_f[:2, 2].mean()
    )


def test_spacings_are_kept_apart():
    labels, truth = maps(6, (14, 14))
    options = {"tolerance": 1.5, "classes": 3}
    one, two = (
        s2d.evaluate_boundaries(labels, truth, spacing=s, **options) for s in ((1, 2), (0.5, 0.75))
    )
    both = one + two
    assert both == two + one
    assert [*both.elements] == [(0.5, 0.75), (1.0, 2.0)]
    np.testing.assert_allclose(both.surface, one.surface + two.surface)


def test_saved_and_pickled(tmp_path):
    found = s2d.evaluate_boundaries(*maps(7, (2, 9, 9)), tolerance=0.3, spacing=(0.2, 0.1))
    found.save(tmp_path / "found.json")
    for again in (s2d.Boundaries.load(tmp_path / "found.json"), pickle.loads(pickle.dumps(found))):
        assert again == found
        np.testing.assert_array_equal(again.by_image, found.by_image)
    assert repr(found).startswith("Boundaries(classes=3, images=2, tolerance=0.3, mean_boundary")
    assert not found.band.flags.writeable


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        ("tolerance", -1, "tolerance must be a finite number, 0 or more"),
        ("unit", 3, "unit must be a string; got 3"),
        ("spatial_dims", 4, "spatial_dims must be 2 or 3; got 4"),
        ("band", [[1, 2]], "band must have shape"),
        ("band", [[5, 5, 5], [1, 1, 1]], "no more can be near"),
        ("points", [[[0.5] * 3] * 2] * 2, "points must be integers"),
        ("points", [[[-1] * 3] * 2] * 2, "points must not be negative"),
        ("elements", {}, "elements must be a list of spacings with counts"),
        ("elements", [{"spacing": [0, 1], "counts": []}], "a spacing must be 2 numbers above 0"),
        ("by_image", [[[2, 0, 0]] * 3], "by_image must be scores from 0 to 1"),
        ("by_image", [["x"]], "by_image must be numbers or null"),
        ("by_image", [[[1]]], "by_image must have shape (images, 3, 3)"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, field, value, cause):
    found = s2d.evaluate_boundaries(*maps(7, (9, 9)), tolerance=1)
    plain = json.loads(found.to_json()) | {field: value}
    (tmp_path / "bad.json").write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=re.escape(cause)):
        s2d.Boundaries.load(tmp_path / "bad.json")


def test_what_cannot_be_added():
    labels, truth = maps(8, (9, 9))
    one = s2d.evaluate_boundaries(labels, truth, tolerance=1)
    for options in (
        {"tolerance": 2},
        {"tolerance": 1, "spacing": 1},
        {"tolerance": 1, "classes": 5},
    ):
        with pytest.raises(ValueError, match="only those of one tolerance, its unit, and the same"):
            one + s2d.evaluate_boundaries(labels, truth, **options)
    assert sum([one]) == one
    with pytest.raises(TypeError):
        one + 1


def test_the_report(tmp_path):
    labels, truth = maps(9, (3, 20, 20))
    found = s2d.evaluate_boundaries(labels, truth, tolerance=2, classes=4, spacing=(1, 1.5))
    text = found.report(["a", "b", "c", "none"])
    assert text.startswith("3 images, 4 classes; boundaries within 2, pixels of 1 × 1.5\n")
    assert "mean surface Dice per image" in text
    head = next(line for line in text.splitlines() if line.startswith("class"))
    assert "boundary IoU  boundary F  surface Dice  boundary IoU per image" in head
    assert text.splitlines()[-1].split()[:3] == ["none", "–", "–"]
    for suffix in (".txt", ".html", ".json"):
        found.save_report(tmp_path / f"report{suffix}")
    plain = json.loads((tmp_path / "report.json").read_text())
    assert s2d.Boundaries.from_dict(plain["boundaries"]) == found
    assert plain["measures"]["surface_dice"][3] is None
    with pytest.raises(ValueError, match="names must be one for each of 4 classes; got 1"):
        found.report(["a"])
    volume = s2d.evaluate_boundaries(*maps(9, (6, 6, 6)), tolerance=2, spatial_dims=3).report()
    assert "area (pixels²)" in volume


@pytest.mark.parametrize(
    ("options", "error", "cause"),
    [
        ({"tolerance": -1}, ValueError, "tolerance must be a finite number, 0 or more; got -1."),
        ({"tolerance": math.inf}, ValueError, "tolerance must be a finite number, 0 or more"),
        ({"tolerance": "2mm"}, TypeError, "a number; got str. Give it in the unit of spacing="),
        ({"spacing": (1,)}, ValueError, "spacing must be one number above 0 for each of 2 axes"),
        ({"spacing": (1, 0)}, ValueError, "or one for all; got [1.0, 0.0]."),
        ({"spacing": "x"}, TypeError, "spacing must be numbers; got str."),
        ({"spatial_dims": 1}, ValueError, "spatial_dims must be 2 or 3 for boundaries; got 1."),
        ({"spatial_dims": 3}, ValueError, "labels need 3 spatial axes; got shape (6, 6)"),
        ({"classes": 2}, ValueError, "target must be in [0, 2)"),
    ],
)
def test_refusals(options, error, cause):
    labels, truth = np.zeros((6, 6), np.uint8), np.full((6, 6), 2)
    with pytest.raises(error) as caught:
        s2d.evaluate_boundaries(labels, truth, **({"tolerance": 1} | options))
    assert str(caught.value).startswith("evaluate_boundaries: ")
    assert cause in str(caught.value)


def test_refusals_of_arrays():
    with pytest.raises(TypeError, match="Class scores become labels by softmax2d.segment."):
        s2d.evaluate_boundaries(np.zeros((3, 6, 6)), np.zeros((6, 6), int), tolerance=1)
    with pytest.raises(ValueError, match=r"target must have the shape of labels, \(6, 6\)"):
        s2d.evaluate_boundaries(np.zeros((6, 6), int), np.zeros((5, 6), int), tolerance=1)


def test_without_scipy_it_names_the_command():
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "import numpy as np, softmax2d as s2d\n"
        "try: s2d.evaluate_boundaries(*np.zeros((2, 4, 4), int), tolerance=1)\n"
        "except ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "install" in said.stdout
    assert "scipy" in said.stdout


@pytest.mark.parametrize("shape", [(0, 5), (2, 0, 4), (1, 1), (1, 7)])
def test_small_and_empty_images(shape):
    found = s2d.evaluate_boundaries(np.zeros(shape, int), np.zeros(shape, int), tolerance=1)
    assert found.images == math.prod(shape[:-2])
    wanted = 1.0 if math.prod(shape) else np.nan
    np.testing.assert_array_equal(scores(found)[[0, 2]], wanted)


def test_any_layout_and_type():
    labels, truth = maps(10, (12, 14))
    wanted = s2d.evaluate_boundaries(labels, truth, tolerance=2)
    for dtype, order in product((np.int8, np.uint16, ">i4", np.uint64), "CF"):
        given = [np.asarray(each.astype(dtype), order=order) for each in (labels, truth)]
        assert s2d.evaluate_boundaries(*given, tolerance=2) == wanted
