"""Differences between the published program and the default, as values."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compat:
    """Choices in which the published program has quirks.

    Attributes:
      published_sizes: output size, padding and scale condition follow the published tables, not
        the request.
      published_times: the output has every frame of the grid, windows and rate of the published
        tables.
      antialias: shrinking widens the kernel.
      pad_white: padding is white instead of a repeated edge.
      sample_posterior: latents are drawn from the posterior, each copy of a frame by itself,
        instead of being its mean.
      join_without_space: prompt and positive prompt are joined without a separator.
      zero_means_all_noise: `noise_aug=0` takes the last time step, which is pure noise.
      whole_times: sampler times are rounded to those that the network was trained at.
      scale_start: the process starts at `edm_sigma * x_t` instead of at `x_t` in EDM scaling.
      truncate_bytes: pixels are truncated to uint8 instead of rounded.
      equal_tiles: decoder tiles and chunks have one size each instead of a longer last one.
    """

    published_sizes: bool = False
    published_times: bool = False
    antialias: bool = True
    pad_white: bool = False
    sample_posterior: bool = False
    join_without_space: bool = False
    zero_means_all_noise: bool = False
    whole_times: bool = True
    scale_start: bool = False
    truncate_bytes: bool = False
    equal_tiles: bool = True


COMPATS = {
    "default": Compat(),
    "official": Compat(
        published_sizes=True,
        published_times=True,
        antialias=False,
        pad_white=True,
        sample_posterior=True,
        join_without_space=True,
        zero_means_all_noise=True,
        whole_times=False,
        scale_start=True,
        truncate_bytes=True,
        equal_tiles=False,
    ),
}
