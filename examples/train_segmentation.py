"""Train a segmentation network with PyTorch's loss and with softmax2d's, and compare.

    python examples/train_segmentation.py                       # drawn scenes, two minutes
    python examples/train_segmentation.py --data FOLDER --classes 11 --steps 2000

Both runs start from the same weights and see the same batches: the learning curves agree, memory
and time of the loss do not. Writes training.png (curves), training-labels.png (a picture held out,
with its labels) and training.json (all numbers).
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

NEEDED = {"torch": "torch", "softmax2d": "softmax2d", "matplotlib": "matplotlib", "PIL": "pillow"}
DATA = """\
what --data accepts: a folder in one of four layouts, recognised by the folder named first.
  plain folders   masks/NAME.png beside images/NAME.jpg (.png, .jpeg, .tif, .bmp); every fifth
                  picture, in the order of the names, is held out
  CamVid          trainannot/NAME.png beside train/NAME.png; valannot/ and val/ are held out
  Pascal VOC      JPEGImages/NAME.jpg, SegmentationClass/NAME.png and the lists of names
                  ImageSets/Segmentation/train.txt and val.txt (held out)
  Cityscapes      leftImg8bit/train/CITY/NAME_leftImg8bit.png and
                  gtFine/train/CITY/NAME_gtFine_labelIds.png (or _labelTrainIds.png);
                  the folders val are held out

values of masks: a class index at each pixel, 0 ... classes - 1, as grey values or as indices of a
palette; 255 is not labelled and counts nowhere. labelIds of Cityscapes become its 19 classes.
Masks of colours need the file label_colors.txt beside the folders, one line for each class:
"red green blue name"; the first line is class 0, Void and colours that are not listed are 255.

example: 40 photographs of leaves, masks of 0 (background), 1 (leaf) and 2 (spot)
  leaves/images/001.jpg ... leaves/images/040.jpg
  leaves/masks/001.png  ... leaves/masks/040.png
  python examples/train_segmentation.py --data leaves --classes 3 --steps 500
"""


def arguments(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=DATA, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of images and masks (below); drawn scenes without it")
    add("--classes", type=int, help="number of classes in the masks; needed with --data")
    add("--network", choices=("fcn", "deeplabv3"), default="fcn", help="head (default: fcn)")
    add("--torchvision", action="store_true", help="torchvision's ResNet-50 networks, untrained")
    add("--loss", choices=("plain", "softmax2d", "both"), default="both", help="default: both")
    add("--steps", type=int, default=100, help="batches for each loss (default: %(default)s)")
    add("--batch", type=int, default=4, help="pictures in a batch (default: %(default)s)")
    add("--size", type=int, nargs=2, default=(256, 384), metavar=("HEIGHT", "WIDTH"),
        help="size to which pictures and masks are brought (default: 256 384)")  # fmt: skip
    add("--rate", type=float, default=2e-3, help="learning rate (default: %(default)s)")
    add("--mixed", choices=("no", "bf16", "fp16"), default="no", help="mixed precision")
    add("--channels-last", action="store_true", help="memory format of network and pictures")
    add("--device", help="cpu, cuda, ... (default: cuda where there is one)")
    add("--threads", type=int, help="of PyTorch on the CPU (default: its own choice)")
    add("--seed", type=int, default=0, help="of weights, batches and drawn scenes (default: 0)")
    add("--output", type=Path, default=Path(), help="folder for the files (default: this one)")
    settings = parser.parse_args(given)
    if settings.data is not None and settings.classes is None:
        parser.error("--data needs --classes, the number of classes in its masks; got none.")
    if settings.steps < 1 or settings.batch < 1:
        parser.error(
            f"--steps and --batch must be at least 1; got {settings.steps}, {settings.batch}."
        )
    return settings


def what_is_missing() -> str | None:
    """The packages that are not installed, and how to install them."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if not missing:
        return None
    lines = [f"train_segmentation: needs {', '.join(missing)}, not installed for {sys.executable}."]
    lines.append('In a clone of the repository: pip install ".[torch,demo]"')
    if "torch" in missing:
        lines.append(
            "On Linux that brings PyTorch for GPUs, gigabytes. The build for CPUs, before it:\n"
            "pip install torch --index-url https://download.pytorch.org/whl/cpu"
        )
    return "\n".join(lines)


def main(given: list[str] | None = None) -> int:
    """Train, print the comparison, write the files."""
    settings = arguments(given)
    missing = what_is_missing()
    if missing is not None:
        print(missing, file=sys.stderr)
        return 2
    from segmentation import comparison, folders

    try:
        comparison.run(settings)
    except folders.DataError as error:
        print(f"train_segmentation: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
