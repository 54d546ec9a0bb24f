"""Replays of integer tables: windows, masks, sizes, tokens; and the operation count."""

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.parity.case import Case, compare, equal, equal_tables
from venhancer_jax.convert.parity.recording import Recording
from venhancer_jax.convert.parity.venhancer import releases
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.pieces import sliding_windows
from venhancer_jax.pipelines.venhancer import official
from venhancer_jax.pipelines.venhancer.prompts import NEGATIVE, POSITIVE
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.text.tokenizer import tokenize


def replay_windows(recording: Recording) -> list[Case]:
    """Replays windows over time and over tiles."""
    functions = {
        "R3_make_chunks": lambda key: official.time_windows(*_numbers(key, "f", "_i")),
        "R3_sliding_windows_1d": lambda key: sliding_windows(*map(int, key.split("_"))),
        "R2_make_chunks": lambda key: releases.time_windows_second_release(
            *_numbers(key, "f", "_i")
        ),
        "STAR_make_chunks": lambda key: releases.time_windows_star(*_numbers(key, "f", "_max")),
    }
    return _tables(recording, functions)


def replay_sizes(recording: Recording) -> list[Case]:
    """Replays interpolated frames, key-frame masks, padding, target sizes."""

    def interpolation(key: str) -> dict[str, float]:
        rate, target = (float(part) for part in key.removeprefix("in").split("_target"))
        interpolation = official.interpolated_frames(rate, target)
        return {
            "R1_interp": max(round(target / rate) - 1, 0),
            "R3_interp": interpolation,
            "R3_out_fps": releases.output_fps(rate, interpolation),
        }

    def size(key: str) -> tuple[int, int, float]:
        sides, scale = key.split("_s")
        height, width = map(int, sides.split("x"))
        return height, width, float(scale)

    functions = {
        "interp": interpolation,
        "mask": lambda key: official.key_index(*_numbers(key, "n", "_i")),
        "pad_to_fit": lambda key: official.padding(*_numbers(key, "", "x")),
        "adjust_resolution_R3": lambda key: official.target_size(*size(key)),
        "adjust_resolution_R2": lambda key: releases.target_size_second_release(*size(key)),
        "R1_upscale": lambda key: releases.up_scale_first_release(size(key)[0], size(key)[2]),
    }
    return _tables(recording, functions)


def replay_tokens(recording: Recording) -> list[Case]:
    """Replays tokens of texts, and the fixed prompts."""
    table, stem = recording.info["table"], recording.path.stem
    prompts = [table["positive_prompt"], table["negative_prompt"]]
    return [
        equal(f"{stem}/tokens", tokenize(table["texts"]), table["tokens"]),
        equal(f"{stem}/prompts", [prompts == [POSITIVE, NEGATIVE]], [True]),
    ]


def replay_flops(recording: Recording) -> list[Case]:
    """Replays the number of operations of the whole network.

    Ours is up to 1 % lower: text and time embeddings are projected once, not for every frame.
    """
    config = UNet3DConfig.venhancer()
    network = catalog.build("venhancer", config)
    cases = []
    for key, counted in recording.info["table"].items():
        frames, height, width = map(int, key.split("x"))
        x = jax.ShapeDtypeStruct((1, frames, height, width, 4), jnp.float32)
        one = jax.ShapeDtypeStruct((1,), jnp.int32)
        text = jax.ShapeDtypeStruct((1, 77, config.context_width), jnp.float32)
        index = jax.ShapeDtypeStruct((1, frames), jnp.int32)
        conditions = {"hint": x, "hint_t": one, "scale": one, "key_index": index}
        ours = count_flops(network, network.shapes, x, one, text, **conditions) / 1e12
        recorded = np.array(counted["total_TFLOP"])
        cases.append(compare(f"{recording.path.stem}/{key}", ours, recorded, 1e-2))
    return cases


def _tables(recording: Recording, functions: dict) -> list[Case]:
    return [
        equal_tables(
            f"{recording.path.stem}/{name}",
            {key: functions[name](key) for key in table},
            table,
        )
        for name, table in recording.info["table"].items()
    ]


def _numbers(key: str, first: str, second: str) -> tuple[int, int]:
    """Parses the two numbers of a key such as `f33_i0`."""
    a, b = key.removeprefix(first).split(second)
    return int(a), int(b)
