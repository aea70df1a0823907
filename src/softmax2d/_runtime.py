"""The native core as this process uses it: which build, how many threads."""

from __future__ import annotations

import atexit
import os
from operator import index

from softmax2d._native import core


def instruction_set() -> str:
    """Name the build of the kernels in use.

    Returns
    -------
    str
        ``"x86-64-v2"`` (SSE4), ``"x86-64-v3"`` (AVX2), ``"x86-64-v4"`` (AVX-512), or
        ``"baseline"`` on other processors. The best that the processor runs, unless the environment
        variable ``SOFTMAX2D_ISA`` named one when softmax2d was imported.

    Examples
    --------
    >>> import softmax2d as s2d
    >>> s2d.instruction_set() in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "baseline")
    True
    """
    return str(core.build_in_use())


def instruction_sets() -> dict[str, bool]:
    """The instruction sets that this installation is built for, and whether each runs here.

    Returns
    -------
    dict of str to bool
        Slowest first; the environment variable ``SOFTMAX2D_ISA`` takes one that runs.

    Examples
    --------
    >>> import softmax2d
    >>> softmax2d.instruction_sets()[softmax2d.instruction_set()]
    True
    """
    runnable = core.runnable_builds()
    return {str(name): name in runnable for name in core.all_builds()}


def get_num_threads() -> int:
    """Number of threads that a large call uses, the calling one included.

    Returns
    -------
    int
        What :func:`set_num_threads` said, else ``SOFTMAX2D_NUM_THREADS``, else
        ``OMP_NUM_THREADS``, else the processors that this process may use (affinity mask and cgroup
        quota, looked up anew at each call).
    """
    return int(core.num_threads())


def set_num_threads(n: int | None) -> None:
    """Set the number of threads that a large call uses; results do not depend on it.

    Parameters
    ----------
    n : int or None
        At least 1; None returns to the processors that this process may use.

    Raises
    ------
    TypeError
        ``n`` is not an integer.
    ValueError
        ``n`` is less than 1 or more than 4096.
    """
    if n is None:
        core.set_num_threads(0)
        return
    if isinstance(n, bool):
        raise TypeError("set_num_threads: n must be an integer or None; got bool.")
    try:
        number = index(n)
    except TypeError:
        raise TypeError(
            f"set_num_threads: n must be an integer or None; got {type(n).__name__}."
        ) from None
    if not 1 <= number <= 4096:
        raise ValueError(f"set_num_threads: n must be between 1 and 4096; got {number}.")
    core.set_num_threads(number)


def share_threads(n: int) -> None:
    """Let calls from this thread use ``n`` threads, as one of several that call at a time."""
    core.set_own_threads(n)


def _choose_build(name: str) -> None:
    """Force the build that ``SOFTMAX2D_ISA`` names, or say why not."""
    if name in ("v2", "v3", "v4"):
        name = f"x86-64-{name}"
    if core.use_build(name):
        return
    built, runnable = core.all_builds(), core.runnable_builds()
    why = (
        f"this processor cannot run it; it runs {', '.join(runnable)}"
        if name in built
        else f"this installation has {', '.join(built)}"
    )
    raise RuntimeError(f"softmax2d: SOFTMAX2D_ISA={name} is not available: {why}.")


def _choose_threads() -> None:
    """Take the number of threads from the environment."""
    own = os.environ.get("SOFTMAX2D_NUM_THREADS", "").strip()
    if own:
        if not own.isdecimal() or not 1 <= int(own) <= 4096:
            raise RuntimeError(
                f"softmax2d: SOFTMAX2D_NUM_THREADS must be a whole number from 1 to 4096; "
                f"got {own!r}."
            )
        core.set_num_threads(int(own))
        return
    # OpenMP's variable may be a list, one number a nesting level; it ignores all else, so do we.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and 1 <= int(first) <= 4096:
        core.set_num_threads(int(first))


atexit.register(core.shut_down)
if forced := os.environ.get("SOFTMAX2D_ISA", "").strip():
    _choose_build(forced)
_choose_threads()
