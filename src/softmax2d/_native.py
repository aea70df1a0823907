"""The native core, or an error that says what to do about its absence."""

try:
    import softmax2d._core as core
except ImportError as error:
    raise ImportError(
        "softmax2d: its native core softmax2d._core is missing or cannot be loaded "
        f"({error}). It is compiled at installation and needs GCC or clang: "
        "reinstall it from its wheel, or with `pip install --force-reinstall .` in a clone."
    ) from error

__all__ = ["core"]
