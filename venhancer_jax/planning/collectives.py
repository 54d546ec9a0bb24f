"""Counts the traffic between chips in a compiled program, by kind."""

import dataclasses
import math
import re
from collections import Counter

from venhancer_jax.planning import hlo

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_OPCODES = re.compile(rf" ({'|'.join(KINDS)})(-start)?\(")
_ARRAY = re.compile(r"([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_BITS = re.compile(r"\d+")


@dataclasses.dataclass(frozen=True)
class Collective:
    """All transfers of one kind in one run of a program.

    Attributes:
      count: number of transfers.
      bytes: bytes that each chip receives in all of them.
    """

    count: int
    bytes: int


def count_collectives(text: str) -> tuple[dict[str, Collective], int]:
    """Counts the transfers between chips in one run of a compiled program.

    The body of a loop counts as often as the loop runs. A transfer that the compiler spreads over
    several instructions, to overlap it with others, counts once.

    Args:
      text: result of `compiled.as_text()`.

    Returns:
      Transfers by kind, and the number of loops of unknown length, which count once.
    """
    program = hlo.parse(text, _OPCODES)
    known: dict[str, Counter[tuple[str, str]]] = {}
    total = _computation_total(program, program.entry, known)
    found = {
        kind: Collective(total[kind, "count"], total[kind, "bytes"])
        for kind in KINDS
        if total[kind, "count"]
    }
    return found, program.unknown_loops


def _computation_total(
    program: hlo.Program, name: str, known: dict[str, Counter[tuple[str, str]]]
) -> Counter[tuple[str, str]]:
    """Returns counts and bytes by kind of one run of a computation with all that it calls."""
    if name in known:
        return known[name]
    total, spread = Counter(), set()
    computation = program.computations.get(name, hlo.Computation(name))
    for instruction in computation.instructions:
        total.update(_instruction_total(instruction, name))
    for call in computation.calls:
        inner = program.computations.get(call.computation)
        if call.fused and inner is not None and inner.instructions:
            for instruction in inner.instructions:
                channel = instruction.attribute(r"channel_id=(\d+)")
                if channel is not None:
                    if (instruction.opcode, channel) in spread:
                        continue
                    spread.add((instruction.opcode, channel))
                total.update(_instruction_total(instruction, inner.name))
            continue
        for key, value in _computation_total(program, call.computation, known).items():
            total[key] += call.times * value
    known[name] = total
    return total


def _instruction_total(
    instruction: hlo.Instruction, computation: str
) -> dict[tuple[str, str], int]:
    kind = instruction.opcode.removesuffix("-start")
    moved = _result_bytes(instruction)
    # The TPU compiler fuses an all-reduce with taking a slice of its result.
    if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"
    elif kind == "all-reduce":
        moved *= 2  # summed, then sent to all
    elif kind == "reduce-scatter":
        moved *= _group_size(instruction)
    return {(kind, "count"): 1, (kind, "bytes"): moved}


def _result_bytes(instruction: hlo.Instruction) -> int:
    """Returns the bytes of the result, which the start of a transfer lists behind its operands."""
    shape = instruction.shape
    if instruction.opcode.endswith("-start") and instruction.opcode != "all-reduce-start":
        parts = _parts(shape)
        shape = parts[1] if len(parts) > 1 else shape
    return sum(_array_bytes(kind, sizes) for kind, sizes in _ARRAY.findall(shape))


def _parts(shape: str) -> list[str]:
    """Splits the type of a tuple into its members."""
    parts, depth = [""], 0
    for letter in shape[1:-1] if shape.startswith("(") else shape:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _array_bytes(kind: str, sizes: str) -> int:
    bits = _BITS.search(kind)
    width = 8 if kind == "pred" or bits is None else int(bits.group())
    return math.prod(int(n) for n in sizes.split(",") if n) * max(1, width // 8)


def _group_size(instruction: hlo.Instruction) -> int:
    """Returns the number of chips of a transfer, which the text writes in three ways."""
    if found := instruction.attribute(r"replica_groups=\[\d+,(\d+)\]"):
        return int(found)
    if found := instruction.attribute(r"replica_groups=\{\{([\d,]+)\}"):
        return len(found.split(","))
    if found := instruction.attribute(r"replica_groups=mesh\[([^\]]*)\]"):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found))
        used = instruction.attribute(r"replica_groups=mesh\[[^{]*\{([^}]*)\}") or ""
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", used))
    return 1
