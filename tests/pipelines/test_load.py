"""From weight folders to a system, and through the command line."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.tiny_system import CONFIGS

from venhancer_jax import weights
from venhancer_jax.assets import demo_clip
from venhancer_jax.cli import sample
from venhancer_jax.errors import InputError
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.networks import compute_dtype, load_network
from venhancer_jax.pipelines.venhancer.load import load_venhancer
from venhancer_jax.video import probe

# A conversion also stores the layers of the text encoder that inference does not run.
STORED = CONFIGS | {"text": ClipTextConfig.tiny()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns weight folders of the tiny system, as a conversion leaves them."""
    root = tmp_path_factory.mktemp("weights")
    generator = np.random.default_rng(0)
    for name, config in STORED.items():
        shapes = catalog.build(name, config).shapes
        items = (
            (n, 0.1 * generator.standard_normal(s.shape, dtype=np.float32))
            for n, s in shapes.items()
        )
        about = {"network": name, "config": catalog.config_to_dict(config)}
        weights.save_weights(root / name, items, about)
    return {name: root / name for name in STORED}


def test_sizes_come_from_the_folders(folders: dict[str, Path]):
    system = load_venhancer(*(folders[n] for n in ("venhancer", "vae", "text")), dtype="float32")

    assert system.denoiser.config == CONFIGS["venhancer"]
    assert system.vae.config == CONFIGS["vae"]
    assert system.text.config == CONFIGS["text"] != STORED["text"]
    encoder = system.text.load()
    assert set(encoder.params) == set(encoder.network.shapes)


def test_low_precision_spares_encoder_and_text(folders: dict[str, Path]):
    system = load_venhancer(*(folders[n] for n in ("venhancer", "vae", "text")), dtype="bfloat16")

    assert {x.dtype for x in system.denoiser.params.values()} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in system.text.load().params.values()} == {jnp.dtype("float32")}
    assert system.vae.params["encoder.conv_in.kernel"].dtype == jnp.float32
    assert system.vae.params["quant_conv.kernel"].dtype == jnp.float32
    assert system.vae.params["decoder.conv_in.kernel"].dtype == jnp.bfloat16


@pytest.mark.slow
def test_a_denoiser_of_integers(folders: dict[str, Path]):
    system = load_venhancer(
        *(folders[n] for n in ("venhancer", "vae", "text")), dtype="bfloat16", weights="int8"
    )

    types = {name: str(x.dtype) for name, x in system.denoiser.params.items()}
    # The last convolution is computed in float32.
    assert types.pop("unet.head.conv.kernel.array.scale") == "float32"
    assert set(types.values()) == {"int8", "bfloat16"}
    assert system.denoiser.params.keys() == system.denoiser.network.shapes.keys()
    assert "int8" not in {str(x.dtype) for x in system.vae.params.values()}


def test_unknown_weights(tmp_path: Path):
    with pytest.raises(InputError, match="weights 'int4': expected one of full, int8"):
        load_venhancer(tmp_path, tmp_path, None, weights="int4")


def test_the_weights_of_another_network_are_refused(folders: dict[str, Path]):
    with pytest.raises(InputError, match="'vae', expected 'venhancer'"):
        load_venhancer(folders["vae"], folders["vae"], folders["text"])


def test_sizes_of_no_network(tmp_path: Path):
    sizes = catalog.config_to_dict(CONFIGS["vae"]) | {"latent_channels": -1}
    weights.save_weights(
        tmp_path / "vae", [("a", np.zeros(1))], {"network": "vae", "config": sizes}
    )
    with pytest.raises(InputError, match=r"vae: no vae network has the sizes in weights\.json"):
        load_network("vae", tmp_path / "vae", None)


def test_no_weights(tmp_path: Path, folders: dict[str, Path]):
    with pytest.raises(InputError, match="holds no converted weights"):
        load_venhancer(tmp_path, folders["vae"], folders["text"])


def test_precision_by_name():
    assert compute_dtype("auto") == jnp.float32
    with pytest.raises(InputError, match="float64"):
        compute_dtype("float64")


@pytest.mark.slow
def test_command_line_with_weight_folders(folders: dict[str, Path], tmp_path: Path):
    out = tmp_path / "out.mp4"
    settings = {
        "checkpoint": folders["venhancer"],
        "vae_checkpoint": folders["vae"],
        "text_checkpoint": folders["text"],
        "input": demo_clip(),
        "output": out,
        "target_size": "24,32",
        "max_frames": 3,
        "guidance_scale": 3,
        "solver_mode": "normal",
        "steps": 2,
    }

    code = sample.main(["--config=venhancer", *(f"--config.{k}={v}" for k, v in settings.items())])

    info = probe(out)
    assert code == 0
    assert (info.width, info.height, info.frames, info.rate) == (32, 24, 3, 15)
    assert info.audio_codec == "aac"
