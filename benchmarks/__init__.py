"""Timings of softmax2d beside other libraries and beside a plain copy: ``python -m benchmarks``.

Layers, top down:

- ``__main__``: the command line
- ``documents``, ``report``, ``targets``: what the numbers say; ``passes``: of resampling,
  losses and statistics
- ``results``: from samples to numbers
- ``runner``: who is timed when
- ``process``, ``worker``: one process for each library, from outside and from inside
- ``ways``: how each library does each job
- ``inputs``, ``cases``, ``jobs``, ``machine``: on which arrays, what is measured, where
"""
