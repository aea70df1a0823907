"""What is public: names and signatures."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

MODULES = ("softmax2d", "softmax2d.torch", "softmax2d.calibrate", "softmax2d.balance",
           "softmax2d.stream", "softmax2d.dask", "softmax2d.reference", "softmax2d.threadpools",
           "softmax2d.demo", "softmax2d.adapters.huggingface", "softmax2d.adapters.mmsegmentation",
           "softmax2d.adapters.monai", "softmax2d.adapters.nnunet",
           "softmax2d.adapters.smp")  # fmt: skip


def record_signatures(r: Any) -> None:
    """The names and signatures of everything public."""
    for module in MODULES:
        held = importlib.import_module(module)
        own = [n for n, v in vars(held).items() if getattr(v, "__module__", "") == module]
        names = getattr(held, "__all__", sorted(n for n in own if not n.startswith("_")))
        r.note(f"signatures/{module}", " ".join(names))
        for name in names:
            value, key = getattr(held, name), f"signatures/{module}.{name}"
            if not callable(value):
                r.note(key, repr(value))
                continue
            r.note(key, signature_text(value))
            for method in dir(value) if inspect.isclass(value) else ():
                if method.startswith("_") or not is_ours(value, method):
                    continue
                member = inspect.getattr_static(value, method)
                member = getattr(member, "__func__", member)
                text = signature_text(member) if callable(member) else type(member).__name__
                r.note(f"{key}.{method}", text)


def is_ours(held: type, name: str) -> bool:
    """Whether a class of softmax2d defines the name."""
    return any(name in vars(b) for b in held.__mro__ if b.__module__.startswith("softmax2d"))


def signature_text(value: Any) -> str:
    """Names, kinds and defaults of parameters, without annotations: aliases may move."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "no signature"
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))
