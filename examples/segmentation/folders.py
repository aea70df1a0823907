"""Images and masks as data sets lay them out in folders.

========== ====================================================================================
layout     files
========== ====================================================================================
folders    images/NAME.*, masks/NAME.png; every fifth is the part val, the others train
camvid     train/NAME.png, trainannot/NAME.png (the same with val and test)
voc        JPEGImages/NAME.jpg, SegmentationClass/NAME.png, ImageSets/Segmentation/train.txt
cityscapes leftImg8bit/train/CITY/NAME_leftImg8bit.png, gtFine/train/CITY/NAME_gtFine_labelIds.png
           (or _labelTrainIds.png)
========== ====================================================================================

A mask holds class indices, as grey values or as indices of its palette; or colours, which
label_colors.txt beside the folders turns into classes, one line "red green blue name" for each.
255, and colours called Void or listed nowhere, are no class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

VOID = 255
FIFTH = 5
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".bmp")
# labelIds of the 19 classes that are evaluated, in their order: the table published with the data
# set (M. Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016;
# cityscapesScripts, helpers/labels.py, columns id and trainId).
CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

Pair = tuple[Path, Path]


class DataError(Exception):
    """What is wrong with a folder of images and masks."""


def _beside(images: Path, masks: Path) -> list[Pair]:
    """Images and the masks of the same name."""
    by_name = {p.stem: p for p in sorted(masks.iterdir()) if p.suffix.lower() in PICTURES}
    found = [p for p in sorted(images.iterdir()) if p.suffix.lower() in PICTURES]
    missing = [p.name for p in found if p.stem not in by_name]
    if missing:
        raise DataError(
            f"every image in {images} needs a mask of its name in {masks}; {missing[0]} has none."
        )
    return [(p, by_name[p.stem]) for p in found]


def _folders(root: Path, part: str) -> list[Pair]:
    pairs = _beside(root / "images", root / "masks")
    return [pair for i, pair in enumerate(pairs) if (i % FIFTH == FIFTH - 1) == (part == "val")]


def _camvid(root: Path, part: str) -> list[Pair]:
    return _beside(root / part, root / f"{part}annot")


def _voc(root: Path, part: str) -> list[Pair]:
    names = (root / "ImageSets/Segmentation" / f"{part}.txt").read_text().split()
    return [
        (root / "JPEGImages" / f"{n}.jpg", root / "SegmentationClass" / f"{n}.png") for n in names
    ]


def _cityscapes(root: Path, part: str) -> list[Pair]:
    pairs = []
    for image in sorted((root / "leftImg8bit" / part).glob("*/*_leftImg8bit.png")):
        stem = image.name.removesuffix("_leftImg8bit.png")
        city = root / "gtFine" / part / image.parent.name
        masks = [city / f"{stem}_gtFine_{kind}.png" for kind in ("labelTrainIds", "labelIds")]
        mask = next((m for m in masks if m.exists()), None)
        if mask is None:
            raise DataError(f"every image needs a mask; {image} has no {masks[1]}.")
        pairs.append((image, mask))
    return pairs


LAYOUTS: dict[str, tuple[str, Callable[[Path, str], list[Pair]]]] = {
    "cityscapes": ("leftImg8bit", _cityscapes),
    "voc": ("JPEGImages", _voc),
    "camvid": ("trainannot", _camvid),
    "folders": ("masks", _folders),
}


def layout_of(root: Path) -> str:
    """The layout whose folder is there."""
    if not root.is_dir():
        raise DataError(f"--data must be a folder; got {root}.")
    for name, (folder, _) in LAYOUTS.items():
        if (root / folder).is_dir():
            return name
    known = ", ".join(f"{folder}/ ({name})" for name, (folder, _) in LAYOUTS.items())
    raise DataError(f"--data must have one of the folders {known}; {root} has none.")


def _lines(root: Path) -> list[list[str]]:
    """Red, green, blue and name of each line of label_colors.txt; nothing where there is none."""
    path = root / "label_colors.txt"
    return (
        [line.split(maxsplit=3) for line in path.read_text().splitlines() if line.strip()]
        if path.exists()
        else []
    )


def names_of(root: Path, classes: int) -> tuple[str, ...]:
    """Names of the classes: of label_colors.txt, or their numbers."""
    named = [name.strip() for *_, name in _lines(root) if name.strip().lower() != "void"]
    return tuple(named) if len(named) == classes else tuple(map(str, range(classes)))


def palette_of(root: Path) -> dict[tuple[int, ...], int]:
    """Classes by colour, from label_colors.txt; nothing where there is none."""
    colours: dict[tuple[int, ...], int] = {}
    number = 0
    for *colour, name in _lines(root):
        if name.strip().lower() == "void":
            colours[tuple(map(int, colour))] = VOID
        else:
            colours[tuple(map(int, colour))] = number
            number += 1
    return colours


def classes_of(mask: Any, colours: dict[tuple[int, ...], int], path: Path) -> Any:
    """The class of each pixel, uint8, of a mask as Pillow opens it."""
    if mask.mode in ("P", "L", "1", "I", "I;16"):
        values = np.asarray(mask).astype(np.int64)
        if path.name.endswith("_labelIds.png"):
            table = np.full(256, VOID, np.int64)
            table[list(CITYSCAPES)] = range(len(CITYSCAPES))
            values = table[np.clip(values, 0, 255)]
        return np.where((values < 0) | (values > VOID), VOID, values).astype(np.uint8)
    if not colours:
        raise DataError(
            f"masks of colours need label_colors.txt beside the folders, one line "
            f"'red green blue name' for each class; {path} is {mask.mode}."
        )
    rgb = np.asarray(mask.convert("RGB")).astype(np.int64)
    key = rgb @ [1 << 16, 1 << 8, 1]
    classes = np.full(key.shape, VOID, np.uint8)
    for (red, green, blue), number in colours.items():
        classes[key == (red << 16 | green << 8 | blue)] = number
    return classes


@dataclass
class Scenes(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Images (3, H, W), float32 in [0, 1], and masks (H, W), uint8, of one size."""

    pairs: list[Pair]
    size: tuple[int, int]
    colours: dict[tuple[int, ...], int]
    classes: int = VOID

    @classmethod
    def of(cls, root: Path, part: str, size: tuple[int, int], classes: int = VOID) -> Scenes:
        """One part (train, val, test) of the folder ``root``, with masks of ``classes`` classes."""
        name = layout_of(root)
        try:
            pairs = LAYOUTS[name][1](root, part)
        except FileNotFoundError as error:
            raise DataError(
                f"the layout {name} needs {error.filename}, which is not there."
            ) from None
        if not pairs:
            raise DataError(f"{root} has no images for the part {part}.")
        return cls(pairs, size, palette_of(root), classes)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image_path, mask_path = self.pairs[index]
        size = self.size[1], self.size[0]
        with Image.open(image_path) as image:
            pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
        with Image.open(mask_path) as mask:
            classes = classes_of(mask, self.colours, mask_path)
        largest = classes[classes != VOID].max(initial=0)
        if largest >= self.classes:
            raise DataError(
                f"masks must hold classes 0 ... {self.classes - 1}, as --classes is "
                f"{self.classes}, and {VOID} where nothing is labelled; {mask_path} has {largest}."
            )
        target = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
        image_tensor = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
        return image_tensor.contiguous(), torch.from_numpy(target.copy())
