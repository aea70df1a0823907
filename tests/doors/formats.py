"""Writers of every format that holds scores or a truth, by other libraries where there are some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import rasterio
import safetensors.numpy
import tifffile
import zarr
from PIL import Image
from rasterio.transform import Affine

PLACE = Affine(10, 0, 500000, 0, -10, 5e6)
CRS = "EPSG:32633"


def write_geotiff(path: Path, array: Any, **how: Any) -> Path:
    """A GeoTIFF with a band for each class, or with one band."""
    bands = array if array.ndim == 3 else array[None]
    how = {"crs": CRS, "transform": PLACE} | how
    kind = bands.dtype.name if bands.dtype != bool else "uint8"
    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype=kind, **size, **how) as file:
        file.write(bands.astype(kind))
    return path


def write_nifti(path: Path, array: Any, affine: Any = None) -> Path:
    """A NIfTI file of one slice, of shape (H, W) or (C, H, W): axes i, j, k, and the class last."""
    held = np.ascontiguousarray(array.T[:, :, None])  # (W, H, 1) or (W, H, 1, C)
    nibabel.save(nibabel.Nifti1Image(held, np.eye(4) if affine is None else affine), path)
    return path


def write(path: Path, array: Any) -> Path:
    """A file of (C, H, W) scores or of an (H, W) truth, in the format of the suffix."""
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".nii.gz") else path.suffix
    if suffix == ".npy":
        np.save(path, array)
    elif suffix == ".npz":
        np.savez(path, scores=array)
    elif suffix == ".zarr":
        zarr.save_array(path, array)
    elif suffix == ".tif":
        tifffile.imwrite(path, array, photometric="minisblack")
    elif suffix in (".nii", ".nii.gz"):
        write_nifti(path, array)
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["scores"] = array
    elif suffix == ".safetensors":
        safetensors.numpy.save_file({"scores": np.ascontiguousarray(array)}, path)
    elif suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        raise ValueError(suffix)
    return path


SCORES = (".npy", ".npz", ".zarr", ".tif", ".nii", ".nii.gz", ".h5", ".safetensors")
TRUTHS = (*SCORES, ".png")
