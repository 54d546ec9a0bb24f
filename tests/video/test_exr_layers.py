"""Channels such as depth are read from EXR pictures, pass by the networks, and are stored again."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.video import probe, read_frames
from venhancer_jax.video.colour.layers import Passage
from venhancer_jax.video.colour.output_format import losses, output_format
from venhancer_jax.video.exr_layers import Layer, add_layers, find_layers, read_layers
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.segment_file import SegmentFile

HEIGHT, WIDTH = 37, 15
DEPTH, IDENTITY, NORMAL = (
    Layer(name="Z", dtype="float32"),
    Layer(name="id", dtype="uint32"),
    Layer(name="n.X", dtype="float16"),
)
LAYERS = (DEPTH, IDENTITY, NORMAL)


def samples() -> dict[Layer, np.ndarray]:
    values = np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32)
    values[5:20] = 0.25  # what RLE and ZIP shorten
    numbers = (values * 4e9).astype(np.uint32)
    return {
        DEPTH: values * 1000,
        IDENTITY: numbers.view(np.float32),
        NORMAL: values.astype(np.float16).astype(np.float32),
    }


def colours(folder: Path, options: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Returns a file without layers, as FFmpeg writes it."""
    encoding = Encoding(
        codec="exr", quality=1, width=WIDTH, height=HEIGHT, time_base=Fraction(1, 24),
        rate=Fraction(24), options=options,
    )  # fmt: skip
    with SegmentFile(folder, encoding) as segment:
        light = np.random.default_rng(1).random((HEIGHT, WIDTH, 3)).astype(np.float32)
        light[5:20] = 0.5
        segment.write(light, 0)
    return (folder / "000001.exr").read_bytes()


@pytest.mark.parametrize("compression", ["none", "rle", "zip1", "zip16"])
def test_layers_are_stored_beside_the_colours(tmp_path: Path, compression: str) -> None:
    plain = colours(tmp_path / "a", (("compression", compression), ("format", "float")))
    assert find_layers(plain) == ((), "") and read_layers(plain) == {}
    path = tmp_path / "with.exr"
    path.write_bytes(add_layers(plain, samples()))
    assert find_layers(path.read_bytes()) == (LAYERS, "")
    found = read_layers(path.read_bytes())
    assert set(found) == {"Z", "id", "n.X"}
    for layer, values in samples().items():
        assert np.array_equal(found[layer.name].view(np.uint32), values.view(np.uint32))
    (frame,), (bare,) = (
        list(read_frames(each, layers=True)) for each in (path, tmp_path / "a" / "000001.exr")
    )
    assert np.array_equal(frame[..., :3], bare) and frame.shape == (HEIGHT, WIDTH, 6)


def test_layers_are_placed_in_the_picture(tmp_path: Path) -> None:
    data = add_layers(colours(tmp_path / "a"), samples())
    shown = b"displayWindow\0box2i\0\x10\0\0\0"
    place = data.index(shown) + len(shown)
    window = struct.pack("<4i", -2, 3, WIDTH - 1, HEIGHT + 1)
    moved = read_layers(data[:place] + window + data[place + 16 :])["Z"]
    assert moved.shape == (HEIGHT - 1, WIDTH + 2)
    assert np.array_equal(moved[: HEIGHT - 3, 2:], samples()[DEPTH][3:])
    assert not moved[:, :2].any() and not moved[HEIGHT - 3 :].any()


@pytest.mark.parametrize("compression", [OpenEXR.PIZ_COMPRESSION, OpenEXR.DWAA_COMPRESSION])
def test_layers_of_other_programs_are_read(compression: OpenEXR.Compression) -> None:
    depth = np.full((HEIGHT, WIDTH), 7, np.float32)
    tiles = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}
    for kind in ({"type": OpenEXR.scanlineimage}, tiles):
        data = io.BytesIO()
        OpenEXR.File(kind | {"compression": compression}, {"Z": depth}).write(data)
        assert find_layers(data.getvalue()) == ((DEPTH,), "")
        np.testing.assert_allclose(read_layers(data.getvalue())["Z"], depth, rtol=1e-3)


def test_layers_that_cannot_be_read_are_named() -> None:
    depth = np.ones((HEIGHT, WIDTH), np.float32)
    parts, data = [OpenEXR.Part({}, {"Z": depth}, name=name) for name in ("a", "b")], io.BytesIO()
    OpenEXR.File(parts).write(data)
    assert find_layers(data.getvalue()) == ((), "Z, Z (several parts)")
    assert read_layers(data.getvalue()) == {}


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    data = add_layers(colours(tmp_path / "a"), samples())
    for size in range(0, len(data), 37):
        find_layers(data[:size])
        with pytest.raises(InputError):
            read_layers(data[:size])


def test_layers_of_pictures_pass_by_the_networks(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    plain = colours(tmp_path / "a")
    for index in range(3):
        depth = np.full((HEIGHT, WIDTH), 10.0 * index, np.float32)
        depth[:, 8:] += 5
        data = add_layers(plain, {DEPTH: depth}) if index != 1 else plain
        (folder / f"{index:03d}.exr").write_bytes(data)
    info = probe(folder)
    assert info.picture.layers == (DEPTH,)
    target = output_format(info.picture, codec="exr", width=2 * WIDTH, height=2 * HEIGHT)
    assert losses(info.picture, target, "exr") == []
    way = Passage(info.picture, target, size=(2 * HEIGHT, 2 * WIDTH))
    encoding = Encoding(
        codec="exr", quality=1, width=2 * WIDTH, height=2 * HEIGHT, time_base=Fraction(1, 48),
        rate=Fraction(48), picture=target,
    )  # fmt: skip
    seen = [
        way.enter(frame, Fraction(index, 24))
        for index, frame in enumerate(read_frames(info, layers=True, as_stored=True))
    ]
    assert [(frame.shape, frame.dtype) for frame in seen] == [((HEIGHT, WIDTH, 3), np.uint16)] * 3
    with SegmentFile(tmp_path / "out", encoding) as segment:
        for tick in range(6):
            large = seen[tick // 2].repeat(2, 0).repeat(2, 1)
            segment.write(way.leave(large, Fraction(tick, 48)), tick)
    for number, level in enumerate([0, 0, None, None, 20, 20], start=1):
        depth = read_layers((tmp_path / "out" / f"{number:06d}.exr").read_bytes())["Z"]
        expected = [0] if level is None else [level, level + 5]
        assert depth.shape == (2 * HEIGHT, 2 * WIDTH)
        assert np.unique(depth).tolist() == expected  # no depth between two others
        if level is not None:
            assert (depth[:, :16] == level).all()


def test_lost_layers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(add_layers(colours(tmp_path / "a"), samples()))
    source = probe(path).picture
    target = output_format(source, codec="h264", width=WIDTH, height=HEIGHT)
    assert "layers Z, id, n.X (exr keeps them)" in losses(source, target, "h264")
    (frame,) = read_frames(path)
    assert frame.shape == (HEIGHT, WIDTH, 3)
