"""Which modules pytest looks for examples in: not those whose extra is missing."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("triton") else ["softmax2d/torch/triton/*"]
if not find_spec("torch"):
    collect_ignore_glob.append("softmax2d/torch/*")
