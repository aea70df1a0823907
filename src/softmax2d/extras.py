"""Optional packages: which extra asks for them, which version is there, how to install them.

softmax2d is on no index of packages yet, and ``pip`` may be that of another Python: the command
that a message names spells out the packages with their bounds, and the interpreter without them.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib.machinery import PathFinder

__all__ = ["install_command", "package_of", "requirements", "version_of"]

_PACKAGES = {"PIL": "pillow", "skimage": "scikit-image"}


def package_of(module: str) -> str:
    """What pip calls the package of a module."""
    root = module.partition(".")[0]
    return _PACKAGES.get(root, root)


def version_of(package: str) -> str | None:
    """The version that is installed; None where there is none."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def requirements() -> dict[str, dict[str, str]]:
    """For each extra its packages, each as pip takes it: ``{"hdf5": {"h5py": "h5py>=3.10"}}``."""
    from importlib import metadata

    try:
        lines = metadata.requires("softmax2d") or []
    except metadata.PackageNotFoundError:  # imported from its source, without an installation
        lines = []
    found: dict[str, dict[str, str]] = {}
    nested: list[tuple[str, str]] = []
    for line in lines:
        what, _, marker = line.partition(";")
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", marker)
        name = re.match(r"([\w.-]+)\s*(?:\[([^]]*)])?", what)
        if extra is None or name is None:
            continue
        listed = found.setdefault(extra[1], {})
        if name[1] == "softmax2d":
            nested += [(extra[1], each.strip()) for each in (name[2] or "").split(",")]
        else:
            listed[name[1]] = what.strip()
    for extra_name, inner in nested * 2:  # extras of extras
        found[extra_name] = found.get(inner, {}) | found[extra_name]
    return found


def _python() -> str:
    """The interpreter that runs, as a shell finds it."""
    from shutil import which  # asked after mistakes only

    for name in ("python", "python3"):
        if sys.executable and which(name) == sys.executable:
            return name
    return shlex.quote(sys.executable) if sys.executable else "python"


def install_command(extra: str, *modules: str) -> str:
    """The command that installs modules, and what else the extra lacks, where this Python runs.

    Parameters
    ----------
    extra : str
        An extra of softmax2d, or ``""`` for packages that belong to none.
    *modules : str
        Dotted names of modules that cannot be imported, or names of packages.
    """
    from shutil import which

    wanted = {package_of(module): package_of(module) for module in modules}
    for package, text in requirements().get(extra, {}).items():
        if package in wanted or version_of(package) is None:
            wanted[package] = text
    quoted = (f'"{text}"' if re.search(r"[<>=[]", text) else text for text in wanted.values())
    listed = " ".join(quoted)
    # PathFinder alone: the finder of setuptools takes a look for pip as the start of pip, and from
    # then on imports Python's own distutils, which torch.compile cannot use.
    if PathFinder.find_spec("pip") is None and which("uv"):
        return f"uv pip install --python {_python()} {listed}"
    return f"{_python()} -m pip install {listed}"
