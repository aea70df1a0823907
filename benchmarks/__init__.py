"""Timings of softmax2d beside other libraries and beside a plain copy: ``python -m benchmarks``.

Layers, top down: ``__main__`` (the command line), ``report`` and ``targets`` (what the numbers
say), ``results`` (from samples to numbers), ``runner`` (who is timed when), ``worker`` (one
process for each library), ``ways`` (how each library does each job), ``inputs`` (on which arrays),
``cases`` (what is measured), ``machine`` (where).
"""
