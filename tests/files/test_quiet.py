"""Warnings of libraries are silent in several threads at once, and the filters are put back."""

from __future__ import annotations

import os
import sys
import warnings
from threading import Barrier, Thread

import pytest

from softmax2d._files.source.quiet import without_warnings


def test_the_first_to_leave_ends_no_others_silence() -> None:
    before = list(warnings.filters)
    inside, left = Barrier(2, timeout=60), Barrier(2, timeout=60)
    raised: list[BaseException] = []

    def stay() -> None:
        try:
            with without_warnings():
                inside.wait()
                left.wait()
                warnings.warn("of a format", UserWarning, stacklevel=1)
        except BaseException as error:  # noqa: BLE001  # a warning is an error in these tests
            raised.append(error)

    thread = Thread(target=stay)
    with without_warnings():
        thread.start()
        inside.wait()
    left.wait()
    thread.join(60)
    assert not raised and warnings.filters == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)


def test_errors_end_the_silence_too() -> None:
    before = list(warnings.filters)
    with pytest.raises(KeyError), without_warnings():
        raise KeyError
    assert warnings.filters == before


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_forked_process_hears_again() -> None:
    with without_warnings():
        child = os.fork()
        if not child:
            silent = any(kind == "ignore" and not text for kind, text, *_ in warnings.filters[:1])
            os._exit(1 if silent else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
