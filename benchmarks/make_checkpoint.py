"""Makes a checkpoint of published layout and size with generated weights.

    python -m benchmarks.make_checkpoint --network=venhancer --layout=venhancer --file=v.pt

What it holds enhances nothing; it stands in for the real one where none can be downloaded.
"""

from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from venhancer_jax.convert.constants import write_constants
from venhancer_jax.convert.layouts import all_layouts, layout_constants, layout_entries
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.pipelines import catalog


def make_checkpoint(
    network: str,
    layout: str,
    path: Path,
    dtype: str = "float32",
    *,
    config: Any = None,
    wrapper: str = "",
) -> None:
    """Writes a checkpoint, a flat state dict, through PyTorch.

    Args:
      network: name of the network.
      layout: names and shapes of the tensors.
      path: file to write.
      dtype: type of the tensors.
      config: sizes; by default the published ones.
      wrapper: start of all names of tensors.
    """
    import torch

    config = config or catalog.config_class(network)()
    if config == VAEConfig():
        config = VAEConfig.svd() if layout == "svd" else VAEConfig.sd21()
    generator = np.random.default_rng(0)
    tensors = {}
    for entry in layout_entries(network, config, layout):
        draw = generator.standard_normal(entry.shape, dtype=np.float32)
        draw = draw * np.float32(0.02) + np.float32(entry.ours.endswith("scale"))
        tensors |= entry.write(np.asarray(draw.astype(dtype)))
    constants = layout_constants(network, config, layout)
    tensors |= write_constants(constants, dict.fromkeys(constants), np.dtype(dtype))
    content = {
        wrapper + name: torch.from_numpy(np.require(x, requirements=["C", "W"]))
        for name, x in tensors.items()
    }
    torch.save(content, path)


def size_arguments(network: str, config: catalog.Config) -> list[str]:
    """Returns the arguments of `python -m convert` for sizes other than the published ones."""
    published = catalog.config_to_dict(catalog.config_class(network)())
    sizes = catalog.config_to_dict(config).items()
    return [f"--size={name}={value!r}" for name, value in sizes if value != published[name]]


def main(argv: list[str]) -> None:
    del argv
    make_checkpoint(_NETWORK.value, _LAYOUT.value, Path(_FILE.value), _DTYPE.value)


if __name__ == "__main__":
    _NETWORK = flags.DEFINE_enum("network", "venhancer", sorted(all_layouts()), "what it holds")
    _LAYOUT = flags.DEFINE_string("layout", "venhancer", "names and shapes of its tensors")
    _FILE = flags.DEFINE_string("file", None, "to write", required=True)
    _DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "of its tensors")
    app.run(main)
