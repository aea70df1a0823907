"""The scores of each image from files: those of arrays, in order, whatever becomes of tiles."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import stream
from softmax2d.stream.counting import evaluation, image_rows
from softmax2d.stream.counting.counting import Counting
from softmax2d.stream.counting.evaluation import Evaluation
from softmax2d.stream.recovery import checkpoint
from tests.stream.tiles import Stop, cut, in_step, stop_after, work_of

RNG = np.random.default_rng(11)
IGNORE = 255


def scene(shape: tuple[int, ...], axis: int = -3, size: tuple[int, ...] = ()) -> tuple[Any, Any]:
    """Scores and a truth in patches, some of it ignored: classes are missing in some images."""
    z = RNG.normal(0, 2, shape).astype(np.float32)
    pixels = np.moveaxis(z, axis, 0).shape[1:]
    pixels = pixels[: len(pixels) - len(size)] + size
    t = RNG.integers(0, shape[axis], pixels).astype(np.uint8)
    t[..., : t.shape[-1] // 2] = 1
    t[..., -1:] = IGNORE
    return z, t


def nameless(found: s2d.Statistics) -> s2d.Statistics:
    """The statistics of files as those of arrays, which have no names."""
    assert found.per_image is not None
    return replace(found, per_image=found.per_image.with_names(None))


SHAPES: dict[str, tuple[tuple[int, ...], int, tuple[int, ...], int | None]] = {
    "one image": ((4, 17, 23), -3, (), None),
    "a batch": ((5, 4, 9, 8), -3, (), None),
    "two axes of a batch": ((2, 3, 4, 9, 8), -3, (), None),
    "channels last": ((3, 9, 8, 4), -1, (), None),
    "a volume": ((4, 3, 9, 8), 0, (), None),
    "another size": ((3, 4, 9, 8), -3, (13, 20), None),
    "images of one pixel": ((40, 4, 1, 2), -3, (), None),
}


@pytest.mark.parametrize(
    ("budget", "decode"), [(1 << 26, "argmax"), (2000, "argmax"), (300, "argmax"), (400, "dice")]
)
@pytest.mark.parametrize("kind", SHAPES)
def test_the_counts_of_arrays(budget: int, kind: str, decode: Any, monkeypatch: Any) -> None:
    cut(monkeypatch, budget)
    shape, axis, size, dims = SHAPES[kind]
    z, t = scene(shape, axis, size)
    how: dict[str, Any] = {"axis": axis, "ignore_index": IGNORE}
    found = stream.evaluate_files(z, t, per_image=True, decode=decode, **how)
    size_asked = {"size": size} if size else {}
    want = s2d.evaluate(z, t, per_image=True, spatial_dims=dims, **how, **size_asked)
    if decode != "argmax":
        labels = s2d.segment(z, axis=axis, decode=decode, **size_asked).labels
        dims = 3 if kind == "a volume" else 2
        own = {"classes": shape[axis], "ignore_index": IGNORE, "spatial_dims": dims}
        decoded = s2d.evaluate_labels(labels, t, per_image=True, **own)
        want = replace(want, confusion=decoded.confusion, per_image=decoded.per_image)
    assert found == want
    assert replace(found, per_image=None) == stream.evaluate_files(z, t, decode=decode, **how)
    assert found.per_image is not None
    assert found.per_image.truth.sum(0).tolist() == found.class_pixels.tolist()


@pytest.mark.parametrize("budget", [300, 2000])
def test_any_order_of_tiles(budget: int, monkeypatch: Any) -> None:
    """Workers finish when they like: parts are put to their images, and images stay in order."""
    cut(monkeypatch, budget)
    z, t = scene((3, 2, 4, 9, 8))
    how: dict[str, Any] = {"ignore_index": IGNORE, "per_image": True, "axis": 2}
    want = s2d.evaluate(z, t, **how)
    run = "softmax2d.stream._evaluate.threads.run"

    def shuffled(task: Evaluation, tiles: Any, report: Any, workers: int) -> None:
        parts = [(tile, list(task.parts(tile))) for tile in tiles]
        random.Random(budget).shuffle(parts)
        for tile, found in parts:
            random.Random(tile).shuffle(found)
            report(task.take(tile, found))

    monkeypatch.setattr(run, shuffled)
    assert stream.evaluate_files(z, t, **how) == want


def test_images_are_called_after_their_file(tmp_path: Path) -> None:
    z, t = scene((2, 3, 4, 5, 6))
    np.save(tmp_path / "scan.v2.npy", z)
    how: dict[str, Any] = {"ignore_index": IGNORE, "per_image": True}
    found = stream.evaluate_files(tmp_path / "scan.v2.npy", t, axis=-3, **how)
    assert found.per_image is not None and found.per_image.names is not None
    assert found.per_image.names[1:4] == ("scan.v2[0,1]", "scan.v2[0,2]", "scan.v2[1,0]")
    np.save(tmp_path / "one.npy", z[0, 0])
    found = stream.evaluate_files(tmp_path / "one.npy", t[0, 0], **how)
    assert found.per_image is not None and found.per_image.names == ("one",)
    assert stream.evaluate_files(z[0], t[0], ignore_index=IGNORE).per_image is None


def test_names_of_files_tell_them_apart() -> None:
    names = image_rows.names_of_files
    assert names(["a/x.nii.gz", "a/y.tif", "b/x.npy"]) == ["a/x", "a/y", "b/x"]
    assert names(["d/a.png", "d/a.tif", "d/b.png"]) == ["a.png", "a.tif", "b.png"]
    assert names(["d/a.png", "d/a.png"]) == ["a", "a"]
    assert names([Path("d/store.zarr/")]) == ["store"]
    assert names(["a.png", np.zeros(3)]) is None
    assert image_rows.names_of_entries("x", (1, 1)) == ["x"]
    assert image_rows.names_of_entries("x", (2,)) == ["x[0]", "x[1]"]
    assert image_rows.names_of_entries(None, (2,)) is None


def test_label_maps_in_pieces_and_lists(tmp_path: Path) -> None:
    t = RNG.integers(0, 5, (3, 700, 900)).astype(np.uint8)
    labels = RNG.integers(0, 5, t.shape).astype(np.uint8)
    t[0][t[0] == 4], t[:, :9], labels[0][labels[0] == 4] = 0, IGNORE, 1
    want = s2d.evaluate_labels(labels, t, ignore_index=IGNORE, per_image=True)
    how: dict[str, Any] = {"ignore_index": IGNORE, "per_image": True}
    for memory in ("2MB", "512MB"):
        assert stream.evaluate_label_files(labels, t, memory=memory, **how) == want
    assert stream.evaluate_label_files(list(labels), list(t), **how) == want
    paths: list[list[Path]] = [[], []]
    for i in range(3):
        for where, array, listed in zip(("labels", "truth"), (labels, t), paths, strict=True):
            folder = tmp_path / where / f"part{i % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"case{i}.npy", array[i])
            listed.append(folder / f"case{i}.npy")
    found = stream.evaluate_label_files(*paths, **how)
    assert nameless(found) == want
    assert found.per_image is not None
    assert found.per_image.names == ("part0/case0", "part1/case1", "part0/case2")
    mixed = stream.evaluate_label_files([labels[:2], paths[0][2]], [t[:2], paths[1][2]], **how)
    assert mixed == want
    volume = stream.evaluate_label_files(labels, t, spatial_dims=3, **how)
    assert volume == s2d.evaluate_labels(
        labels, t, ignore_index=IGNORE, spatial_dims=3, per_image=True
    )


def test_label_maps_of_ever_more_classes() -> None:
    """The number of classes is known at the end; rows of earlier images have the others as 0."""
    truth = [np.full((2, 3), c, np.uint8) for c in (0, 5, 2)]
    labels = [t.copy() for t in truth]
    labels[2][0, 0] = 6
    found = stream.evaluate_label_files(labels, truth, per_image=True)
    pairs = zip(labels, truth, strict=True)
    assert found == sum(s2d.evaluate_labels(*p, classes=7, per_image=True) for p in pairs)


def test_pixels_without_a_label_are_in_no_image(tmp_path: Path) -> None:
    t = RNG.integers(0, 3, (2, 8, 9)).astype(np.uint8)
    labels = t.copy()
    labels[1] = 9
    found = stream.evaluate_label_files(labels, t, nodata=9, per_image=True)
    assert found.per_image is not None
    assert found.per_image.truth.sum(1).tolist() == [72, 0]
    assert np.isnan(found.per_image.iou[1]).all()


@pytest.mark.parametrize("door", ["scores", "labels"])
def test_a_table_for_spreadsheets(door: str, tmp_path: Path) -> None:
    z, t = scene((3, 4, 9, 8))
    given, evaluate = z, stream.evaluate_files
    if door == "labels":
        given, evaluate = z.argmax(1).astype(np.uint8), stream.evaluate_label_files  # type: ignore[assignment]
    t[2] = IGNORE
    np.save(tmp_path / "Hang Żółty.npy", given)
    out, account = tmp_path / "scores.csv", tmp_path / "account.json"
    how: dict[str, Any] = {"ignore_index": IGNORE, "names": "road,car,sky,道路", "summary": account}
    found = evaluate(tmp_path / "Hang Żółty.npy", t, per_image=out, **how)
    assert found.per_image is not None
    assert out.read_bytes()[:3] == b"\xef\xbb\xbf"  # by which Excel knows UTF-8
    rows = list(csv.DictReader(out.read_text("utf-8-sig").splitlines()))
    assert [row["image"] for row in rows] == [f"Hang Żółty[{i}]" for i in range(3)]
    assert [int(row["pixels"]) for row in rows] == found.per_image.truth.sum(1).tolist()
    dice = [row["Dice 道路"] for row in rows]
    assert [float(cell) for cell in dice[:2]] == found.per_image.dice[:2, 3].tolist()
    assert dice[2] == rows[2]["mean IoU"] == rows[2]["IoU road"] == ""
    means = [float(row["mean IoU"]) for row in rows[:2]]
    assert means == found.per_image.image_means("iou")[:2].tolist()
    held = json.loads(account.read_text())["images"]
    assert held["total"] == 3
    assert held["mean_dice"] == found.per_image.mean_dice()
    lowest = found.per_image.worst()
    assert [w["name"] for w in held["worst_iou"]] == [score.name for score in lowest]
    assert len(held["worst_iou"]) == 2  # the third has no score
    with pytest.raises(stream.Refused, match=r"scores.csv: exists; add --overwrite"):
        evaluate(given, t, per_image=out, ignore_index=IGNORE)


def test_what_takes_no_scores(tmp_path: Path) -> None:
    z, t = scene((4, 5, 6))
    for door in (stream.evaluate_files, stream.evaluate_label_files):
        first = z if door is stream.evaluate_files else t
        with pytest.raises(
            stream.Refused, match=r"has the suffix '.txt'; the scores of each image are a .csv"
        ):
            door(first, t, ignore_index=IGNORE, per_image=tmp_path / "scores.txt")
        with pytest.raises(
            TypeError, match="per_image must be True, False or the path of a .csv; got 1"
        ):
            door(first, t, ignore_index=IGNORE, per_image=1)
        with pytest.raises(stream.Refused, match="there is no folder"):
            door(first, t, ignore_index=IGNORE, per_image=tmp_path / "no" / "s.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_report_leaves_no_table(tmp_path: Path) -> None:
    z, t = scene((4, 5, 6))
    t[0, 0] = 9
    with pytest.raises(stream.Refused, match="got 9"):
        stream.evaluate_files(z, t, ignore_index=IGNORE, per_image=tmp_path / "s.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def often(monkeypatch: Any) -> None:
    """Small tiles, and a checkpoint after each."""
    cut(monkeypatch, 1500)
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)
    in_step(monkeypatch)


def interrupted(z: Any, t: Any, beside: Path, after: int, **options: Any) -> None:
    _, stop = stop_after(after)
    with pytest.raises(Stop):
        stream.evaluate_files(z, t, checkpoint=beside, progress=stop, workers=1, **options)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("decode", ["argmax", "iou"])
def test_a_resumed_run_has_the_same_images(decode: str, tmp_path: Path) -> None:
    z, t = scene((2, 2, 4, 9, 9))
    how: dict[str, Any] = {"ignore_index": IGNORE, "per_image": True, "decode": decode, "axis": 2}
    want = stream.evaluate_files(z, t, **how)
    for after in (1, 5, 3) if decode == "argmax" else (1,):
        interrupted(z, t, tmp_path / "kept", after, resume=True, **how)
    account = tmp_path / "account.json"
    found = stream.evaluate_files(
        z, t, checkpoint=tmp_path / "kept", resume=True, summary=account, **how
    )
    assert found == want
    assert json.loads(account.read_text())["tiles"]["resumed"] > 0


@pytest.mark.usefixtures("often")
def test_the_table_alone_is_a_place_to_resume_from(tmp_path: Path) -> None:
    z, t = scene((3, 4, 9, 18))
    out = tmp_path / "scores.csv"
    _, stop = stop_after(4)
    with pytest.raises(Stop):
        stream.evaluate_files(z, t, ignore_index=IGNORE, per_image=out, progress=stop, workers=1)
    assert work_of(out).exists() and not out.exists()
    stream.evaluate_files(z, t, ignore_index=IGNORE, per_image=out, resume=True)
    text = out.read_bytes()
    stream.evaluate_files(z, t, ignore_index=IGNORE, per_image=out, overwrite=True)
    assert out.read_bytes() == text
    assert not work_of(out).exists()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("before", [True, False])
def test_kept_counts_without_images_are_not_gone_on_with(before: bool, tmp_path: Path) -> None:
    z, t = scene((3, 4, 9, 18))
    interrupted(z, t, tmp_path / "kept", 4, ignore_index=IGNORE, per_image=before)
    words = "was true, now it is null" if before else "was null, now it is true"
    with pytest.raises(stream.Refused, match=f"parameter per_image {words}"):
        stream.evaluate_files(
            z,
            t,
            ignore_index=IGNORE,
            checkpoint=tmp_path / "kept",
            resume=True,
            per_image=not before,
        )


@pytest.mark.usefixtures("often")
def test_kept_images_that_do_not_add_up_are_not_trusted(tmp_path: Path) -> None:
    z, t = scene((3, 4, 9, 9))
    how: dict[str, Any] = {"ignore_index": IGNORE, "per_image": True}
    beside, account = tmp_path / "kept", tmp_path / "account.json"
    interrupted(z, t, beside, 2, **how)
    kept = work_of(beside) / "checkpoint"
    lines = kept.read_bytes().splitlines(keepends=True)
    header, state = map(checkpoint.record_in, lines)
    assert header is not None and state is not None
    more, less = (evaluation._unpack(state["rows"], (3, 3, 4)).copy() for _ in "ml")
    more[0, 0, 1] += 1
    less[0, 0, 1] = -1
    forged = [None, *map(evaluation._pack, (more, less, more[:2])), "AAAA"]
    for rows in forged:
        kept.parent.mkdir(exist_ok=True)
        own = {k: v for k, v in state.items() if k != "rows"} | ({"rows": rows} if rows else {})
        kept.write_bytes(checkpoint.line_of(header) + checkpoint.line_of(own))
        found = stream.evaluate_files(z, t, checkpoint=beside, summary=account, resume=True, **how)
        assert found == s2d.evaluate(z, t, **how)
        assert json.loads(account.read_text())["tiles"]["resumed"] == 0


def test_rows_of_boxes_that_lie_side_by_side() -> None:
    """Joined boxes have their images in C order, along whichever axis they were joined."""
    numbers = np.arange(2 * 4 * 3 * 5).reshape(2, 4, 3, 5)
    held = image_rows.ImageRows((2, 4), 5)
    pixels = (slice(0, 6), slice(0, 7))
    left, right = (slice(0, 2), slice(0, 1), *pixels), (slice(0, 2), slice(1, 4), *pixels)
    parts = [numbers[box[:2]].reshape(-1, 3, 5) for box in (left, right)]
    joined = image_rows.join_rows(*parts, left, right, 2)
    assert (joined == numbers.reshape(-1, 3, 5)).all()
    held.add((slice(0, 2), slice(0, 4), *pixels), joined)
    assert (held.rows == joined).all()
    upper, lower = (slice(0, 1), slice(2, 3)), (slice(0, 1), slice(2, 3))
    assert (image_rows.join_rows(parts[0], parts[0], upper, lower, 2) == 2 * parts[0]).all()


def test_the_budget_has_room_for_the_images() -> None:
    z, t = np.zeros((20_000, 8, 1, 1), np.float32), np.zeros((20_000, 1, 1), np.uint8)
    stream.evaluate_files(z, t, memory="4MB")
    with pytest.raises(
        stream.Unusable, match=r"counts of .* take [0-9]+ MB; give memory='[0-9]+MB'"
    ):
        stream.evaluate_files(z, t, memory="4MB", per_image=True)
    assert issubclass(Evaluation, Counting)
