"""What is missing is named with a command that installs it where this Python runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from softmax2d import extras
from softmax2d._errors import Unusable, require

ROOT = Path(__file__).parents[1]


def test_requirements_are_those_of_the_package() -> None:
    found = extras.requirements()
    assert found["hdf5"] == {"h5py": "h5py>=3.10"}
    assert found["dask"]["dask"].startswith("dask[array]>=")
    assert set(found["cli"]) < set(found["demo"]) < set(found["all"])  # extras of extras
    assert not any("softmax2d" in packages for packages in found.values())
    text = (ROOT / "pyproject.toml").read_text()
    written = re.search(r"optional-dependencies\]\n(.*?)\n\n", text, re.S)
    assert written is not None
    assert set(re.findall(r"^(\w+) = \[", written[1], re.M)) == set(found)


def test_the_command_names_this_python_and_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    words = shlex.split(extras.install_command("geotiff", "rasterio.shutil"))
    assert words == [sys.executable, "-m", "pip", "install", "rasterio>=1.4"]
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    command = extras.install_command("hdf5", "h5py")
    assert re.fullmatch(r'python(3|3\.\d+)? -m pip install "h5py>=3\.10"', command)
    assert extras.install_command("", "monai").endswith(" -m pip install monai")


def test_a_command_leaves_the_finders_of_imports_alone() -> None:
    """A look for pip by importlib tells setuptools that pip runs."""
    code = "import sys; sys.modules['h5py'] = None; from softmax2d import extras; "
    code += "print(extras.install_command('hdf5', 'h5py')); import setuptools, distutils.core; "
    code += "print('_distutils' in distutils.core.__file__)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    if "No module named 'setuptools'" not in done.stderr:
        assert (done.stdout.split()[-1], done.stderr) == ("True", "")


def test_all_that_the_extra_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"click", "tifffile"}
    monkeypatch.setattr(extras, "version_of", lambda name: None if name in lacking else "1")
    command = extras.install_command("cli", "click")
    assert command.endswith('install "click>=8.1" "tifffile>=2024.1"')
    command = extras.install_command("demo", "skimage.data")
    assert '"scikit-image>=' in command
    assert '"scipy' not in command


def test_without_pip_uv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras.PathFinder, "find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    command = shlex.split(extras.install_command("hdf5", "h5py"))
    assert command == ["uv", "pip", "install", "--python", sys.executable, "h5py>=3.10"]


def test_a_source_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", absent)
    assert extras.requirements() == {}
    assert extras.install_command("hdf5", "h5py").endswith(" -m pip install h5py")
    assert extras.version_of("no-such-package") is None


def test_missing_and_broken_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(Unusable) as caught:
        require("rasterio", "geotiff")
    command = extras.install_command("geotiff", "rasterio")
    assert str(caught.value) == f"this needs rasterio: install it with `{command}`."
    (tmp_path / "brokenlibrary.py").write_text("raise ImportError('libgdal.so.99:\\nnot found')")
    (tmp_path / "incomplete.py").write_text("import no_such_module_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    for module, cause in (
        ("brokenlibrary", "libgdal.so.99: not found"),
        ("incomplete", "No module named 'no_such_module_anywhere'"),
    ):
        with pytest.raises(Unusable) as caught:
            require(module, "geotiff")
        assert str(caught.value) == f"{module} is installed but cannot be imported: {cause}."
