"""segment(decode=): by hand, against the formula, never below argmax, by tiles and from files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import reference
from softmax2d._gate import targets
from softmax2d._gate.logits import Logits
from softmax2d._ops import decode as _decode
from softmax2d.stream import Unusable, segment_file
from tests import cases
from tests.stream.tiles import cut

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks is not installed

from benchmarks import decoding

METRICS = ("dice", "iou")


def smooth(classes: int, size: tuple[int, int], seed: int = 0, scale: float = 60.0) -> Any:
    """Logits of blobs: some classes rare, some absent, float64."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1, (classes, *size))
    for axis in (1, 2):
        for _ in range(6):
            z = (z + np.roll(z, 1, axis) + np.roll(z, -1, axis)) / 3
    return z * scale / 4 + rng.normal(0, 3, (classes, 1, 1))


def search_of(logits: Any, decode: str) -> _decode.Search:
    return _decode.Search.start(_decode.histogram(image_of(logits)), decode)


def image_of(logits: Any) -> Logits:
    return Logits(logits, 0, None, None, logits.shape[1:], 0)


def gains(logits: Any, labels: Any, decode: str) -> list[float]:
    """What labels gain over argmax in the expected score, by each estimate of it."""
    p, iou = reference.softmax2d(logits).reshape(len(logits), -1), decode == "iou"
    both = labels.ravel(), np.asarray(logits).argmax(0).ravel()
    kinds = (0,) if iou else (0, 1)
    each = [[reference.expected_scores(p, y, iou, k).mean() for y in both] for k in kinds]
    return [own - argmax for own, argmax in each]


def labels_of(logits: Any, decode: str, axis: int = -3) -> Any:
    return s2d.segment(logits, axis=axis, outputs="labels", decode=decode).labels


@pytest.mark.parametrize(
    ("decode", "expected"),
    [
        # Of [1, 0, 0, 0]: 2 2.4 / 5.8 = 0.828 and 2 0.6 / 2.2 = 0.545, mean 0.6865; of
        # [1, 1, 0, 0]: 2 1.8 / 4.8 = 0.75 and 2 1 / 3.2 = 0.625, mean 0.6875.
        ("dice", [1, 1, 0, 0]),
        # Of [1, 0, 0, 0]: 2.4 / 3.4 = 0.706 and 0.6 / 1.6 = 0.375, mean 0.540; of [1, 1, 0, 0]:
        # 1.8 / 3 = 0.6 and 1 / 2.2 = 0.455, mean 0.527.
        ("iou", [1, 0, 0, 0]),
        ("argmax", [1, 0, 0, 0]),
    ],
)
def test_by_hand(isa: str, decode: str, expected: list[int]) -> None:
    probs = np.array([[0.4, 0.6, 0.9, 0.9], [0.6, 0.4, 0.1, 0.1]])[:, None]
    found = s2d.segment(np.log(probs), decode=decode)
    assert found.labels.tolist() == [expected]
    own = np.take_along_axis(probs, found.labels[None].astype(int), 0)[0]
    np.testing.assert_allclose(found.confidence, own, rtol=1e-15)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("decode", METRICS)
@pytest.mark.parametrize("classes", [2, 5, 19, 256])
def test_labels_are_those_of_the_formula(isa: str, name: str, decode: str, classes: int) -> None:
    """All but one in two thousand, which lie within a bin of the threshold."""
    logits = smooth(classes, (37, 61), classes).astype(cases.dtype_of(name))
    probs = reference.softmax2d(logits).reshape(classes, -1)
    expected = reference.decoded(probs, decode == "iou")
    found = labels_of(logits, decode).ravel()
    assert (found != expected).mean() <= 1 / 2000
    if classes > 2:
        assert (found != probs.argmax(0)).mean() > 1 / 200, "decoding changes nothing"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decode", METRICS)
def test_the_best_cut_is_found_within_a_bin(decode: str, seed: int) -> None:
    """Of a class alone: never above the sorted optimum, below by 1/64 at most, here by 1e-4."""
    logits = smooth(19, (83, 97), seed).astype(np.float32)
    probs = reference.softmax2d(logits).reshape(19, -1)
    short = 1 - alone(logits, decode) / best_cut(probs, decode)
    assert short.max() < 1e-4 and short.min() > -1e-5


def alone(logits: Any, decode: str) -> Any:
    """The score of each class whose pixels lie above an edge of a bin, the best one."""
    found = _decode.histogram(image_of(logits))
    total = found.sums.sum(1) * 2.0**-30
    pixels, sums = _decode._alone(found, decode, total)
    return sums / (pixels + total - sums) if decode == "iou" else 2 * sums / (pixels + total)


def best_cut(probs: Any, decode: str) -> Any:
    sums, tau = np.cumsum(-np.sort(-probs, 1), 1), np.arange(1, probs.shape[1] + 1)
    both = tau + sums[:, -1:]
    return (sums / (both - sums) if decode == "iou" else 2 * sums / both).max(1)


def test_one_class_of_equal_probabilities_falls_into_one_bin() -> None:
    """The worst case of a bin: p and p (1 - 1/65) beside each other, and still within 1/64."""
    p = np.repeat([0.75, 0.75 * 64 / 65, 0.02], [300, 300, 4000])
    probs = np.array([p, 1 - p])
    found = alone(np.log(probs)[:, None], "dice")[0] / best_cut(probs, "dice")[0]
    assert 1 - 1 / 64 <= found <= 1 + 1e-6


@pytest.mark.parametrize("decode", METRICS)
def test_expected_scores_gain_and_accuracy_does_not(decode: str) -> None:
    logits = smooth(9, (80, 90), 4)
    probs = reference.softmax2d(logits).reshape(9, -1)
    found = labels_of(logits, decode).ravel()
    assert min(gains(logits, found, decode)) > 0.02
    assert probs[found, np.arange(found.size)].mean() <= probs.max(0).mean()


@pytest.mark.parametrize("decode", METRICS)
def test_expected_scores_never_fall_and_come_near_hill_climbing(decode: str) -> None:
    """600 fields of each score, sharp to flat, smooth and noisy; a quarter of them climbed."""
    random, found = np.random.default_rng(1), []
    for i in range(600):
        logits = decoding.field(random)
        each = decoding.found_in(logits, decode, climbed=i % 4 == 0)
        found.append((logits[0].size, *each[1:]))
    pixels, argmax, decoded, climbed = np.array(found).T
    assert (decoded - argmax).min() >= -1e-6
    assert (decoded > argmax).mean() > 0.85, "decoding changes nothing"
    large = pixels[::4] >= 250
    own, top = (decoded - argmax)[::4], (climbed - argmax)[::4]
    assert own.sum() > 0.94 * top.sum()
    assert own[large].sum() > 0.97 * top[large].sum()
    assert (top - own)[large].max() < 0.02


def odd_field(random: np.random.Generator) -> Any:
    """A tiny or odd image: ties, one class, NaN, classes at -inf, one pixel, certain or flat."""
    shape = random.integers(1, (20, 6, 6))
    z = random.normal(0, 10 ** random.uniform(-1, 1.5), shape)
    kind = random.integers(6)
    if kind == 0:
        z = np.round(z)
    elif kind == 1:
        z[random.random(shape) < 0.2] = -np.inf
    elif kind == 2:
        z[:, random.random(shape[1:]) < 0.3] = np.nan
    elif kind == 3:
        z[:] = z[:, :1, :1]
    elif kind == 4 and shape[0] > 1:
        z[random.integers(shape[0])] = -np.inf
    return z.astype(random.choice([np.float32, np.float64]))


@pytest.mark.parametrize("decode", METRICS)
def test_odd_images_never_lose_either(decode: str) -> None:
    random, options = np.random.default_rng(2), {"temperature": 1.7, "bias": None}
    for i in range(600):
        logits = odd_field(random)
        options["bias"] = random.normal(size=len(logits)) if i % 3 == 0 else None
        size = (9, 7) if i % 5 == 0 else logits.shape[1:]
        found = s2d.segment(logits, decode=decode, size=size, **options)
        plain = s2d.segment(logits, size=size, **options)
        known = ~np.isnan(plain.confidence)
        assert np.array_equal(np.isnan(found.confidence), ~known)
        assert np.array_equal(found.labels[~known], plain.labels[~known])
        probs = s2d.softmax2d(logits.astype(float), size=size, **options)[:, known]
        if not known.any():
            continue
        labels, argmax = found.labels[known], plain.labels[known]
        for more in (0,) if decode == "iou" else (0, 1):
            each = [
                reference.expected_scores(probs, given, decode == "iou", more).mean()
                for given in (labels, argmax)
            ]
            assert each[0] >= each[1] - 1e-6
        assert (probs[labels, np.arange(labels.size)] > 0).all()


def test_classes_below_one_half_get_their_pixels() -> None:
    """One class reaches 1/2 anywhere, and is at 0.02 in half the image: it does not get that."""
    probs = np.repeat([[0.02, 0.51], [0.50, 0.25], [0.48, 0.24]], 500, axis=1)[:, None]
    for decode in METRICS:
        found = s2d.segment(np.log(probs), decode=decode)
        assert set(found.labels[0, :500]) == {1} and not found.labels[0, 500:].any()
        assert found.confidence.min() > 0.49
    probs = np.array([[0.6] * 95 + [0.5] * 5, [0.4] * 95 + [0.05] * 5, [0.0] * 95 + [0.45] * 5])
    with np.errstate(divide="ignore"):
        found = s2d.segment(np.log(probs)[:, None], decode="dice", outputs="labels").labels[0]
    assert (found[95:] == 2).all() and probs[2].max() < 0.5


@pytest.mark.parametrize("decode", METRICS)
@pytest.mark.parametrize("name", cases.DTYPES)
def test_a_rule_of_no_classes_is_argmax(isa: str, name: str, decode: str) -> None:
    """To the bit, and kept where nothing gains: certain images, ties, equal classes."""
    logits = smooth(7, (30, 41), 1).astype(cases.dtype_of(name))
    logits[3, 4] = np.nan
    logits[:, 5] = -np.inf
    plain = s2d.segment(logits)
    labels, confidence = np.empty_like(plain.labels), np.empty_like(plain.confidence)
    _decode.decide(image_of(logits), _decode.ARGMAX, labels, confidence)
    assert np.array_equal(labels, plain.labels)
    assert np.array_equal(confidence, plain.confidence, equal_nan=True)
    certain = (100.0 * (logits.argmax(0) == np.arange(7)[:, None, None])).astype(logits.dtype)
    assert np.array_equal(labels_of(certain, decode), certain.argmax(0))


@pytest.mark.parametrize("name", cases.DTYPES)
def test_what_a_labelling_gives_is_counted(isa: str, name: str) -> None:
    """Pixels and probabilities of argmax and of a rule, without those that a target ignores."""
    logits = smooth(6, (37, 61), 3).astype(cases.dtype_of(name))
    logits[:, 0, 0] = np.nan
    image, rule = image_of(logits), search_of(logits, "dice").rule
    probs, ignored = reference.softmax2d(logits), np.zeros((37, 61), np.uint8)
    ignored[5:9, 3:40] = 255
    labels = np.empty((37, 61), np.uint8)
    _decode.decide(image, rule, labels, None)
    for target in (None, targets.trust_labels(ignored, 255)):
        seen = np.isfinite(probs[0]) & ((ignored == 0) | (target is None))
        for each, found in (
            (np.nanargmax(np.where(seen, probs, 0), 0), _decode.histogram(image, target).argmax),
            (labels, _decode.given(image, rule, target)),
        ):
            own = np.take_along_axis(probs, each[None].astype(int), 0)[0]
            for c in range(6):
                at = seen & (each == c)
                assert found.pixels[c] == at.sum()
                assert abs(found.sums[c] * 2.0**-30 - own[at].sum()) < 1e-4


@pytest.mark.parametrize("name", cases.DTYPES)
def test_confidence_is_the_probability_of_the_label(isa: str, name: str) -> None:
    logits = smooth(7, (30, 41), 1).astype(cases.dtype_of(name))
    found = s2d.segment(logits, decode="dice", outputs=("labels", "confidence"))
    wide = logits.astype(cases.value_dtype(name))
    own = np.take_along_axis(s2d.softmax2d(wide), found.labels[None].astype(int), 0)[0]
    assert found.confidence.dtype == cases.value_dtype(name)
    assert np.array_equal(found.confidence, own)


def test_margin_entropy_and_the_best_classes_do_not_change() -> None:
    logits = smooth(6, (20, 30), 2).astype(np.float32)
    asked: dict[str, Any] = {"outputs": ("margin", "labels", "entropy"), "top_k": 2}
    found, plain = s2d.segment(logits, decode="iou", **asked), s2d.segment(logits, **asked)
    for name in ("margin", "entropy", "top_labels", "top_probs"):
        assert np.array_equal(getattr(found, name), getattr(plain, name))
    assert found.confidence is None
    assert (found.labels != plain.labels).any()
    only = s2d.segment(logits, decode="iou", outputs="entropy")
    assert only.labels is None and np.array_equal(only.entropy, plain.entropy)


@pytest.mark.parametrize("size", [None, (90, 70)])
@pytest.mark.parametrize("decode", METRICS)
def test_every_image_is_decided_on_its_own_and_nothing_else_matters(
    isa: str, decode: str, size: Any
) -> None:
    """Batches, threads, layouts, windows: the bits of each image alone."""
    images = np.stack([smooth(5, (33, 35), seed) for seed in range(6)]).astype(np.float32)
    both = "labels", "confidence"
    alone = [s2d.segment(z, decode=decode, size=size, outputs=both)[:2] for z in images]
    expected = [
        np.stack(each).reshape(2, 3, *alone[0][0].shape) for each in zip(*alone, strict=True)
    ]
    batch = images.reshape(2, 3, *images.shape[1:])
    for threads in (1, 4):
        s2d.set_num_threads(threads)
        found = s2d.segment(batch, decode=decode, size=size, outputs=both)
        assert all(map(np.array_equal, found[:2], expected))
    last = np.moveaxis(batch, 2, -1)
    for view in (last, np.ascontiguousarray(last), last.astype(last.dtype.newbyteorder())):
        found = s2d.segment(view, axis=-1, decode=decode, size=size, outputs=both)
        assert all(map(np.array_equal, found[:2], expected))
    window = slice(3, 31, 2), slice(5, 29)
    part = s2d.segment(batch, decode=decode, size=size, window=window, outputs=both)
    inside = (slice(None), slice(None), *window)
    assert all(np.array_equal(p, e[inside]) for p, e in zip(part[:2], expected, strict=True))


def test_temperature_and_bias_come_first() -> None:
    logits, bias = smooth(4, (40, 40), 3), np.array([0.0, 1.0, -np.inf, 0.5])
    found = s2d.segment(logits, temperature=2.5, bias=bias, decode="dice").labels
    mapped = reference.mapped(logits, 0, 2.5, bias)
    expected = reference.decoded(reference.softmax2d(mapped).reshape(4, -1)).reshape(40, 40)
    assert (found != expected).mean() <= 1 / 500
    assert not (found == 2).any()


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("decode", METRICS)
def test_pixels_without_probabilities(isa: str, name: str, decode: str) -> None:
    """They keep the label of argmax, have no confidence, and touch nobody else."""
    logits = smooth(5, (20, 23), 5).astype(cases.dtype_of(name))
    plain = s2d.segment(logits[:, 1:], decode=decode)
    logits[:, 0, :] = 0
    logits[2, 0, 0:5] = np.nan
    logits[4, 0, 1] = np.nan
    logits[3, 0, 5:9] = np.inf
    logits[:, 0, 9:] = -np.inf
    found = s2d.segment(logits, decode=decode)
    assert found.labels[0].tolist() == s2d.segment(logits[:, :1]).labels[0].tolist()
    assert np.isnan(found.confidence[0]).all()
    assert np.array_equal(found.labels[1:], plain.labels)
    assert np.array_equal(found.confidence[1:], plain.confidence)
    logits[...] = np.nan
    assert not s2d.segment(logits, decode=decode).labels.any()


@pytest.mark.parametrize("decode", METRICS)
def test_small_and_empty_ones(isa: str, decode: str) -> None:
    one = s2d.segment(np.zeros((1, 3, 4), np.float32), decode=decode)
    assert not one.labels.any() and (one.confidence == 1).all()
    for shape in cases.empty_shapes():
        assert labels_of(np.zeros(shape), decode).shape == (*shape[:-3], *shape[-2:])
    assert labels_of(np.array([0.0, 2.0]), decode, axis=0) == 1
    equal = np.zeros((3, 8, 9), np.float32)
    assert not labels_of(equal, decode).any()
    equal[2] = 3
    assert (labels_of(equal, decode) == 2).all()
    equal[1] = -np.inf
    assert (labels_of(equal, decode) == 2).all()


def test_a_thousand_classes(isa: str) -> None:
    logits = np.random.default_rng(2).normal(0, 1, (1000, 11, 13)).astype(np.float32)
    logits[[3, 900], :, :7] += [[[9.0]], [[8.5]]]
    logits[17, :, 7:] += 12
    found = labels_of(logits, "dice")
    expected = reference.decoded(reference.softmax2d(logits).reshape(1000, -1))
    assert found.dtype == np.uint16
    assert np.array_equal(found.ravel(), expected)


def test_the_histogram_counts_every_pixel_and_sums_every_probability(isa: str) -> None:
    for name in cases.DTYPES:
        logits = smooth(11, (101, 203), 6).astype(cases.dtype_of(name))
        logits[:, 0, 0] = np.nan
        source = Logits(logits, 0, None, None, logits.shape[1:], 0)
        found = _decode.histogram(source)
        probs = reference.softmax2d(logits).reshape(11, -1)[:, 1:]
        assert (found.pixels.sum(1) == probs.shape[1]).all()
        np.testing.assert_allclose(found.sums.sum(1) * 2.0**-30, probs.sum(1), rtol=1e-5, atol=1e-4)
        edges = np.ldexp(1.0, -8) * 2.0 ** (np.arange(513) // 64) * (1 + np.arange(513) % 64 / 64)
        for k in range(11):
            expected = np.histogram(probs[k], np.array([0, *edges[:-1], 1.01]))[0]
            assert np.abs(found.pixels[k] - expected).sum() <= 4  # rounded to the next bin


@pytest.mark.parametrize("bad", ["Dice", None, 1, ("dice",)])
def test_what_is_no_decoding_is_refused(bad: Any) -> None:
    text = "segment: decode must be argmax, dice, iou; got "
    with pytest.raises(ValueError, match=text):
        s2d.segment(np.zeros((2, 3, 3)), decode=bad)


def test_dask_refuses_and_names_the_way_out() -> None:
    da = pytest.importorskip("dask.array")
    import softmax2d.dask as s2k

    with pytest.raises(ValueError, match="decode must be argmax for dask arrays; got 'dice'.*use "):
        s2k.segment(da.zeros((2, 4, 4)), decode="dice")
    with pytest.raises(ValueError, match="decode must be argmax, dice, iou; got 'rank'"):
        s2k.segment(da.zeros((2, 4, 4)), decode="rank")


def test_tensors_on_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    import softmax2d.torch as s2t

    logits = torch.from_numpy(smooth(5, (20, 30)).astype(np.float32)).requires_grad_()
    expected = s2d.segment(logits.detach().numpy(), decode="iou", size=(40, 50), temperature=2)
    found = s2t.segment(logits, decode="iou", size=(40, 50), temperature=torch.tensor(2.0))
    module = s2t.Segment(decode="iou", size=(40, 50), temperature=2.0)(logits)
    for given in (found, module):
        assert torch.equal(given.labels, torch.from_numpy(expected.labels))
        assert torch.equal(given.confidence, torch.from_numpy(expected.confidence))
    half = logits.detach().to(torch.bfloat16)
    assert s2t.segment(half, decode="dice").labels.shape == (20, 30)
    with pytest.raises(ValueError, match="decode must be argmax for tensors on a GPU"):
        s2t.segment(torch.zeros(2, 3, 3, device="meta"), decode="dice")


@pytest.mark.parametrize("options", [{}, {"size": (70, 81)}, {"temperature": 1.5, "nodata": -99.0}])
@pytest.mark.parametrize("band", [1 << 26, 3000])
def test_files_are_decided_image_by_image(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, band: int, options: dict[str, Any]
) -> None:
    cut(monkeypatch, band)
    logits = np.stack([smooth(5, (33, 35), seed) for seed in range(3)]).astype(np.float32)
    logits[1, 2, 5, 7] = np.nan
    np.save(tmp_path / "scores.npy", logits)
    both: Any = ("labels", "confidence", "entropy")
    out = tmp_path / "out.npy"
    segment_file(tmp_path / "scores.npy", out, outputs=both, decode="dice", **options)
    plain = {k: v for k, v in options.items() if k != "nodata"}
    expected = s2d.segment(logits, outputs=both, decode="dice", **plain)
    assert np.array_equal(np.load(out), expected.labels)
    found = np.load(tmp_path / "out.confidence.npy")
    assert np.array_equal(found, expected.confidence, equal_nan=True)
    assert np.array_equal(np.load(tmp_path / "out.entropy.npy"), expected.entropy, equal_nan=True)


@pytest.mark.parametrize("band", [1 << 26, 3000])
def test_images_of_a_file_are_tried_as_often_as_each_needs(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, band: int
) -> None:
    cut(monkeypatch, band)
    random = np.random.default_rng(5)
    logits = np.stack([
        smooth(5, (20, 30), seed, 10 ** random.uniform(0, 2)) for seed in range(12)
    ]).astype(np.float32)  # fmt: skip
    trials = set()
    for image in logits:
        search = search_of(image, "dice")
        while not search.done:
            search = search.after(_decode.given(image_of(image), search.rule))
        trials.add(search.trials)
    assert min(trials) == 2 and len(trials) > 1
    np.save(tmp_path / "scores.npy", logits)
    segment_file(tmp_path / "scores.npy", tmp_path / "out.npy", decode="dice")
    assert np.array_equal(np.load(tmp_path / "out.npy"), labels_of(logits, "dice"))


def test_pixels_without_data_decide_nothing(tmp_path: Any) -> None:
    logits = smooth(4, (30, 40), 8).astype(np.float32)
    expected = s2d.segment(logits[:, :, :25], decode="dice").labels
    logits[:, :, 25:] = 7.0
    logits[0, :, 25:] = -99.0
    np.save(tmp_path / "scores.npy", logits)
    segment_file(tmp_path / "scores.npy", tmp_path / "out.npy", decode="dice", nodata=-99)
    found = np.load(tmp_path / "out.npy")
    assert np.array_equal(found[:, :25], expected)
    assert (found[:, 25:] == 255).all()


def test_a_stopped_run_goes_on_to_the_same_bytes(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 3000)
    scores, out = tmp_path / "scores.npy", tmp_path / "out.npy"
    np.save(scores, smooth(5, (60, 40), 9).astype(np.float32))
    segment_file(scores, tmp_path / "whole.npy", decode="iou")

    class Stop(Exception):  # noqa: N818 - no error
        pass

    calls = []

    def stop(*said: float) -> None:
        calls.append(said)
        if len(calls) == 4:
            raise Stop

    with pytest.raises(Stop):
        segment_file(scores, out, decode="iou", progress=stop, workers=1)
    with pytest.raises(Exception, match="parameter decode was .*iou.* now it is .*dice"):
        segment_file(scores, out, decode="dice", resume=True)
    summary = segment_file(scores, out, decode="iou", resume=True)
    assert summary.tiles_resumed >= 4
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_arrays_and_refusals_of_files() -> None:
    logits, labels = smooth(5, (20, 30)), np.empty((20, 30), np.uint8)
    segment_file(logits, labels, decode="dice")
    assert np.array_equal(labels, labels_of(logits, "dice"))
    with pytest.raises(Unusable, match="decode must be argmax, dice, iou; got 'rank'"):
        segment_file(logits, labels, decode="rank")  # type: ignore[arg-type]


def test_command_line(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("click")
    from softmax2d.cli import app

    logits = smooth(5, (20, 30)).astype(np.float32)
    np.save(tmp_path / "scores.npy", logits)
    given = [str(tmp_path / "scores.npy"), "-o", str(tmp_path / "out.npy"), "--decode", "dice"]
    with pytest.raises(SystemExit) as stop:
        app.main(["segment", *given, "--outputs", "labels"])
    assert stop.value.code == 0
    assert np.array_equal(np.load(tmp_path / "out.npy"), labels_of(logits, "dice"))


def test_rules_travel_as_plain_numbers() -> None:
    for decode in METRICS:
        found = search_of(smooth(5, (20, 30)), decode).rule
        again = _decode.Rule.of(found.numbers)
        assert hash(found.numbers) == hash(again.numbers)
        assert json.loads(json.dumps(found.numbers))
        assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("decode", METRICS)
def test_raises_the_mean_over_images(decode: Any) -> None:
    """Where truths are drawn by the probabilities: in each image, not of all pixels together."""
    rng = np.random.default_rng(cases.SEED)
    prior = np.log([1.0] + [0.02] * 7)[:, None, None]
    of_image = rng.normal(0, 2, (100, 8, 1, 1)) * (np.arange(8) > 0)[:, None, None]
    logits = (prior + of_image + rng.normal(0, 2, (100, 8, 16, 16))).astype(np.float32)
    drawn = rng.random((100, 1, 16, 16))
    truth = np.minimum((s2d.softmax2d(logits).cumsum(1) < drawn).sum(1), 7)
    plain, found = (
        s2d.evaluate_labels(labels, truth, classes=8, per_image=True)
        for labels in (labels_of(logits, "argmax"), labels_of(logits, decode))
    )
    before, after = (s.per_image.image_means(decode, present="truth") for s in (plain, found))
    gain = after - before
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))
    pooled = getattr(found, f"mean_{decode}") - getattr(plain, f"mean_{decode}")
    assert pooled < gain.mean() / 2
