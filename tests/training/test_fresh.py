"""Fresh parameters: made in place, and the same as the layers would make."""

import jax
import numpy as np
from training.toy import SOURCE

from venhancer_jax.models import catalog
from venhancer_jax.models.clip_text import ClipTextConfig
from venhancer_jax.models.functional import Network
from venhancer_jax.sharding.params import fsdp_sharding, training_mesh
from venhancer_jax.training import fresh

TEXT = catalog.build("text", ClipTextConfig.tiny().only_used())


def _fresh(network: Network, seed: int) -> dict[str, jax.Array]:
    shardings = fsdp_sharding(training_mesh({"data": -1}), network.shapes)
    params = fresh.fresh_params(network, jax.random.key(seed), shardings)
    for name, x in params.items():
        assert x.sharding == shardings[name]
    return params


def test_each_parameter_is_what_its_layer_makes():
    params, wanted = _fresh(TEXT, 3), TEXT.init(jax.random.key(3))

    assert list(params) == list(wanted)
    for name, x in wanted.items():
        np.testing.assert_allclose(params[name], x, rtol=1e-6, atol=1e-7, err_msg=name)


def test_layers_that_start_at_zero_do():
    params = _fresh(SOURCE.network, 0)

    assert not np.any(params["middle.kernel"])
    assert np.any(params["first.kernel"]) and np.any(params["last.kernel"])


def test_equal_layers_share_a_program_and_differ_in_their_numbers(monkeypatch):
    made = []
    maker = fresh._maker
    monkeypatch.setattr(fresh, "_maker", lambda *args: made.append(args) or maker(*args))
    params = _fresh(TEXT, 0)

    assert len(made) < len(params)
    kernels = [x for n, x in params.items() if n.startswith("blocks.") and x.ndim > 1]
    texts = {np.asarray(x).tobytes() for x in kernels}
    assert len(texts) == len(kernels) > 1
