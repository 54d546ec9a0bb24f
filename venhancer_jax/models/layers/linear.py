"""Dense layers, and the precision of matrix products."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike


def matmul_precision(dtype: DTypeLike) -> jax.lax.Precision | None:
    """Returns the precision to request for matrix products and convolutions of a type.

    By default a TPU multiplies float32 as bfloat16 and a GPU as TensorFloat-32. A layer that is
    configured as float32 needs all digits of its result.

    Args:
      dtype: type of activations and weights.

    Returns:
      `HIGHEST` for float32; None, the default of the backend, for 16-bit types.
    """
    return jax.lax.Precision.HIGHEST if jnp.dtype(dtype) == jnp.float32 else None


class Linear(nnx.Linear):
    """A dense layer whose float32 products are computed at the highest precision."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        use_bias: bool = True,
        kernel_init: nnx.Initializer | None = None,
        bias_init: nnx.Initializer | None = None,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Creates the layer.

        Args:
          channels_in: channels of the input.
          channels_out: channels of the result.
          use_bias: whether a bias is added.
          kernel_init: initialiser of the kernel; LeCun normal by default.
          bias_init: initialiser of the bias; zeros by default.
          dtype: type of activations and weights in the product.
          rngs: random-number streams of the initialisers.
        """
        initialisers: dict[str, Any] = {"kernel_init": kernel_init, "bias_init": bias_init}
        super().__init__(
            channels_in,
            channels_out,
            use_bias=use_bias,
            dtype=dtype,
            precision=matmul_precision(dtype),
            rngs=rngs,
            **{name: init for name, init in initialisers.items() if init is not None},
        )
