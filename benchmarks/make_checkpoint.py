"""Makes a checkpoint of published layout and size with generated weights.

    python -m benchmarks.make_checkpoint --network=venhancer --layout=venhancer --file=v.pt

What it holds enhances nothing; it stands in for the real one where none can be downloaded.
"""

from pathlib import Path

import numpy as np
from absl import app, flags

from venhancer_jax.convert.constants import write_constants
from venhancer_jax.convert.layouts import all_layouts, layout_constants, layout_entries
from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.pipelines import catalog


def make_checkpoint(network: str, layout: str, path: Path, dtype: str = "float32") -> None:
    """Writes the checkpoint, with a `state_dict` wrapper, through PyTorch."""
    import torch

    config = catalog.config_class(network)()
    if isinstance(config, VAEConfig):
        config = VAEConfig.svd() if layout == "svd" else VAEConfig.sd21()
    generator = np.random.default_rng(0)
    tensors = {}
    for entry in layout_entries(network, config, layout):
        for name in entry.theirs:
            draw = generator.standard_normal(entry.their_shape, dtype=np.float32)
            near_one = entry.ours.endswith("scale")
            draw = draw * np.float32(0.02) + np.float32(near_one)
            tensors[name] = torch.from_numpy(np.asarray(draw.astype(dtype)))
        tensors |= {name: tensors[entry.theirs[0]].clone() for name in entry.aliases}
    constants = layout_constants(network, config, layout)
    for name, value in write_constants(constants, None, np.dtype(dtype)).items():
        tensors[name] = torch.from_numpy(np.array(value))
    torch.save({"state_dict": tensors}, path)


def main(argv: list[str]) -> None:
    del argv
    make_checkpoint(_NETWORK.value, _LAYOUT.value, Path(_FILE.value), _DTYPE.value)


if __name__ == "__main__":
    _NETWORK = flags.DEFINE_enum("network", "venhancer", sorted(all_layouts()), "what it holds")
    _LAYOUT = flags.DEFINE_string("layout", "venhancer", "names and shapes of its tensors")
    _FILE = flags.DEFINE_string("file", None, "to write", required=True)
    _DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "of its tensors")
    app.run(main)
