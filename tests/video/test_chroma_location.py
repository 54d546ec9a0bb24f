"""Chroma samples are read from and written to the position that the tag of a picture says."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from benchmarks.media.inputs import make_video
from venhancer_jax.video import probe
from venhancer_jax.video.colour import chroma_location
from venhancer_jax.video.colour.chroma_location import tagged_chroma_location, with_chroma_location
from venhancer_jax.video.colour.encoded_picture import to_picture
from venhancer_jax.video.colour.output_format import output_format
from venhancer_jax.video.colour.picture_format import PictureFormat, source_format
from venhancer_jax.video.reading.picture import PictureConverter

WIDTH, HEIGHT = 64, 48
# Columns and rows of luma from the first of a block to its chroma sample.
OFFSETS = {"left": (0.0, 0.5), "center": (0.5, 0.5), "topleft": (0.0, 0.0), "bottom": (0.5, 1.0)}


def _plane(frame: VideoFrame, index: int) -> np.ndarray:
    plane, wide = frame.planes[index], max(part.bits for part in frame.format.components) > 8
    dtype = np.dtype(np.uint16 if wide else np.uint8)
    rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return rows[: plane.height, : plane.width].astype(np.float64)


def _sloping(columns: float, rows: float) -> VideoFrame:
    """Returns full-range grey whose red difference rises, with samples at an offset."""
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    y, x = np.indices((HEIGHT // 2, WIDTH // 2))
    planes = (128, 128, np.rint(60 + 1.2 * (2 * x + columns) + 0.8 * (2 * y + rows)))
    for plane, values in zip(frame.planes, planes, strict=True):
        samples = np.zeros((plane.height, plane.line_size), np.uint8)
        samples[:, : plane.width] = values
        plane.update(samples.tobytes())
    frame.color_range = ColorRange.JPEG
    return frame


@pytest.mark.parametrize("location", OFFSETS)
@pytest.mark.parametrize("bits", [8, 10])
def test_written_samples_are_where_the_tag_says(location: str, bits: int) -> None:
    y, x = np.indices((HEIGHT, WIDTH))
    image = np.stack([np.rint(1.7 * x + 0.9 * y), 100 - 0 * x, 90 - 0 * x], -1).astype(np.uint8)
    target = PictureFormat(
        pixel_format="yuv420p" if bits == 8 else "yuv420p10le",
        chroma_location=location,
    )
    red = _plane(to_picture(VideoReformatter(), image, target), 2)
    # The red difference of the picture, H.273 equation 40, where the samples should be.
    columns, rows = OFFSETS[location]
    y, x = np.indices(red.shape)
    level = 1.7 * (2 * x + columns) + 0.9 * (2 * y + rows)
    luma = 0.2126 * level + 0.7152 * 100 + 0.0722 * 90
    expected = ((level - luma) / 1.5748 / 255 * 224 + 128) * 2 ** (bits - 8)
    error = (red - expected)[4:-4, 4:-4] / 2 ** (bits - 8)
    assert abs(error.mean()) < 0.1  # half a column is 0.4
    assert np.abs(error).max() < 1.2


@pytest.mark.parametrize(("tag", "location"), [(name, name) for name in OFFSETS] + [("", "center")])
def test_read_samples_are_where_the_tag_says(tag: str, location: str) -> None:
    frame = _sloping(*OFFSETS[location])
    if tag:
        frame = with_chroma_location(frame, tag)
        frame.color_range = ColorRange.JPEG
    assert tagged_chroma_location(frame) == tag
    assert source_format(frame).chroma_location == location
    image = PictureConverter(frame, Fraction(1)).convert(frame).astype(np.float64)
    y, x = np.indices((HEIGHT, WIDTH))
    expected = 128 + 1.402 * (60 + 1.2 * x + 0.8 * y - 128)
    inside = (slice(8, -8), slice(8, -8))
    seen = expected[inside][(expected[inside] > 0) & (expected[inside] < 255)]
    found = image[..., 0][inside][(expected[inside] > 0) & (expected[inside] < 255)]
    assert np.mean(found - seen) == pytest.approx(0, abs=0.25)


def test_untagged_limited_range_is_left() -> None:
    frame = _sloping(*OFFSETS["left"])
    frame.color_range = ColorRange.MPEG
    assert source_format(frame).chroma_location == "left"
    grey = PictureConverter(frame, Fraction(1)).convert(frame)
    tagged = with_chroma_location(frame, "left")
    np.testing.assert_array_equal(grey, PictureConverter(tagged, Fraction(1)).convert(tagged))


@pytest.mark.parametrize(
    ("source", "codec", "pixel_format", "expected"),
    [
        (PictureFormat(chroma_location="topleft"), "h265", "auto", "topleft"),
        (PictureFormat(chroma_location="center"), "h264", "auto", "center"),
        (PictureFormat(chroma_location="center"), "av1", "auto", "left"),
        (PictureFormat(chroma_location="center"), "ffv1", "auto", "left"),
        (PictureFormat(chroma_location="left", full_range=True), "ffv1", "auto", "center"),
        (PictureFormat(pixel_format="rgb24", full_range=True), "h264", "yuv420p", "left"),
    ],
)
def test_outputs_keep_what_their_codec_stores(
    source: PictureFormat, codec: str, pixel_format: str, expected: str
) -> None:
    target = output_format(source, codec=codec, width=64, height=48, pixel_format=pixel_format)
    assert target.chroma_location == expected


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's list of threads")
def test_no_decoder_works_ahead_while_the_log_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its threads would wait for this one to log, and this one for them when the decoder ends."""
    make_video(tmp_path / "a.mp4", np.zeros((30, 64, 64, 3), np.uint8))
    original, threads = chroma_location._filtered, []

    def filtered(frame: VideoFrame, name: str, arguments: str) -> VideoFrame:
        if name == "showinfo":
            tasks = Path("/proc/self/task").glob("*/comm")
            threads.append([task.read_text() for task in tasks if "av:" in task.read_text()])
        return original(frame, name, arguments)

    monkeypatch.setattr(chroma_location, "_filtered", filtered)
    probe(tmp_path / "a.mp4")
    assert threads and not any(threads)
