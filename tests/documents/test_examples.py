"""examples/train_segmentation.py: its loaders on small fixtures, and a short training run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import train_segmentation
from segmentation import folders, networks, synthetic

MASK = np.array([[0, 1, 2, 2], [1, 1, 255, 0]], np.uint8)


def picture(path: Path, array: Any, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image = image.convert("P")
        image = Image.fromarray(array, "L")
        image.putpalette([i for n in range(256) for i in (n, 255 - n, 7)])
    image.save(path)


def image_of(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (2, 4, 3)).astype(np.uint8)


def first(root: Path, part: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    return folders.Scenes.of(root, part, (2, 4))[0]


def test_plain_folders(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png", image_of())
    picture(tmp_path / "masks/a.png", MASK)
    image, mask = first(tmp_path)
    assert folders.layout_of(tmp_path) == "folders"
    assert image.dtype == torch.float32
    assert np.array_equal(image.permute(1, 2, 0) * 255, image_of())
    assert np.array_equal(mask, MASK)


def test_camvid_in_colours(tmp_path: Path) -> None:
    colours = {0: (128, 128, 128), 1: (128, 0, 0), 2: (64, 0, 128), 255: (0, 0, 0)}
    names = ("Sky", "Building", "Car", "Void")
    lines = [f"{r} {g} {b} {n}" for (r, g, b), n in zip(colours.values(), names, strict=True)]
    (tmp_path / "label_colors.txt").write_text("\n".join(lines))
    rgb = np.array([[colours[int(c)] for c in row] for row in MASK], np.uint8)
    picture(tmp_path / "val/a.png", image_of())
    picture(tmp_path / "valannot/a.png", rgb)
    (tmp_path / "trainannot").mkdir()
    assert np.array_equal(first(tmp_path, "val")[1], MASK)
    (tmp_path / "label_colors.txt").unlink()
    with pytest.raises(folders.DataError, match=r"masks of colours need label_colors\.txt"):
        first(tmp_path, "val")


def test_pascal_voc(tmp_path: Path) -> None:
    """Class indices as the indices of a palette, 255 for the outlines."""
    picture(tmp_path / "JPEGImages/x_1.jpg", image_of())
    picture(tmp_path / "SegmentationClass/x_1.png", MASK, palette=True)
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("x_1\n")
    assert np.array_equal(first(tmp_path)[1], MASK)
    with pytest.raises(folders.DataError, match="the layout voc needs .*val.txt"):
        first(tmp_path, "val")


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes(tmp_path: Path, kind: str) -> None:
    ids = np.array([7, 8, 33, 4], np.uint8)  # road, sidewalk, bicycle, static
    want = np.array([0, 1, 18, 255], np.uint8)
    values = ids if kind == "labelIds" else want
    name = "leftImg8bit/train/aachen/aachen_0_1_leftImg8bit.png"
    picture(tmp_path / name, image_of())
    mask = tmp_path / f"gtFine/train/aachen/aachen_0_1_gtFine_{kind}.png"
    picture(mask, np.stack([values, values]))
    assert np.array_equal(first(tmp_path)[1], np.stack([want, want]))
    mask.unlink()
    with pytest.raises(folders.DataError, match="every image needs a mask"):
        first(tmp_path)


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data", str(tmp_path), "--classes", "3"]
    assert train_segmentation.main(given) == 2
    assert (
        "--data must have one of the folders leftImg8bit/ (cityscapes)" in capsys.readouterr().err
    )
    assert train_segmentation.main(["--data", str(tmp_path / "no"), "--classes", "3"]) == 2
    assert "--data must be a folder; got" in capsys.readouterr().err
    (tmp_path / "masks").mkdir()
    picture(tmp_path / "images/a.png", image_of())
    assert train_segmentation.main(given) == 2
    assert "needs a mask of its name" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train_segmentation.main(["--data", str(tmp_path)])
    assert "--data needs --classes" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fcn", "deeplabv3"])
def test_networks(name: str) -> None:
    logits = networks.network(name, 5, width=4)(torch.zeros(2, 3, 32, 48))
    assert logits.shape == (2, 5, 4, 6)


def test_scenes_are_seeded_and_have_every_class() -> None:
    one, two = (synthetic.Scenes(4, (64, 96), 3) for _ in range(2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one, two, strict=False))
    masks = torch.stack([one[i][1] for i in range(4)])
    shares = np.bincount(masks.flatten(), minlength=6) / masks.numel()
    assert (shares > 0).all()
    assert shares[5] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("extra", [[], ["--network", "deeplabv3", "--mixed", "bf16",
                                        "--channels-last"]])  # fmt: skip
def test_both_losses_learn_alike(
    tmp_path: Path, extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same curve but for what float32 rounds, which training then magnifies."""
    small = ["--steps", "4", "--batch", "2", "--size", "64", "96", "--output", str(tmp_path)]
    assert train_segmentation.main([*small, *extra]) == 0
    printed = capsys.readouterr().out
    assert "largest difference of the two curves" in printed
    assert "softmax2d  step    4/4: loss " in printed
    assert "s left" in printed
    assert "IoU of each class, pictures held out:\n     plain sky " in printed
    runs = json.loads((tmp_path / "training.json").read_text())
    close = 5e-2 if "bf16" in extra else 1e-3
    np.testing.assert_allclose(runs["plain"]["losses"], runs["softmax2d"]["losses"], rtol=close)
    for name in ("training", "training-labels"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_training_on_a_folder(tmp_path: Path) -> None:
    data, scenes = tmp_path / "data", synthetic.Scenes(2, (32, 48), 0)
    for number, (image, mask) in enumerate(scenes[i] for i in range(2)):
        pixels = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        picture(data / f"images/{number}.png", pixels)
        picture(data / f"masks/{number}.png", mask.numpy())
    given = ["--data", str(data), "--classes", "6", "--loss", "softmax2d", "--steps", "2"]
    given += ["--batch", "1", "--size", "32", "48", "--output", str(tmp_path), "--device", "cpu"]
    assert train_segmentation.main(given) == 0
    runs = json.loads((tmp_path / "training.json").read_text())
    assert list(runs) == ["softmax2d"]
    assert [step for step, *_ in runs["softmax2d"]["judged"]] == [2]


def test_every_fifth_of_plain_folders_is_held_out(tmp_path: Path) -> None:
    for number in range(11):
        picture(tmp_path / f"images/{number:02}.png", image_of())
        picture(tmp_path / f"masks/{number:02}.png", MASK)
    parts = [folders.Scenes.of(tmp_path, part, (2, 4)).pairs for part in ("train", "val")]
    names = [[image.stem for image, _ in pairs] for pairs in parts]
    assert names[1] == ["04", "09"]
    assert len(names[0]) == 9 and not set(names[0]) & set(names[1])


def test_a_mask_with_more_classes_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png", image_of())
    picture(tmp_path / "masks/a.png", MASK)
    with pytest.raises(folders.DataError, match=r"--classes is 2, .*masks/a\.png has 2\."):
        folders.Scenes.of(tmp_path, "train", (2, 4), 2)[0]


def test_what_is_missing_is_said_and_help_needs_nothing() -> None:
    """-S: an interpreter that finds no installed package."""
    command = [sys.executable, "-S", EXAMPLES / "train_segmentation.py"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "needs torch, softmax2d, matplotlib, pillow" in run.stderr
    assert 'pip install ".[torch,demo]"' in run.stderr
    run = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
    for layout in ("images/NAME.jpg", "trainannot/", "JPEGImages/", "leftImg8bit/", "255"):
        assert layout in run.stdout
