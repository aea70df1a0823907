"""softmax2d's threads under threadpoolctl.

>>> import softmax2d.threadpools
>>> softmax2d.threadpools.register()
>>> from threadpoolctl import threadpool_limits
>>> with threadpool_limits(limits=1, user_api="softmax2d"):
...     softmax2d.get_num_threads()
1
"""

from __future__ import annotations

from typing import Any

from softmax2d.extras import install_command


def register() -> None:
    """Make threadpoolctl know softmax2d's threads, as ``user_api="softmax2d"``.

    From then on ``threadpoolctl.threadpool_info`` lists them and
    ``threadpoolctl.threadpool_limits`` limits them together with those of NumPy's and PyTorch's
    libraries. Registering twice is harmless.

    Raises
    ------
    ImportError
        threadpoolctl is not installed, or older than 3.3.
    """
    try:
        from threadpoolctl import LibController
        from threadpoolctl import register as register_controller
    except ImportError as error:
        raise ImportError(
            "softmax2d.threadpools: threadpoolctl 3.3 or later is needed: "
            f"install it with `{install_command('', 'threadpoolctl')}`."
        ) from error

    class Softmax2dController(LibController):  # type: ignore[misc]
        """The two functions of the native core that threadpoolctl needs."""

        user_api = "softmax2d"
        internal_api = "softmax2d"
        filename_prefixes = ("_core",)
        check_symbols = ("softmax2d_get_num_threads", "softmax2d_set_num_threads")

        def get_num_threads(self) -> Any:
            return self.dynlib.softmax2d_get_num_threads()

        def set_num_threads(self, num_threads: int) -> Any:
            return self.dynlib.softmax2d_set_num_threads(num_threads)

        def get_version(self) -> str:
            from softmax2d import __version__

            return __version__

        def set_additional_attributes(self) -> None:
            from softmax2d import instruction_set

            self.architecture = instruction_set()

    register_controller(Softmax2dController)
