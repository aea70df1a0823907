"""Operations on tensors: a kernel and its derivative, written once and called in one of three ways.

Plain tensors go to the kernel at once, inside a ``torch.autograd.Function`` where a gradient is
required. Transforms of ``torch.func`` take the same in the form that they ask for, with a rule for
vmap. Where PyTorch records or replaces what is called (compilation, fake tensors, modes, subclasses
of tensors, the batches of ``is_grads_batched=True``) the operation is an operator of
``torch.library``, whose fake kernel gives shapes and strides: that costs several times as much
a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from softmax2d.torch.gate import modes

Kernel = Callable[..., Any]


def _as_tuple(results: Any) -> Any:
    """Several results as functions of autograd return them."""
    return tuple(results) if isinstance(results, list) else results


def _keep_nothing(ctx: Any, inputs: Any, output: Any) -> None:
    """Keep nothing for a backward pass that there is not."""


class Operation:
    """A differentiable operation; its arguments are those of an operator's schema, in a row.

    Parameters
    ----------
    name : str
        Of the operator, without its namespace; messages begin with ``where``.
    schema : str
        Arguments and results, as ``torch.library`` writes them.
    kernels : mapping
        The function of each kind of device.
    mutates : names of the arguments that are written to
    where : str
        The public function, for messages.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        kernels: Mapping[str, Kernel],
        *,
        mutates: Any = (),
        where: str = "softmax2d",
    ) -> None:
        (first, kernel), *others = kernels.items()
        self.registered: Any = torch.library.custom_op(
            f"softmax2d::{name}", kernel, mutates_args=mutates, device_types=first, schema=schema
        )
        for device, other in others:
            self.registered.register_kernel(device, other)
        self._name, self._where, self._kernels = name, where, dict(kernels)
        self._direct = not mutates  # the registry counts what is written to
        self._save: Callable[..., None] = _keep_nothing
        kinds = [str(a.type) for a in self.registered._opoverload._schema.arguments]  # noqa: SLF001
        # Arguments that have gradients come first.
        self._first = len(list(takewhile(lambda kind: "Tensor" in kind, kinds)))
        self._ahead: Callable[..., Any] | None = None
        self._rule: Callable[..., Any] = self.map_in_a_loop
        self._build(self._refuse_backward)

    def __call__(self, *arguments: Any) -> Any:
        """Compute the results."""
        if modes.is_recording() or not self._direct:
            return self.registered(*arguments)
        variables = 0  # the first arguments, up to the last that requires a gradient
        for place, given in enumerate(arguments):
            if isinstance(given, Tensor):
                if not modes.is_own(given):
                    return self.registered(*arguments)
                variables = place + 1 if given.requires_grad else variables
        if modes.is_transforming():
            return self._transformed.apply(*arguments)
        kernel = self._kernels.get(arguments[0].device.type)
        if kernel is None:
            return self.registered(*arguments)
        if variables and torch.is_grad_enabled():
            variables = max(variables, self._first)
            return self._eager.apply(*arguments[:variables], arguments[variables:])
        return kernel(*arguments)

    def register_fake(self, fake: Kernel) -> Kernel:
        """Take the function that gives results without values."""
        self.registered.register_fake(fake)
        return fake

    def register_autograd(
        self,
        backward: Callable[..., Any],
        *,
        setup_context: Callable[..., None] = _keep_nothing,
        ahead: Callable[..., Any] | None = None,
    ) -> None:
        """Take the derivative: ``backward(ctx, *grads)``, and what it needs to be kept.

        ``ahead(ctx, *arguments)`` may compute the results of plain tensors, and keep more; None
        from it leaves them to the kernel.
        """
        self._ahead = ahead
        self.registered.register_autograd(backward, setup_context=setup_context)
        self._save = setup_context
        self._build(backward)

    def register_vmap(self, rule: Callable[..., Any]) -> None:
        """Take a faster rule for vmap than a loop."""
        self.registered.register_vmap(rule)
        self._rule = rule

    def _build(self, backward: Callable[..., Any]) -> None:
        """Make the functions of autograd: for plain tensors, and for transforms."""

        def forward(ctx: Any, *given: Any) -> Any:
            arguments = *given[:-1], *given[-1]
            found = None if self._ahead is None else self._ahead(ctx, *arguments)
            if found is None:
                found = _as_tuple(self._kernels[arguments[0].device.type](*arguments))
            self._save(ctx, arguments, found)
            return found

        def compute(*arguments: Any) -> Any:
            return _as_tuple(self(*arguments))  # at the level below, or plain

        def keep(ctx: Any, inputs: Any, output: Any) -> None:
            self._save(ctx, inputs, output)

        def map_over(info: Any, in_dims: Any, *arguments: Any) -> Any:
            found, out_dims = self._rule(info, in_dims, *arguments)
            return _as_tuple(found), _as_tuple(out_dims)

        shared = {"backward": staticmethod(backward)}
        transformed = {
            "forward": staticmethod(compute),
            "setup_context": staticmethod(keep),
            "vmap": staticmethod(map_over),
            "jvp": staticmethod(self._refuse_forward),
        }
        name = "".join(part.capitalize() for part in self._name.split("_"))
        self._eager: Any = type(name, (Function,), shared | {"forward": staticmethod(forward)})
        self._transformed: Any = type(name, (Function,), shared | transformed)

    def _refuse_backward(self, *_: Any) -> Any:
        raise NotImplementedError(
            f"{self._where}: there is no derivative. Take that of softmax2d or of a loss."
        )

    def _refuse_forward(self, *_: Any) -> Any:
        raise NotImplementedError(
            f"{self._where}: there is no forward-mode derivative, as torch.func.jvp, jacfwd and "
            "hessian take it. Use backward passes: torch.func.jacrev, and for second derivatives "
            "jacrev(jacrev(...)) or torch.autograd.functional.hessian."
        )

    def map_in_a_loop(self, info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
        """Call for each entry of the mapped dimension, and stack the results: a rule for vmap."""

        def entry(i: int) -> Any:
            pairs = zip(arguments, in_dims, strict=True)
            return self(*(a.select(d, i) if isinstance(a, Tensor) and d is not None else a
                          for a, d in pairs))  # fmt: skip

        each = [entry(i) for i in range(info.batch_size)]
        if isinstance(each[0], Tensor):
            return torch.stack(each), 0
        found = [torch.stack(parts) for parts in zip(*each, strict=True)]
        return type(each[0])(found), type(each[0])(0 for _ in found)
