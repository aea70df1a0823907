"""Import other packages when first used, or say in one line how to get them."""

from __future__ import annotations

import importlib
from typing import Any

from softmax2d.extras import install_command


def peer(where: str, module: str, install: str) -> Any:
    """``module`` of another package.

    Parameters
    ----------
    where : str
        The adapter that asks, for the message.
    module : str
        The dotted name.
    install : str
        What pip calls the package.

    Raises
    ------
    ModuleNotFoundError
        The package is not there. What is missing *inside* it is passed on as it is.
    """
    root = module.partition(".")[0]
    try:
        importlib.import_module(root)
    except ModuleNotFoundError as error:
        if error.name != root:
            raise
        raise ModuleNotFoundError(
            f"softmax2d.adapters.{where} needs {root}. Install it with `"
            f"{install_command('', install)}`.",
            name=root,
        ) from None
    return importlib.import_module(module)
