import jax
import jax.numpy as jnp

from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines import catalog


def test_the_same_features_whatever_the_tokens():
    network = catalog.build("no_text", NullTextConfig(width=5))
    tokens = jax.random.randint(jax.random.key(0), (3, 77), 0, 49408)

    features = network({}, tokens)

    assert network.shapes == {}
    assert features.shape == (3, 1, 5) and features.dtype == jnp.float32
    assert jnp.array_equal(features, network({}, jnp.zeros_like(tokens)))
