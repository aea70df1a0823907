"""class_counts, class_weights and log_prior: worked numbers, every kind of source, the laws."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import softmax2d as s2d
from softmax2d import balance
from softmax2d.balance import ClassCounts
from softmax2d.stream import Refused


@pytest.fixture(scope="module")
def images() -> list[Any]:
    rng = np.random.default_rng(4)
    made = [rng.integers(0, 4, (9 + i, 7), dtype=np.uint8) for i in range(5)]
    made[1][made[1] == 3] = 0
    made[2][:4] = 255
    return made


def brute_force(images: Any, classes: int, ignore: int | None) -> Any:
    pixels, with_class, area = (np.zeros(classes, int) for _ in range(3))
    for image in images:
        valid = image[image != ignore] if ignore is not None else image.ravel()
        for c in range(classes):
            pixels[c] += (valid == c).sum()
            with_class[c] += (valid == c).any()
            area[c] += valid.size if (valid == c).any() else 0
    return pixels.tolist(), with_class.tolist(), area.tolist()


def parts(counts: ClassCounts) -> Any:
    return counts.pixels.tolist(), counts.images_with.tolist(), counts.pixels_with.tolist()


class Pairs:
    """A dataset of PyTorch's kind."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        return np.zeros((3, 2, 2)), self.images[i % len(self)]


def test_every_kind_of_source_gives_the_same(images: Any, tmp_path: Any) -> None:
    from PIL import Image

    pictures, arrays = [], []
    for i, image in enumerate(images):
        pictures.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(pictures[-1])
        arrays.append(str(tmp_path / f"{i}.npy"))
        np.save(arrays[-1], image.astype(np.int32))
    want = brute_force(images, 4, 255)
    sources = [images, tuple(images), iter(images), Pairs(images), pictures, arrays]
    sources += [[pictures[0], images[1], arrays[2], images[3], images[4]]]
    for source in sources:
        counts = balance.class_counts(source, classes=4, ignore_index=255)
        assert parts(counts) == want and counts.images == 5 and counts.ignored == 28
        assert counts.total == sum(want[0]) and math.isclose(counts.shares.sum(), 1)
    assert parts(balance.class_counts(images, ignore_index=255)) == want


def test_a_stack_is_so_many_images_and_a_volume_one() -> None:
    stack = np.array([[[0, 0]], [[1, 2]]])
    assert parts(balance.class_counts(stack)) == ([2, 1, 1], [1, 1, 1], [2, 2, 2])
    assert parts(balance.class_counts(stack, spatial_dims=3)) == ([2, 1, 1], [1, 1, 1], [4, 4, 4])
    assert parts(balance.class_counts([[0, 1], [1, 1]])) == ([1, 3], [1, 1], [4, 4])
    assert parts(balance.class_counts(np.zeros((0, 4, 4), np.uint8), classes=2))[0] == [0, 0]


@pytest.mark.parametrize("chunks", [(1, 5, 4), (2, 16, 3), (3, 16, 16), (1, 1, 1)])
def test_a_zarr_in_pieces_is_the_array(tmp_path: Any, chunks: Any) -> None:
    zarr = pytest.importorskip("zarr")
    labels = np.random.default_rng(1).integers(0, 3, (3, 16, 16), dtype=np.uint8)
    labels[1] = 0
    store = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=labels.shape, chunks=chunks, dtype="u1", fill_value=9
    )
    store[:] = labels
    whole = balance.class_counts(labels)
    assert balance.class_counts(str(tmp_path / "a.zarr"), memory="1MB") == whole


def test_a_file_larger_than_the_budget(tmp_path: Any) -> None:
    labels = np.random.default_rng(1).integers(0, 3, (2, 700, 900), dtype=np.uint8)
    np.save(tmp_path / "a.npy", labels)
    found = balance.class_counts(tmp_path / "a.npy", memory="1MB", workers=3)
    assert found == balance.class_counts(labels)


def test_a_label_out_of_range_is_named_with_its_place(tmp_path: Any) -> None:
    bad = np.zeros((2, 3, 4), np.int16)
    bad[1, 2, 3] = 7
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\); got 7 at \(1, 2, 3\)\."):
        balance.class_counts(bad, classes=3)
    with pytest.raises(
        ValueError, match=r"labels\[1\] must .* or ignore_index, 9; got 7 at \(2, 3\)"
    ):
        balance.class_counts(list(bad), classes=3, ignore_index=9)
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(Refused, match=r"bad.npy: must be in \[0, 3\); got 7 at \(1, 2, 3\)"):
        balance.class_counts(tmp_path / "bad.npy", classes=3)
    bad[1, 2, 3] = -1
    with pytest.raises(ValueError, match="got -1 at"):
        balance.class_counts(bad)


def test_255_without_a_word_is_not_a_class() -> None:
    labels = np.array([[0, 255]], np.uint8)
    with pytest.raises(
        ValueError, match=r"pass ignore_index=255 \(--ignore-index 255\); .* classes=256"
    ):
        balance.class_counts(labels)
    assert balance.class_counts(labels, classes=256).classes == 256
    assert balance.class_counts(labels, ignore_index=255).pixels.tolist() == [1]


@pytest.mark.parametrize(
    ("labels", "options", "error", "words"),
    [
        (np.zeros((2, 2)), {}, TypeError, "labels must be integer class indices"),
        (3, {}, TypeError, "got int"),
        (np.zeros((2, 2), int), {"classes": 0}, ValueError, "classes must be between"),
        (np.zeros((2, 2), int), {"classes": 2.5}, TypeError, "classes must be an integer or None"),
        (np.zeros((2, 2), int), {"spatial_dims": 4}, ValueError, "spatial_dims must be"),
        (np.zeros((2, 2), int), {"memory": "many"}, ValueError, "expected a size"),
        (np.zeros((2, 2), int), {"names": ["a", "b"]}, ValueError, "names must be one string"),
        (np.ma.masked_array([[1]], [[True]]), {}, TypeError, "masked"),
        ({"a": np.zeros((2, 2), int)}, {}, TypeError, "got dict"),
        (b"labels", {}, TypeError, "got bytes"),
        ("nowhere.png", {}, Refused, "no such file"),
    ],
)
def test_refusals(labels: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        balance.class_counts(labels, **options)


@pytest.mark.parametrize("rows", [((0, 1), (1, 1)), [(0, 1), (1, 1)], [[0, 1], [1, 1]]])
def test_two_rows_of_numbers_are_an_image_and_no_pair(rows: Any) -> None:
    for labels in (rows, iter([rows]), [(None, rows)]):
        found = balance.class_counts(labels)
        assert (found.pixels.tolist(), found.images) == ([1, 3], 1)


count_lists = st.lists(st.integers(0, 2**40), min_size=3, max_size=3)


@st.composite
def some_counts(draw: Any) -> ClassCounts:
    pixels = draw(count_lists)
    images = draw(st.integers(1, 1000))
    return ClassCounts(pixels, [min(p, images) for p in pixels], [4 * p for p in pixels], images, 2)


@given(a=some_counts(), b=some_counts(), c=some_counts())
def test_addition_is_associative_and_travels(a: Any, b: Any, c: Any) -> None:
    assert (a + b) + c == a + (b + c) == sum([c, b, a])
    assert ClassCounts.from_dict(json.loads(json.dumps((a + b).to_dict()))) == a + b


def test_saved_and_loaded(tmp_path: Any) -> None:
    counts = balance.class_counts(np.array([[0, 1]]), names=["road", "car"])
    counts.save(tmp_path / "counts.json")
    again = ClassCounts.load(tmp_path / "counts.json")
    assert again == counts and again.names == ("road", "car")
    assert "road" in counts.report() and list(tmp_path.iterdir()) == [tmp_path / "counts.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"format": "softmax2d tuned bias"},
        {"format_version": 2},
        {"kind": "class_counts"},
        {"pixels": [1, -1]},
        {"pixels": [1.5, 2]},
        {"pixels": [True, 2]},
        {"pixels": "12"},
        {"pixels": []},
        {"pixels": [1, 2, 3]},
        {"pixels": [1, 10**30]},
        {"images": None},
        {"images": 0},
        {"pixels_with": [0, 0]},
        {"names": ["a"]},
        {"names": [1, 2]},
    ],
)
def test_hostile_json_is_refused(tmp_path: Any, change: Any) -> None:
    plain = balance.class_counts(np.array([[0, 1]])).to_dict() | change
    (tmp_path / "bad.json").write_text(json.dumps(plain))
    with pytest.raises(Refused, match="bad.json: "):
        ClassCounts.load(tmp_path / "bad.json")


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "NaN", '{"a": Infinity}', "\xff", "[1]"])
def test_what_is_no_json_is_refused(tmp_path: Any, text: str) -> None:
    (tmp_path / "bad.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(Refused, match="bad.json: "):
        ClassCounts.load(tmp_path / "bad.json")


def counts_of(pixels: Any, pixels_with: Any = None, images: int = 4) -> ClassCounts:
    area = [sum(pixels)] * len(pixels) if pixels_with is None else pixels_with
    return ClassCounts(pixels, [min(p, images) for p in pixels], area, images)


def test_inverse_frequency() -> None:
    weights = balance.class_weights(counts_of([50, 30, 20]), "inverse")
    np.testing.assert_allclose(weights, [2, 10 / 3, 5])


def test_median_frequency_is_over_the_images_that_contain_the_class() -> None:
    """Two images of 100 pixels; class 2 is in one: its frequency is 10 / 100, not 10 / 200."""
    counts = counts_of([120, 70, 10], [200, 200, 100], 2)
    weights = balance.class_weights(counts, "median")
    np.testing.assert_allclose(weights, [0.35 / 0.6, 1.0, 0.35 / 0.1])


def test_enet_between_its_limits() -> None:
    counts = counts_of([900, 100, 0])
    weights = balance.class_weights(counts, "enet")
    np.testing.assert_allclose(weights, [1 / math.log(1.92), 1 / math.log(1.12), 50.498349])
    assert balance.class_weights(counts_of([7]), "enet")[0] == pytest.approx(1.4222, abs=1e-4)


def test_effective_number_of_samples() -> None:
    """E = (1 - β^n) / (1 - β): β = 0.9 and n = 1, 2 give 1 and 1.9."""
    plain = balance.class_weights(counts_of([1, 2]), "effective", beta=0.9)
    np.testing.assert_allclose(plain, [1, 1 / 1.9])
    scaled = balance.class_weights(counts_of([1, 2]), "effective", beta=0.9, normalize="sum")
    np.testing.assert_allclose(scaled, [2 * 1.9 / 2.9, 2 / 2.9])
    none = balance.class_weights(counts_of([5, 900]), "effective", beta=0.0)
    np.testing.assert_allclose(none, [1, 1])
    n = np.array([10**9, 10**6])
    near = balance.class_weights(counts_of(n.tolist()), "effective", beta=1 - 1e-15)
    np.testing.assert_allclose(near, 1 / n, rtol=1e-3)  # inverse frequency in the limit


@pytest.mark.parametrize("method", ["inverse", "median", "enet", "effective"])
@pytest.mark.parametrize("normalize", ["none", "mean", "sum"])
def test_classes_without_pixels_are_finite(method: Any, normalize: Any) -> None:
    counts = counts_of([10, 0, 30], [40, 0, 40])
    said = nullcontext() if method == "enet" else pytest.warns(UserWarning, match="of class 1; the")
    with said:
        weights = balance.class_weights(counts, method, normalize=normalize)
    assert np.isfinite(weights).all() and (weights > 0).all()
    assert (weights[1] == weights.max()) and (method == "enet" or weights[1] == weights[0])
    if normalize == "mean":
        assert weights[[0, 2]].mean() == pytest.approx(1)
    if normalize == "sum":
        assert weights.sum() == pytest.approx(3)
    loss = s2d.cross_entropy2d(np.zeros((3, 1, 2)), np.array([[0, 2]]), weight=weights)
    assert float(loss) == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "other"}, ValueError, "method must be inverse, median, enet or effective"),
        ({"normalize": "max"}, ValueError, "normalize must be none, mean or sum"),
        ({"beta": 1.0}, ValueError, "beta must be finite and between 0 and"),
        ({"beta": math.nan}, ValueError, "beta must be"),
        ({"offset": 1.0}, ValueError, "offset must be"),
        ({"counts": "1,2"}, TypeError, "counts must be a ClassCounts"),
        ({"counts": counts_of([0, 0])}, ValueError, "at least one pixel"),
    ],
)
def test_refusals_of_weights(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        balance.class_weights(**({"counts": counts_of([1, 2])} | options))


def test_log_prior_worked_numbers() -> None:
    counts = counts_of([75, 25])
    np.testing.assert_allclose(balance.log_prior(counts), np.log([0.75, 0.25]))
    np.testing.assert_allclose(balance.log_prior([3, 1], 0.5), 0.5 * np.log([0.75, 0.25]))
    np.testing.assert_allclose(balance.log_prior(counts, smoothing=25), np.log([100 / 150, 1 / 3]))


@pytest.mark.parametrize("counts", [[1e308, 1e308], [5e-324, 1e308], [5e-324, 5e-324]])
def test_log_prior_of_numbers_near_the_ends_is_finite(counts: Any) -> None:
    assert np.isfinite(balance.log_prior(counts)).all()


@pytest.mark.parametrize("beta", [5e-324, 1e-300, 0.3, 0.7, 1 - 2**-53])
def test_effective_number_for_every_beta(beta: float) -> None:
    from fractions import Fraction

    want = [float((1 - Fraction(beta)) / (1 - Fraction(beta) ** n)) for n in (1, 2, 40)]
    found = balance.class_weights(counts_of([1, 2, 40]), "effective", beta=beta)
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_log_prior_in_training_is_balanced_softmax() -> None:
    """-log(n_y e^z_y / Σ_j n_j e^z_j), formula (4) of Ren et al. 2020."""
    n, z, y = np.array([80, 15, 5]), np.array([0.3, -1.0, 2.0]), 1
    weighed = n * np.exp(z)
    want = -math.log(weighed[y] / weighed.sum())
    bias = balance.log_prior(counts_of(n.tolist()))
    loss = s2d.cross_entropy2d(z.reshape(3, 1, 1), np.array([[y]]), bias=bias)
    assert float(loss) == pytest.approx(want)


def test_log_prior_after_training_divides_by_the_prior() -> None:
    z, bias = np.array([2.0, 1.0, 0.0]).reshape(3, 1, 1), balance.log_prior([0.9, 0.09, 0.01])
    probs = s2d.softmax2d(z, bias=-bias).ravel()
    want = np.exp(z.ravel()) / [0.9, 0.09, 0.01]
    np.testing.assert_allclose(probs, want / want.sum())


def near_logits(absent: int) -> Any:
    """Logits of three classes; one never leads, and its probability is never 0."""
    z: Any = np.random.default_rng(0).normal(0, 1, (3, 40, 40))
    z[absent] -= 8
    return z


UNSEEN = [
    (counts_of([900_000, 100_000, 0]), 2),
    (ClassCounts.of_pixels([900_000, 0, 1], "road,car,sign"), 1),
    ([0, 0.01, 0.99], 0),
    (np.array([0, 1, 10**9]), 0),
]


@pytest.mark.parametrize(("counts", "absent"), UNSEEN)
@pytest.mark.parametrize("options", [{}, {"tau": 0.25}, {"smoothing": 1}, {"smoothing": 1e-9}])
def test_log_prior_gives_a_class_without_pixels_none(
    counts: Any, absent: int, options: Any
) -> None:
    name = (getattr(counts, "names", None) or "012")[absent]
    with pytest.warns(UserWarning, match=f"^log_prior: counts has no pixel of class {name}; log π"):
        logs = balance.log_prior(counts, **options)
    others = np.delete(logs, absent)
    assert logs[absent] == others.max()
    plain = balance.log_prior(np.delete(getattr(counts, "pixels", counts), absent), **options)
    np.testing.assert_array_equal(others, plain)  # as if there were no such class
    z = near_logits(absent)
    assert (s2d.segment(z).labels != absent).all()
    assert (s2d.segment(z, bias=-logs).labels != absent).all()


@pytest.mark.parametrize("method", ["inverse", "median", "enet", "effective"])
@pytest.mark.parametrize("normalize", ["none", "mean", "sum"])
@pytest.mark.filterwarnings("ignore:class_weights. no pixel of class")
def test_the_recipe_of_weights_runs_as_it_is_written(method: Any, normalize: Any) -> None:
    for pixels, absent in (([900, 100, 0], 2), ([0, 1, 10**6], 0)):
        weight = balance.class_weights(counts_of(pixels), method, normalize=normalize)
        z = near_logits(absent)
        for recipe in (weight, np.sqrt(weight)):
            labels = s2d.segment(z, bias=-np.log(recipe)).labels
            assert (labels != absent).all()


def test_a_long_list_of_classes_without_pixels_is_cut() -> None:
    with pytest.warns(UserWarning, match="no pixel of classes 1, 2, .*, 12 and 243 more; log"):
        balance.log_prior(np.eye(1, 256)[0])


@pytest.mark.parametrize(
    ("counts", "options", "error", "words"),
    [
        ([0.5, -0.1], {}, ValueError, "finite and at least 0; got -0.1 for class 1"),
        ([0.5, math.inf], {}, ValueError, "finite and at least 0; got inf for class 1"),
        ([0.0, 0.0], {}, ValueError, "above 0 for at least one class; got only 0"),
        (counts_of([0, 0]), {"smoothing": 1}, ValueError, "above 0 for at least one class"),
        ([[1, 2]], {}, ValueError, "shape \\(C,\\)"),
        ("ab", {}, TypeError, "must be a ClassCounts"),
        ([1, 2], {"tau": math.inf}, ValueError, "tau must be"),
        ([1, 2], {"smoothing": -1}, ValueError, "smoothing must be"),
    ],
)
def test_refusals_of_log_prior(counts: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        balance.log_prior(counts, **options)


@pytest.mark.parametrize("suffix", [".txt", ".html", ".png", ".json"])
def test_reports(tmp_path: Any, suffix: str) -> None:
    counts = balance.class_counts(np.array([[0, 1, 1]]), classes=3, names=["a<b", "$x", "c"])
    counts.save_report(tmp_path / f"r{suffix}")
    data = (tmp_path / f"r{suffix}").read_bytes()
    starts = {".txt": b"Class counts", ".html": b"<!doctype html>", ".png": b"\x89PNG"}
    assert data.startswith(starts.get(suffix, b"{"))
    if suffix == ".html":
        assert b"a&lt;b" in data and b"a<b" not in data
    with pytest.raises(ValueError, match="path must end in one of"):
        counts.save_report(tmp_path / "r.pdf")


def test_plain_counts() -> None:
    plain = ClassCounts.of_pixels([100, 20.0, 0], "road,car,sign")
    assert plain.pixels.tolist() == [100, 20, 0]
    assert (plain.names, plain.images, plain.total) == (("road", "car", "sign"), 0, 120)
    assert (plain + plain).pixels.tolist() == [200, 40, 0]
    with pytest.warns(UserWarning, match="class_weights: no pixel of class sign; the weight is"):
        assert balance.class_weights(plain).tolist() == [1.2, 6.0, 6.0]
    for method in ("inverse", "enet", "effective"):
        counted = balance.class_counts(np.array([[0] * 30 + [1] * 10]))
        want = balance.class_weights(counted, method)
        for each in ([30, 10], np.array([30, 10], np.uint8), (30.0, 10.0)):
            assert np.array_equal(balance.class_weights(each, method), want)


@pytest.mark.parametrize(
    ("plain", "method", "text"),
    [
        ([3, 1], "median", "class_weights: method 'median' needs the pixels of the images that"),
        ([3, -1], "inverse", "class_weights: counts must be whole numbers, at least 0, one for"),
        ([0.5, 0.5], "inverse", "class_weights: counts must be whole numbers"),
        ([[3, 1]], "inverse", "class_weights: counts must be whole numbers"),
        ([0, 0], "inverse", "class_weights: counts must hold at least one pixel; got none."),
        ([], "inverse", "class_weights: counts must "),
        (["a"], "inverse", "class_weights: counts must be whole numbers"),
        ([float("nan")], "inverse", "class_weights: counts must be whole numbers"),
        ("3,1", "inverse", "class_weights: counts must be a ClassCounts, as from class_counts, or"),
        (3, "inverse", "class_weights: counts must be a ClassCounts, as from class_counts, or"),
    ],
)
def test_what_is_no_plain_counts(plain: Any, method: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        balance.class_weights(plain, method)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("counts", balance.log_prior),
        ("source_prior", lambda p: balance.estimate_prior(np.zeros((3, 4, 5)), source_prior=p)),
        (
            "prior",
            lambda p: balance.tune_bias(np.zeros((3, 4, 5)), np.zeros((4, 5), int), prior=p),
        ),
    ],
)
def test_shares_under_a_mask_are_refused(name: str, call: Any) -> None:
    """What the mask hides would count."""
    for hidden in (np.ma.masked_array([2.0, 3, 5], [0, 1, 0]), np.ma.masked_array([2, 3, 5])):
        with pytest.raises(TypeError, match=f": {name} must not be a masked array, whose mask"):
            call(hidden)


@pytest.mark.parametrize("size", [-1, (4, -5), -(10**30), 0, 10**400])
def test_an_estimate_refuses_sizes_in_its_words(size: Any) -> None:
    with pytest.raises(ValueError, match="size must be "):
        balance.estimate_prior(np.zeros((3, 4, 5)), source_prior=[1, 1, 1], size=size)


@pytest.mark.parametrize("value", ["x", True, 1.0])
def test_an_estimate_checks_a_class_to_ignore_that_it_does_not_need(value: Any) -> None:
    with pytest.raises(TypeError, match="^estimate_prior: ignore_index must be an integer or None"):
        balance.estimate_prior(np.zeros((3, 4, 5)), source_prior=[1, 1, 1], ignore_index=value)
