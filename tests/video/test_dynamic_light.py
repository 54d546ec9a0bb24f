"""Metadata of light per picture is named before it is lost, and what depends on it is refused."""

from pathlib import Path

import pytest

from benchmarks.media.dynamic_light import (
    DOLBY_VISION,
    SUPPLEMENT,
    dolby_vision,
    hdr10_plus,
    with_units,
)
from benchmarks.media.inputs import level_frames, make_video
from venhancer_jax.errors import InputError
from venhancer_jax.video import probe
from venhancer_jax.video.colour.output_format import losses, output_format
from venhancer_jax.video.colour.picture_format import PQ, PictureFormat


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    params = "log-level=none:bframes=0:transfer=16:colorprim=9:colormatrix=9"
    return make_video(
        tmp_path_factory.mktemp("light") / "plain.mkv",
        level_frames(2),
        codec="libx265",
        pixel_format="yuv420p10le",
        options={"x265-params": params},
    )


@pytest.mark.parametrize(
    ("kind", "payload", "names", "needed"),
    [
        (SUPPLEMENT, hdr10_plus(), ("HDR10+",), False),
        (DOLBY_VISION, dolby_vision(8), ("Dolby Vision",), False),
        (DOLBY_VISION, dolby_vision(5), ("Dolby Vision",), True),
        (DOLBY_VISION, dolby_vision(8, full_range=True), ("Dolby Vision",), False),
        (DOLBY_VISION, dolby_vision(5, full_range=False), ("Dolby Vision",), False),
    ],
)
def test_metadata_is_found(
    plain: Path, tmp_path: Path, kind: int, payload: bytes, names: tuple, needed: bool
) -> None:
    assert probe(plain).picture.dynamic_light == ()
    info = probe(with_units(plain, tmp_path / "a.mkv", kind=kind, payload=payload))
    assert (info.frames, info.picture.transfer) == (2, PQ)
    assert (info.picture.dynamic_light, info.picture.needs_dolby_vision) == (names, needed)


def test_loss_is_named() -> None:
    source = PictureFormat(
        pixel_format="yuv420p10le", transfer=PQ, dynamic_light=("Dolby Vision", "HDR10+")
    )
    target = output_format(source, codec="h265", width=64, height=48)
    assert target.is_hdr
    assert losses(source, target, "h265") == [
        "Dolby Vision and HDR10+ metadata, which no encoder here writes (the pictures and their"
        " static metadata are those of HDR10)"
    ]


@pytest.mark.parametrize("hdr", ["keep", "sdr"])
def test_colours_that_need_dolby_vision_are_refused(hdr: str) -> None:
    source = PictureFormat(pixel_format="yuv420p10le", transfer=PQ, needs_dolby_vision=True)
    with pytest.raises(InputError, match=r"of profile 5.*Convert it to HDR10"):
        output_format(source, codec="h265", width=64, height=48, hdr=hdr)
