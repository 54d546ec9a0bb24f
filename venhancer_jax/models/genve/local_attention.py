"""Local-aware cross-attention (LCA) of a video to a sharp reference."""

import math

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx

from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.layers.attention import SCORE_BYTES, dense_attention
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.initializers import zeros
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.sharding.mesh import VIDEO_AXES, cache_bytes, constrain
from venhancer_jax.sharding.shard_map import shard_map_over

# The softplus of this is 1.
_START = math.log(math.e - 1)


class LocalAwareCrossAttention(nnx.Module):
    """Attention of each patch of a video to the patches of a reference, which prefers near ones.

    GenVE paper, section 3.4: two separate convolutions turn video and reference into patches;
    queries are of the video, keys and values of the reference; a local bias is added to the
    scores. The bias -softplus(lambda) dist^2 / d^2 has one lambda for each head.
    """

    def __init__(self, config: GenVEConfig, rngs: nnx.Rngs):
        width, dtype = config.width, config.dtype

        def patches() -> Linear:
            return Linear(config.latent_channels * config.patch**2, width, dtype=dtype, rngs=rngs)

        def norm() -> nnx.LayerNorm:
            return nnx.LayerNorm(
                width, epsilon=1e-5, use_fast_variance=False, dtype=dtype, rngs=rngs
            )

        def projection() -> Linear:
            return Linear(width, width, use_bias=False, dtype=dtype, rngs=rngs)

        self.video_patches, self.video_norm = patches(), norm()
        self.reference_patches, self.reference_norm = patches(), norm()
        self.query, self.key, self.value = projection(), projection(), projection()
        heads = width // config.head_dim
        self.locality = (
            nnx.Param(jnp.full(heads, _START, jnp.float32)) if config.fusion == "local" else None
        )
        # A transposed convolution, and the output projection of the attention.
        self.fold_patches = Linear(
            width, width * config.patch**2, kernel_init=zeros, dtype=dtype, rngs=rngs
        )
        self.heads, self.patch = heads, config.patch
        self.neighbours = config.neighbours
        self.radius = config.radius if config.fusion == "local" else None

    def __call__(
        self, video: jax.Array, reference: jax.Array, permutation: jax.Array | None = None
    ) -> jax.Array:
        """Computes texture-aligned features of the patches of a video.

        Args:
          video: noise-augmented latents `[B, F, h, w, C]`, `h` and `w` multiples of the patch.
          reference: latents `[B, F, h, w, C]` of the reference, warped to each frame.
          permutation: index `[B, F, N]` of the reference patch that each of the N patches of a
            frame attends to in place of its own (`shuffle.permute_in_windows`); None for its own.

        Returns:
          Features `[B, F, h / patch, w / patch, width]`.
        """
        patches = self.reference_norm(self.reference_patches(self._unfold(reference)))
        rows, columns = patches.shape[2:4]
        patches = rearrange(patches, "b f h w c -> b f (h w) c")
        if permutation is not None:
            patches = jnp.take_along_axis(patches, permutation[..., None], axis=2)
        queries = self.query(self.video_norm(self.video_patches(self._unfold(video))))
        query, key, value = (
            rearrange(x, "... (heads d) -> ... heads d", heads=self.heads)
            for x in (queries, self.key(patches), self.value(patches))
        )
        slots = jnp.stack(jnp.mgrid[:rows, :columns], -1).astype(jnp.float32)
        axes = ("batch", "frame", "row", None, None, None)
        keys = ("batch", "frame", None, None, None)
        # Slots are sharded like queries: each device biases its own rows.
        out = shard_map_over(
            self._attend,
            (query, key, value, slots, slots.reshape(-1, 2)),
            (axes, keys, keys, ("row", None, None), (None, None)),
            axes,
            params=self.strength(),
        )
        return rearrange(out, "b f h w heads d -> b f h w (heads d)")

    def fold(self, texture: jax.Array) -> jax.Array:
        """Computes features `[B, F, h, w, C]` of latents from those of patches."""
        folded = self.fold_patches(texture)
        p = self.patch
        out = rearrange(folded, "b f h w (p q c) -> b f (h p) (w q) c", p=p, q=p)
        return constrain(out, VIDEO_AXES)

    def strength(self) -> jax.Array:
        """Returns the factor `[heads]` of the squared distance in patches; 0 without locality."""
        if self.locality is None:
            return jnp.zeros(self.heads)
        strength = jax.nn.softplus(self.locality[...].astype(jnp.float32))
        return strength / self.neighbours**2

    def _unfold(self, x: jax.Array) -> jax.Array:
        """Gathers latents `[B, F, h, w, C]` to patches."""
        p = self.patch
        x = constrain(x, VIDEO_AXES)
        return rearrange(x, "b f (h p) (w q) c -> b f h w (p q c)", p=p, q=p)

    def _attend(
        self,
        strength: jax.Array,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        query_slots: jax.Array,
        key_slots: jax.Array,
    ) -> jax.Array:
        """Attends in `[B, F, h, w, heads, d]` on one device, with bounded scores in memory."""
        batch, columns, heads = query.shape[0], query.shape[3], self.heads
        # Queries whose scores fit into the memory: those of some frames, or some of one frame.
        most = (cache_bytes() or SCORE_BYTES) // (4 * heads * key.shape[2])

        def attend_frames(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            k, v = (rearrange(x, "f m heads d -> (f heads) m d") for x in (k, v))

            def attend(q: jax.Array, slots: jax.Array) -> jax.Array:
                bias = local_bias(slots, key_slots, strength, self.radius)
                out = dense_attention(rearrange(q, "n f h d -> (f h) n d"), k, v, bias=bias)
                return rearrange(out, "(f h) n d -> n f h d", h=heads)

            slots = query_slots.reshape(-1, 2)
            return map_chunks(attend, (q.swapaxes(0, 1), slots), most).swapaxes(0, 1)

        query = rearrange(query, "b f h w heads d -> (b f) (h w) heads d")
        key, value = (rearrange(x, "b f m heads d -> (b f) m heads d") for x in (key, value))
        out = map_chunks(attend_frames, (query, key, value), most // query.shape[1])
        return rearrange(out, "(b f) (h w) heads d -> b f h w heads d", b=batch, w=columns)


def local_bias(
    query_slots: jax.Array, key_slots: jax.Array, strength: jax.Array, radius: float | None
) -> jax.Array:
    """Computes what is added to the scores: the more negative, the farther a patch.

    Args:
      query_slots: rows and columns `[N, 2]` of the queries, in patches.
      key_slots: rows and columns `[M, 2]` of the keys, in patches.
      strength: factor `[heads]` of the squared distance.
      radius: distance beyond which the bias is minus infinity; None for no limit.

    Returns:
      Bias `[heads, N, M]` float32.
    """
    squared = jnp.square(query_slots[:, None] - key_slots[None]).sum(-1)
    bias = -strength[:, None, None] * squared
    return bias if radius is None else jnp.where(squared > radius**2, -jnp.inf, bias)
