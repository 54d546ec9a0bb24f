"""Parses the text of a compiled XLA program: computations, their calls, and how often they run."""

import dataclasses
import functools
import re
from collections.abc import Iterator

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*-> .*\{$")
_NAMED = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_CALLED = re.compile(r"(calls|body|to_apply|branch_computations)=(\{[^}]*\}|%?[\w.\-]+)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_LIMIT = re.compile(r" [su](?:8|16|32|64)\[\]\S* constant\((\d+)\)")
_LAYOUT = re.compile(r"\{[^{}]*\}")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: name of the result.
      shape: type of the result without layouts: `bf16[8,16]`, or a tuple in parentheses.
      opcode: operation, such as `all-gather-start`.
      rest: operands and attributes.
    """

    name: str
    shape: str
    opcode: str
    rest: str

    def attribute(self, pattern: str) -> str | None:
        """Returns the first group of a pattern in the operands and attributes, or None."""
        found = re.search(pattern, self.rest)
        return found.group(1) if found else None


@dataclasses.dataclass(frozen=True)
class Call:
    """A computation that runs for an instruction of another.

    Attributes:
      computation: name of the computation that is called.
      times: number of runs per run of the caller; 1 where the text does not say.
      fused: whether the computation is a part of the instruction, not a program of its own.
    """

    computation: str
    times: int
    fused: bool


@dataclasses.dataclass
class Computation:
    """A named piece of a program.

    Attributes:
      name: name in the text.
      lines: lines of the text.
      instructions: instructions with the requested opcodes.
      calls: computations that it calls.
    """

    name: str
    lines: list[str] = dataclasses.field(default_factory=list)
    instructions: list[Instruction] = dataclasses.field(default_factory=list)
    calls: list[Call] = dataclasses.field(default_factory=list)

    def shape_of(self, name: str) -> str:
        """Returns the type of an instruction's result without layouts; empty if unknown."""
        return self._shapes.get(name, "")

    @functools.cached_property
    def _shapes(self) -> dict[str, str]:
        found = map(_instruction, self.lines)
        return {each.name: each.shape for each in found if each}


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      entry: name of the computation that runs first.
      computations: all computations by name.
      unknown_loops: number of loops whose length the text does not say, which count once.
    """

    entry: str
    computations: dict[str, Computation]
    unknown_loops: int


def parse(text: str, opcodes: re.Pattern[str]) -> Program:
    """Parses the structure of a compiled program.

    Args:
      text: result of `compiled.as_text()`.
      opcodes: pattern of the opcodes to keep; a full network has a million other instructions.

    Raises:
      ValueError: not the text of a program.
    """
    bodies = dict(_bodies(text))
    entry = next((name for name in bodies if name.startswith("ENTRY ")), None)
    if entry is None:
        raise ValueError("no ENTRY computation: this is not the text of a compiled program")
    bodies[entry.removeprefix("ENTRY ")] = bodies.pop(entry)
    computations, unknown = {}, 0
    for name, lines in bodies.items():
        computations[name] = computation = Computation(name, lines)
        for line in lines:
            trips = 1
            if " while(" in line:
                found = _trips(line, bodies)
                trips, unknown = found or 1, unknown + (found is None)
            for role, called in _CALLED.findall(line):
                computation.calls += [
                    Call(each, trips if role == "body" else 1, role == "calls")
                    for each in re.findall(r"[\w.\-]+", called)
                ]
            instruction = _instruction(line) if opcodes.search(line) else None
            if instruction and opcodes.search(f" {instruction.opcode}("):
                computation.instructions.append(instruction)
    return Program(entry.removeprefix("ENTRY "), computations, unknown)


def _bodies(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = None, []
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            name, lines = (found.group(1) or "") + found.group(2), []
        elif line == "}" and name is not None:
            yield name, lines
            name = None
        elif name is not None:
            lines.append(line)


def _trips(line: str, bodies: dict[str, list[str]]) -> int | None:
    """Returns the length of a loop: its known trip count, or the one constant of its condition.

    Loops of `scan` and `map` count from 0 by 1 up to that constant.
    """
    if found := _TRIPS.search(line):
        return int(found.group(1))
    condition = _CONDITION.search(line)
    lines = bodies.get(condition.group(1), []) if condition else []
    limits = {int(n) for each in lines for n in _LIMIT.findall(each)}
    return limits.pop() if len(limits) == 1 else None


def _instruction(line: str) -> Instruction | None:
    found = _NAMED.match(line)
    if not found:
        return None
    name, right = found.groups()
    end = _closing(right) + 1 if right.startswith("(") else right.find(" ")
    shape, right = right[:end], right[end:].lstrip()
    opcode, _, rest = right.partition("(")
    return Instruction(name, _LAYOUT.sub("", shape), opcode, rest)


def _closing(text: str) -> int:
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return i
    return len(text) - 1
