"""Descriptions of the programs of a system for a plan: shapes and shardings of their calls."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from venhancer_jax.diffusion.solvers import HeunSteps, LinearSteps, solve
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.system import LoadedNetwork, ProgramSpec
from venhancer_jax.sharding.mesh import partition_spec, replicated
from venhancer_jax.sharding.params import shard_bytes

TOKENS = 77


class SpecBuilder:
    """Builds the specs of the programs of one run on a mesh."""

    def __init__(self, mesh: Mesh, networks: Sequence[LoadedNetwork], held_bytes: int):
        """Counts what stays in memory.

        Args:
          mesh: devices.
          networks: networks that stay in memory during the run.
          held_bytes: bytes on each device of arrays that are held while a clip is denoised.
        """
        self._mesh, self._networks, self._held = mesh, networks, held_bytes
        self._everywhere = replicated(mesh)
        with jax.set_mesh(mesh):
            self._by_piece = NamedSharding(mesh, partition_spec(programs.PIECES[:1]))

    def array(self, *shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        """Describes an array that every device has whole."""
        return jax.ShapeDtypeStruct(shape, dtype, sharding=self._everywhere)

    def pieces(self, *shape: int) -> jax.ShapeDtypeStruct:
        """Describes an array `[n, ...]` whose pieces are on different devices."""
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=self._by_piece)

    def program(
        self,
        name: str,
        function: Any,
        network: LoadedNetwork,
        *inputs: Any,
        static: tuple[Any, ...] = (),
        resident_bytes: int = 0,
        **facts: Any,
    ) -> ProgramSpec:
        """Describes a program of one network.

        Args:
          name: stage of the run.
          function: function under `jax.jit` of the network, further static arguments, its
            parameters and inputs.
          network: network that the program runs.
          *inputs: shapes of the inputs.
          static: static arguments besides the network.
          resident_bytes: bytes on each device of arrays that are held during this program only.
          **facts: further fields of `ProgramSpec`.
        """
        others = [each for each in self._networks if each is not network]
        return ProgramSpec(
            name=name,
            function=function,
            static=(network.network, *static),
            arguments=(network.params, *inputs),
            mesh=self._mesh,
            resident_bytes=sum(shard_bytes(each.params) for each in others)
            + self._held
            + resident_bytes,
            **facts,
        )

    def text(self, encoder: LoadedNetwork, copies: int) -> ProgramSpec:
        """Describes the text encoder, which runs on `copies` texts."""
        tokens = self._tokens(copies)
        return self.program("text", programs.embed_text, encoder, tokens, shards=1)

    def text_kv(self, encoder: LoadedNetwork, denoiser: LoadedNetwork, copies: int) -> Any:
        """Describes the keys and values of `copies` texts in the denoiser."""
        tokens = self._tokens(copies)
        features = jax.eval_shape(lambda p, t: encoder.network(p, t), encoder.params, tokens)
        cache = jax.eval_shape(
            lambda p, t: programs.compute_text_kv(denoiser.network, p, t),
            denoiser.params,
            features,
        )
        return jax.tree.map(lambda x: self.array(*x.shape, dtype=x.dtype), cache)

    def _tokens(self, copies: int) -> jax.ShapeDtypeStruct:
        return self.array(copies, TOKENS, dtype=jnp.int32)


def split(mesh: Mapping[str, int], videos: int, frames: int) -> float:
    """Returns the devices' worth of work that a denoising step is split into.

    Args:
      mesh: devices along its axes.
      videos: guidance pair times windows.
      frames: frames of a window; frames that pad them count as work.
    """
    by_video = min(videos, mesh["data"] * mesh["fsdp"])
    return by_video * mesh["rows"] * frames / math.ceil(frames / mesh["context"])


def count_network_calls(steps: LinearSteps | HeunSteps) -> int:
    """Counts the network calls of a window by running the solver on a single number."""
    calls = 0

    def count(x: jax.Array, t: Any) -> jax.Array:
        nonlocal calls
        calls += 1
        return x

    solve(count, jnp.zeros((1,) * 5), steps, lambda stream, step, shape: jnp.zeros(shape))
    return calls
