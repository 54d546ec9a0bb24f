"""Counts the operations of one chip in a compiled program, including work that chips repeat.

Convolutions, into which the TPU compiler turns matrix products, and products count; loop bodies
count as often as they run. XLA's own count takes a loop body once.
"""

import math
import re

from venhancer_jax.planning import hlo

_OPCODES = re.compile(r" (convolution|dot)\(")
_OPERANDS = re.compile(r"%([\w.\-]+)")
_SIZES = re.compile(r"\[([\d,]*)\]")


def count_chip_flops(text: str) -> int:
    """Counts two operations for each multiply-add of one run on one chip.

    Products that the compiler turns into sums, and library calls of GPUs, are not counted.

    Args:
      text: result of `compiled.as_text()`.
    """
    program = hlo.parse(text, _OPCODES)
    known: dict[str, int] = {}

    def total(name: str) -> int:
        if name not in known:
            computation = program.computations.get(name, hlo.Computation(name))
            own = sum(_instruction_flops(each, computation) for each in computation.instructions)
            called = sum(call.times * total(call.computation) for call in computation.calls)
            known[name] = own + called
        return known[name]

    return total(program.entry)


def _instruction_flops(instruction: hlo.Instruction, computation: hlo.Computation) -> int:
    left, right = (
        _sizes(computation.shape_of(name)) for name in _OPERANDS.findall(instruction.rest)[:2]
    )
    result = _sizes(instruction.shape)
    if instruction.opcode == "dot":
        contracted = instruction.attribute(r"lhs_contracting_dims=\{([\d,]*)\}") or ""
        return 2 * math.prod(result) * math.prod(left[int(i)] for i in contracted.split(",") if i)
    labels = instruction.attribute(r"dim_labels=([\w>\-]+)") or ""
    ins, kernel, outs = re.split("_|->", labels)
    window = instruction.attribute(r"window=\{([^}]*)\}") or ""
    terms = dict(term.split("=") for term in window.split())
    work = math.prod(result[outs.index(axis)] for axis in "bf") * right[kernel.index("i")]
    for n in range(sum(axis.isdigit() for axis in outs)):
        axis = str(n)
        work *= _valid(
            left[ins.index(axis)],
            right[kernel.index(axis)],
            result[outs.index(axis)],
            {name: value.split("x")[n] for name, value in terms.items()},
        )
    return 2 * work


def _valid(size: int, kernel: int, result: int, window: dict[str, str]) -> int:
    """Counts pairs of an output and a kernel element whose input is neither padding nor a hole."""
    stride, hole = int(window.get("stride", 1)), int(window.get("lhs_dilate", 1))
    step, before = int(window.get("rhs_dilate", 1)), int(window.get("pad", "0_0").split("_")[0])
    last = (size - 1) * hole
    return sum(
        0 <= (at := o * stride + k * step - before) <= last and at % hole == 0
        for k in range(kernel)
        for o in range(result)
    )


def _sizes(shape: str) -> list[int]:
    found = _SIZES.search(shape)
    return [int(n) for n in found.group(1).split(",") if n] if found else []
