"""The recorder, replayed by the parity tool."""

from pathlib import Path

import pytest
import torch

from venhancer_jax.convert.parity.__main__ import main
from venhancer_jax.convert.parity.recording import find
from venhancer_jax.convert.record import record_blocks, record_network


class GEGLU(torch.nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.proj = torch.nn.Linear(width, 8 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * torch.nn.functional.gelu(gate)


class FeedForward(torch.nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.net = torch.nn.ModuleList(
            [GEGLU(width), torch.nn.Dropout(0.0), torch.nn.Linear(4 * width, width)]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(FeedForward(16), torch.nn.Identity())

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return scale * self.inner(x)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model().eval()


def test_a_recorded_block_is_met(model: Model, tmp_path: Path):
    with record_blocks(model, {"inner.0": "geglu_ff"}, tmp_path):
        model(torch.randn(2, 5, 16))

    assert main([str(tmp_path)]) == 0


def test_only_the_first_call_is_recorded(model: Model, tmp_path: Path):
    first = torch.randn(2, 5, 16)

    with record_blocks(model, {"inner.0": "geglu_ff"}, tmp_path):
        model(first)
        model(torch.randn(2, 5, 16))
    model(torch.randn(2, 5, 16))

    (recording,) = find([str(tmp_path)])
    assert (recording.tensors["in0"] == first.numpy()).all()


def test_a_block_that_differs_is_told(model: Model, tmp_path: Path):
    def halve(module: torch.nn.Module, arguments: tuple, out: torch.Tensor) -> torch.Tensor:
        return out * 0.5

    model.inner[0].register_forward_hook(halve)
    with record_blocks(model, {"inner.0": "geglu_ff"}, tmp_path):
        model(torch.randn(2, 5, 16))

    assert main([str(tmp_path)]) == 1


def test_a_module_that_is_not_called_is_named(model: Model, tmp_path: Path):
    with (
        pytest.raises(RuntimeError, match=r"inner\.0"),
        record_blocks(model, {"inner.0": "geglu_ff"}, tmp_path),
    ):
        pass


class FunctionalModule(torch.nn.Module):
    def forward(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        y: torch.Tensor,
        hint: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return x


def test_a_network_is_recorded_by_the_names_of_its_arguments(tmp_path: Path):
    path = tmp_path / "run.safetensors"
    kwargs = {"in_dim": 4, "dim": 32}
    x, t, y = torch.randn(1, 4, 2, 10, 8), torch.tensor([9]), torch.randn(1, 77, 64)

    network = FunctionalModule()
    with record_network(network, path, kwargs):
        network(x, t, y, hint=x[:, :, :1])

    (recording,) = find([str(path)])
    assert set(recording.tensors) == {"x", "t", "y", "hint", "out"}
    assert recording.info["kwargs"] == kwargs


def test_a_network_recording_asks_for_its_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path, network = tmp_path / "run.safetensors", FunctionalModule()
    kwargs = {
        "in_dim": 4,
        "dim": 32,
        "dim_mult": [1],
        "num_res_blocks": 1,
        "context_dim": 64,
        "head_dim": 8,
        "num_heads": 2,
    }
    with record_network(network, path, kwargs):
        network(torch.randn(1, 4, 2, 10, 8), torch.tensor([9]), torch.randn(1, 77, 64))

    assert main([str(path)]) == 1
    assert "--checkpoint" in capsys.readouterr().out
