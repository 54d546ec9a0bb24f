"""How exactly matrix products and convolutions are computed."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def matmul_precision(dtype: DTypeLike) -> jax.lax.Precision | None:
    """Returns the precision to request for products of a type.

    By default a TPU multiplies float32 as bfloat16 and a GPU as TensorFloat-32. A layer that is
    configured as float32 is so because its result needs the digits.

    Args:
      dtype: type of activations and weights.

    Returns:
      `HIGHEST` for float32; None, the backend's default, for 16-bit types.
    """
    return jax.lax.Precision.HIGHEST if jnp.dtype(dtype) == jnp.float32 else None
