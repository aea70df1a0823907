"""Logits with their truth, gone through several times: arrays, files, lists, datasets."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import stream
from softmax2d._statistics.evaluate import count_pixels
from softmax2d.stream.counting.samples import Samples, names_of

COUNT = partial(count_pixels, bins=7)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 3, (4, 5, 12, 16)).astype(np.float32)
    target = rng.integers(0, 5, (4, 24, 32)).astype(np.uint8)
    target[:, :2] = 255
    return logits, target


def whole(logits, target, **options):
    return s2d.evaluate(logits, target, size=target.shape[1:], ignore_index=255, bins=7, **options)


class Pairs:
    """A dataset as PyTorch has them: its ``__getitem__`` never ends by itself."""

    def __init__(self, logits, target):
        self.logits, self.target = logits, target

    def __len__(self):
        return len(self.logits)

    def __getitem__(self, index):
        return self.logits[index % len(self)], self.target[index % len(self)]


def kinds(logits, target, folder):
    np.save(folder / "logits.npy", logits)
    np.save(folder / "target.npy", target)
    each = [(folder / f"{i}.npy", folder / f"{i}.truth.npy") for i in range(len(logits))]
    for (first, second), z, t in zip(each, logits, target, strict=True):
        np.save(first, z)
        np.save(second, t)
    return {
        "arrays": (logits, target),
        "files": (folder / "logits.npy", folder / "target.npy"),
        "list of arrays": (list(logits), list(target)),
        "list of files": ([p for p, _ in each], [str(t) for _, t in each]),
        "mixed": ([logits[0], each[1][0], logits[2], each[3][0]], list(target)),
        "dataset": (Pairs(logits, target), None),
        "list of pairs": (list(zip(logits, target, strict=True)), None),
    }


def test_all_kinds_give_the_sum_and_the_images(data, tmp_path):
    logits, target = data
    images = [whole(z[None], t[None]) for z, t in zip(logits, target, strict=True)]
    for name, pair in kinds(logits, target, tmp_path).items():
        samples = Samples("fit", *pair, ignore_index=255, memory="1MB", workers=2)
        assert samples.classes == 5
        for how in ({}, {"temperature": 1.7}, {"bias": np.arange(5.0)}):  # as often as asked
            assert samples.total(COUNT, **how) == whole(logits, target, **how), name
        assert list(samples.each(COUNT)) == images, name


def test_parts_of_an_image_become_one(tmp_path):
    rng = np.random.default_rng(6)
    logits = rng.normal(0, 3, (2, 8, 300, 400)).astype(np.float32)
    target = rng.integers(0, 8, (2, 300, 400))
    np.save(tmp_path / "z.npy", logits)
    samples = Samples("fit", tmp_path / "z.npy", target, memory="1MB", workers=3)
    assert samples.total(COUNT) == s2d.evaluate(logits, target, bins=7)
    each = list(samples.each(COUNT))
    assert each == [s2d.evaluate(z, t, bins=7) for z, t in zip(logits, target, strict=True)]


def test_a_view_counts_its_images_alone(data, tmp_path):
    logits, target = data
    images = [whole(z[None], t[None]) for z, t in zip(logits, target, strict=True)]
    for name, pair in kinds(logits, target, tmp_path).items():
        samples = Samples("fit", *pair, ignore_index=255, memory="1MB", workers=2)
        assert samples.images == 4, name
        for chosen in ([2], [3, 0], [0, 1, 2, 3]):
            view = samples.only(chosen)
            assert view.images == len(chosen)
            for how in ({}, {"bias": np.arange(5.0)}):
                found = whole(logits[sorted(chosen)], target[sorted(chosen)], **how)
                assert view.total(COUNT, **how) == found, name
            assert list(view.each(COUNT)) == [images[i] for i in sorted(chosen)], name
        assert samples.only([]).total(COUNT) is None
        assert samples.only([1, 2]).only([2]).total(COUNT) == images[2]
        assert samples.total(COUNT) == whole(logits, target)
        for strange in (4, -1):
            with pytest.raises(IndexError, match=f"^fit: there is no image {strange}"):
                samples.only([strange])
        with pytest.raises(IndexError, match="no image 0"):
            samples.only([1]).only([0])


def test_a_view_leaves_the_others_unread(data):
    logits, target = data
    read = []

    class Watched(Pairs):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    samples = Samples("fit", Watched(logits, target), ignore_index=255)
    assert samples.images == 4
    read.clear()
    assert samples.images == 4 and not read
    assert samples.only([1, 3]).total(COUNT) == whole(logits[1::2], target[1::2])
    assert read == [1, 3]


def test_images_are_numbered_over_every_axis_of_the_batch(tmp_path):
    rng = np.random.default_rng(8)
    logits = rng.normal(0, 3, (2, 3, 4, 300, 40)).astype(np.float32)
    target = rng.integers(0, 4, (2, 3, 300, 40)).astype(np.uint8)
    np.save(tmp_path / "z.npy", logits)
    flat = [s2d.evaluate(z, t, bins=7) for z, t in zip(logits[1], target[1], strict=True)]
    for first in (logits, tmp_path / "z.npy"):
        samples = Samples(
            "fit", [first, logits[0, 0]], [target, target[0, 0]], axis=-3, memory="1MB"
        )
        assert samples.images == 7
        assert list(samples.only([3, 5]).each(COUNT)) == [flat[0], flat[2]]
        assert list(samples.only([6]).each(COUNT)) == [
            s2d.evaluate(logits[0, 0], target[0, 0], bins=7)
        ]


def test_logits_alone_with_a_size(data):
    logits, _ = data

    def pixels(source, target, images):
        assert target is None
        return np.array([images, np.prod(source.shape), source.tables is not None])

    samples = Samples("prior", logits, truth=False, size=(24, 32))
    assert samples.total(pixels).tolist() == [4, 4 * 24 * 32, 1]
    several = Samples("prior", list(logits), truth=False)
    assert several.total(pixels).tolist() == [4, 4 * 12 * 16, 0]


def test_tensors_and_lists_of_numbers(data):
    torch = pytest.importorskip("torch")
    logits, target = data
    tensors = torch.tensor(logits, requires_grad=True), torch.tensor(target)
    assert Samples("fit", *tensors, ignore_index=255).total(COUNT) == whole(logits, target)
    nested = Samples("fit", logits[0].tolist(), target[0].tolist(), ignore_index=255)
    assert nested.total(COUNT) == whole(logits[:1].astype(np.float64), target[:1])


def test_nothing_to_count(data):
    logits, target = data
    assert Samples("fit", logits[:0], target[:0]).total(COUNT) is None
    assert list(Samples("fit", logits[:, :, :0], target[:, :0, :16]).each(COUNT)) == []


@pytest.mark.parametrize(
    ("pair", "error", "said"),
    [
        (([], []), ValueError, "fit: there are no logits."),
        ((np.zeros((2, 3, 3)), None), TypeError, "fit: logits are ndarray, and the target is mis"),
        (("z.npy", None), TypeError, "fit: logits are str, and the target is missing."),
        (([np.zeros((2, 3, 3))], np.zeros((3, 3), int)), ValueError, "fit: give one target for"),
        (
            ([np.zeros((2, 3, 3))], [np.zeros((3, 3), int)] * 2),
            ValueError,
            "fit: every logits needs one target; got 1 logits and 2 targets.",
        ),
        (
            (np.ma.masked_array(np.zeros((2, 3, 3)), True), np.zeros((3, 3), int)),
            TypeError,
            "fit: logits must not be a masked array",
        ),
        (
            (np.zeros((2, 3, 3)), np.ma.masked_array(np.zeros((3, 3), int), True)),
            TypeError,
            "fit: target must not be a masked array",
        ),
        (({"a": 1}, None), TypeError, "fit: a dataset gives its pairs as often as asked: a list"),
        (([[1.0], []], np.zeros((3, 3), int)), TypeError, "fit: logits of type list cannot be rea"),
        ((iter([]), None), TypeError, "fit: a dataset gives its pairs as often as asked: a list"),
        (([np.zeros((2, 3, 3))], None), TypeError, "fit: a dataset gives pairs (logits, target);"),
        (
            (np.zeros((2, 3, 3)), np.full((3, 3), 0.5)),
            ValueError,
            "target: holds 0.5 at (0, 0); lab",
        ),
        ((np.zeros((3, 3)), np.zeros((3, 3), int)), ValueError, "logits: logits needs a class axi"),
        ((np.zeros((2, 3, 3)), np.full((3, 3), 2)), ValueError, "target: must be in [0, 2) or ign"),
        (
            ([np.zeros((2, 3, 3)), np.zeros((4, 3, 3))], [np.zeros((3, 3), int)] * 2),
            ValueError,
            "logits: has 4 classes, those before it 2.",
        ),
    ],
)
def test_what_is_refused(pair, error, said):
    with pytest.raises(error) as found:
        Samples("fit", *pair, ignore_index=255).total(COUNT)
    assert str(found.value).startswith(said)


@pytest.mark.parametrize("size", ["a", 2.5, (2, 3.5), True, [[1, 2]]])
def test_a_size_that_is_none(data, size):
    with pytest.raises(ValueError, match="^size must be an integer or one per spatial axis; got"):
        Samples("fit", data[0], truth=False, size=size)


def test_one_number_is_the_size_of_every_axis(data):
    logits, target = data
    squares = Samples("fit", logits, truth=False, size=20).total(lambda s, t, n: s.shape)
    assert squares == (4, 20, 20)
    square = target[:, :24, :24]
    same = Samples("fit", logits, square, size=24, ignore_index=255).total(COUNT)
    assert same == s2d.evaluate(logits, square, size=24, ignore_index=255, bins=7)
    with pytest.raises(ValueError, match=r"^fit: size 25 is not that of the target, \(4, 24, 24\)"):
        Samples("fit", logits, square, size=25)


def test_a_map_that_does_not_fit(data):
    samples = Samples("fit", *data, ignore_index=255)
    with pytest.raises(ValueError, match=r"^logits: temperature must be a number or one value per"):
        samples.total(COUNT, temperature=[1.0, 2.0])


def test_names_of_a_file_that_are_not_one_a_class(data, tmp_path):
    h5py = pytest.importorskip("h5py")
    logits, target = data
    count = logits.shape[-3]
    for wrong, names in enumerate((list(map(str, range(count))), ["one", "two"])):
        with h5py.File(tmp_path / f"{wrong}.h5", "w") as file:
            file["logits"] = logits
            file["logits"].attrs["class_names"] = names
        samples = Samples("f", tmp_path / f"{wrong}.h5", target, axis=-3)
        assert names_of("f", "names", None, samples) == (None if wrong else tuple(names))
        with pytest.raises(ValueError, match=f"names must be one for each of {count} classes; got"):
            names_of("f", "names", ["one", "two"], samples)


def test_passes_are_watched(data, tmp_path):
    logits, target = data
    for name, array in (("z", logits), ("t", target)):
        np.save(tmp_path / f"{name}.npy", array)
    for pair in ((logits, target), (tmp_path / "z.npy", tmp_path / "t.npy")):
        seen = []
        samples = Samples("fit", *pair, ignore_index=255)
        with stream.watched(lambda pixels, seconds, seen=seen: seen.append((pixels, seconds))):
            for _ in range(2):
                samples.total(COUNT)
        assert seen[-1][0] == 2 * target.size
        assert seen == sorted(seen)
        samples.total(COUNT)
        assert seen[-1][0] == 2 * target.size
