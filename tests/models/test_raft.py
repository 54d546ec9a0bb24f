"""RAFT against PyTorch's operations, in the order of the paper's figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.upscale_a_video.recipe import weight
from venhancer_jax.convert.rules import to_torch
from venhancer_jax.models.raft import raft
from venhancer_jax.models.raft.correlation import correlate, feature_pyramid, look_up
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.pipelines import catalog

torch = pytest.importorskip("torch")
F = torch.nn.functional

CONFIG = RaftConfig.tiny()
NETWORK = catalog.build("raft", CONFIG)
ENTRIES = layout_entries("raft", CONFIG, "plain")
rng = np.random.default_rng(0)
FRAMES = np.tanh(rng.standard_normal((2, 1, 32, 48, 3), np.float32))


@pytest.fixture(scope="module")
def params() -> dict[str, jax.Array]:
    return recipe.params(ENTRIES, weight=weight)


@pytest.fixture(scope="module")
def state(params: dict[str, jax.Array]) -> dict:
    return {name: torch.tensor(np.array(x)) for name, x in to_torch(ENTRIES, params).items()}


@pytest.fixture(scope="module")
def flow(params: dict[str, jax.Array]) -> np.ndarray:
    return np.asarray(jax.jit(NETWORK.__call__, static_argnums=3)(params, *FRAMES, 3))


def conv(state: dict, x, name: str, stride: int = 1):
    kernel = state[f"{name}.weight"]
    padding = [length // 2 for length in kernel.shape[2:]]
    return F.conv2d(x, kernel, state[f"{name}.bias"], stride, padding)


def encoder(state: dict, x, name: str):
    def norm(x, key: str):
        if name == "fnet":
            return F.instance_norm(x)
        key = f"{name}.{key}"
        statistics = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        return F.batch_norm(x, *statistics, state[f"{key}.weight"], state[f"{key}.bias"])

    x = norm(conv(state, x, f"{name}.conv1", 2), "norm1").relu()
    for stage in (1, 2, 3):
        for block in (0, 1):
            key, stride = f"layer{stage}.{block}", 2 if stage > 1 and not block else 1
            y = norm(conv(state, x, f"{name}.{key}.conv1", stride), f"{key}.norm1").relu()
            y = norm(conv(state, y, f"{name}.{key}.conv2"), f"{key}.norm2").relu()
            if stride == 2:
                x = conv(state, x, f"{name}.{key}.downsample.0", 2)
                x = norm(x, f"{key}.downsample.1")
            x = (x + y).relu()
    return conv(state, x, f"{name}.conv2")


def sample(features, flow):
    """Looks up `[1, levels * 9, h, w]` by `grid_sample`; the x offset is the slow index."""
    first, second = features
    _, channels, height, width = first.shape
    volume = torch.einsum("cp,cq->pq", first[0].flatten(1), second[0].flatten(1)) / channels**0.5
    volume = volume.reshape(-1, 1, height, width)
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"))
    at = (grid + flow[0]).reshape(2, -1).T
    found = []
    for level in range(CONFIG.levels):
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                here = (at / 2**level + torch.tensor([i, j])).reshape(-1, 1, 1, 2)
                size = torch.tensor([volume.shape[3] - 1, volume.shape[2] - 1])
                values = F.grid_sample(volume, 2 * here / size - 1, align_corners=True)
                found.append(values.reshape(height, width))
        volume = F.avg_pool2d(volume, 2)
    return torch.stack(found)[None]


def reference(state: dict, first, second, iterations: int) -> np.ndarray:
    state = {name.removeprefix("update_block."): x for name, x in state.items()}
    first, second = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in (first, second))
    features = encoder(state, first, "fnet"), encoder(state, second, "fnet")
    hidden, inputs = encoder(state, first, "cnet").chunk(2, dim=1)
    hidden, inputs = hidden.tanh(), inputs.relu()
    height, width = hidden.shape[2:]
    flow = torch.zeros(1, 2, height, width)
    for _ in range(iterations):
        x = conv(state, sample(features, flow), "encoder.convc1").relu()
        x = conv(state, x, "encoder.convc2").relu()
        y = conv(state, conv(state, flow, "encoder.convf1").relu(), "encoder.convf2").relu()
        motion = conv(state, torch.cat([x, y], 1), "encoder.conv").relu()
        x = torch.cat([inputs, motion, flow], 1)
        for i in (1, 2):
            z = conv(state, torch.cat([hidden, x], 1), f"gru.convz{i}").sigmoid()
            r = conv(state, torch.cat([hidden, x], 1), f"gru.convr{i}").sigmoid()
            q = conv(state, torch.cat([r * hidden, x], 1), f"gru.convq{i}").tanh()
            hidden = (1 - z) * hidden + z * q
        flow = flow + conv(state, conv(state, hidden, "flow_head.conv1").relu(), "flow_head.conv2")
    mask = 0.25 * conv(state, conv(state, hidden, "mask.0").relu(), "mask.2")
    mask = mask.reshape(1, 1, 9, 8, 8, height, width).softmax(2)
    neighbours = F.unfold(8 * flow, 3, padding=1).reshape(1, 2, 9, 1, 1, height, width)
    fine = (mask * neighbours).sum(2).permute(0, 4, 2, 5, 3, 1)
    return fine.reshape(1, 8 * height, 8 * width, 2).numpy()


def test_flow_is_that_of_pytorch(flow: np.ndarray, state: dict):
    expected = reference(state, *FRAMES, iterations=3)
    assert np.abs(expected).mean() > 0.1
    np.testing.assert_allclose(flow, expected, rtol=1e-4, atol=1e-4)


def test_correlations_that_are_not_stored_give_the_same_flow(
    params: dict[str, jax.Array], flow: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    # Of 24 queries, 7 at a time.
    monkeypatch.setattr(raft, "_CORRELATION_BYTES", 4 * 30 * 7)
    found = jax.jit(lambda params, *frames: NETWORK(params, *frames, 3))(params, *FRAMES)
    np.testing.assert_allclose(found, flow, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3)])
def test_levels_of_one_pixel_are_sampled_like_others(size: tuple[int, int]):
    """At whole positions a lookup is the correlation there, and 0 outside, at every level."""
    features = rng.standard_normal((1, *size, 4), np.float32)
    queries = rng.standard_normal((1, 1, 4), np.float32)
    pyramid = feature_pyramid(jnp.asarray(features), 3)
    assert [x.shape[1:3] for x in pyramid[1:]] == [
        tuple(max(1, n // 2**level) for n in size) for level in (1, 2)
    ]
    found = look_up(correlate(queries, pyramid), jnp.zeros((1, 1, 2)), radius=1)
    for level, samples in enumerate(np.reshape(found, (3, 3, 3))):
        padded = np.pad(np.asarray(pyramid[level])[0], ((1, 1), (1, 1), (0, 0)))
        expected = (padded[:3, :3] @ queries[0, 0] / 2).T  # columns first
        np.testing.assert_allclose(samples, expected, atol=1e-5)


def test_small_frames_have_finite_flow(params: dict[str, jax.Array]):
    network = jax.jit(NETWORK.__call__, static_argnums=3)
    assert np.isfinite(network(params, *FRAMES[:, :, :8, :8], 1)).all()


def test_published_size():
    published = catalog.build("raft", RaftConfig()).shapes
    statistics = {n: x for n, x in published.items() if n.endswith((".mean", ".variance"))}
    assert sum(x.size for x in published.values()) == 5_257_536 + 2_880
    assert sum(x.size for x in statistics.values()) == 2_880
