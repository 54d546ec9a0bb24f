"""The format of an output is that of its input, or the nearest that the codec has."""

import functools

import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.output_format import caution, losses, output_format
from venhancer_jax.video.colour.picture_format import BT2020, HLG, PQ, PictureFormat
from venhancer_jax.video.writing.codec_options import parse_codec_options, split_codec_options


def chosen(source: str, codec: str, size: tuple[int, int] = (64, 48), **options: str) -> str:
    width, height = size
    return output_format(
        PictureFormat(pixel_format=source), codec=codec, width=width, height=height, **options
    ).pixel_format


@pytest.mark.parametrize(
    ("source", "codec", "expected"),
    [
        ("yuv420p", "h264", "yuv420p"),
        ("yuvj420p", "h264", "yuv420p"),
        ("nv12", "h265", "yuv420p"),
        ("gray", "h264", "yuv420p"),
        ("yuv411p", "h264", "yuv420p"),
        ("yuv422p", "h264", "yuv422p"),
        ("yuv420p12le", "h264", "yuv420p10le"),
        ("p010le", "h265", "yuv420p10le"),
        ("yuv422p12le", "h265", "yuv422p12le"),
        ("yuv444p10le", "av1", "yuv420p10le"),
        ("rgb24", "h264", "yuv444p"),
        ("rgb24", "h265", "gbrp"),
        ("rgb48be", "h265", "gbrp12le"),
        ("yuva420p", "h265", "yuv420p"),
        ("yuv420p", "prores", "yuv422p10le"),
        ("yuv444p", "prores", "yuv444p10le"),
        ("yuva420p", "prores", "yuva444p10le"),
        ("yuva420p", "ffv1", "yuva420p"),
        ("yuv422p10le", "ffv1", "yuv422p10le"),
        ("gbrap12le", "ffv1", "gbrap12le"),
        ("rgb24", "ffv1", "bgr0"),
        ("yuv420p", "png", "rgb24"),
        ("yuv420p10le", "png", "rgb48be"),
        ("rgba", "png", "rgba"),
        ("yuva444p10le", "png", "rgba64be"),
        ("yuv420p", "exr", "gbrpf32le"),
        ("yuva420p", "exr", "gbrapf32le"),
        ("gbrpf32le", "h265", "gbrp12le"),
    ],
)
def test_the_nearest_layout_is_chosen(source: str, codec: str, expected: str):
    assert chosen(source, codec) == expected


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (63, 47)])
def test_odd_sizes(size: tuple[int, int]):
    assert chosen("yuv420p", "h264", size) == "yuv444p"
    assert chosen("yuv422p10le", "h265", size) == "yuv444p10le"
    assert chosen("yuv420p", "av1", size) == "yuv420p"
    assert chosen("yuv420p", "prores", size) == "yuv444p10le"


def test_a_requested_layout():
    assert chosen("yuv444p10le", "h264", pixel_format="yuv420p") == "yuv420p"
    with pytest.raises(InputError, match=r"yuva444p: h264 cannot .* one of yuv420p, yuv422p"):
        chosen("yuv420p", "h264", pixel_format="yuva444p")


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "ffv1"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("tags", [(1, 1, 1), (5, 5, 6), (6, 6, 6), (9, 9, 14), (9, 9, HLG)])
def test_tags_are_copied(codec: str, full: bool, tags: tuple[int, int, int]):
    matrix, primaries, transfer = tags
    source = PictureFormat(
        pixel_format="yuv420p10le",
        matrix=matrix,
        primaries=primaries,
        transfer=transfer,
        full_range=full,
        chroma_location="center" if full else "left",
    )
    assert output_format(source, codec=codec, width=64, height=48) == source
    assert losses(source, source, codec) == []


def test_guesses_become_bt709():
    source = PictureFormat(matrix=6, primaries=6, transfer=6, tagged=False)
    assert output_format(source, codec="h264", width=64, height=48) == PictureFormat()


def test_rgb_becomes_yuv_and_back():
    rgb = PictureFormat(pixel_format="rgb24", matrix=0, full_range=True)
    yuv = output_format(rgb, codec="h264", width=64, height=48)
    assert (yuv.matrix, yuv.full_range, yuv.pixel_format) == (1, False, "yuv444p")
    back = output_format(yuv, codec="png", width=64, height=48)
    assert (back.matrix, back.full_range, back.pixel_format) == (0, True, "rgb24")


def test_high_dynamic_range_needs_ten_bits():
    source = PictureFormat(pixel_format="yuv420p10le", matrix=BT2020, primaries=BT2020, transfer=PQ)
    choose = functools.partial(output_format, source, width=64, height=48)
    for codec in ("h264", "h265", "av1", "prores", "ffv1", "png"):
        kept = choose(codec=codec)
        assert kept.bits >= 10 and kept.transfer == PQ
        mapped = choose(codec=codec, hdr="sdr")
        assert (mapped.primaries, mapped.transfer) == (1, 1)
        assert losses(source, mapped, codec) != []
    with pytest.raises(InputError, match=r"yuv420p: h264 of 8 bits .*codec=h265.*hdr=sdr"):
        choose(codec="h264", pixel_format="yuv420p")


def test_rgb_of_wide_primaries_gets_their_matrix():
    source = PictureFormat(pixel_format="rgb48be", matrix=0, primaries=BT2020, transfer=14)
    for codec in ("h264", "prores"):
        found = output_format(source, codec=codec, width=64, height=48)
        assert (found.matrix, found.primaries, found.transfer) == (BT2020, BT2020, 14)


def test_eight_bits_of_high_dynamic_range_become_ten():
    source = PictureFormat(matrix=BT2020, primaries=BT2020, transfer=HLG)
    assert output_format(source, codec="h264", width=64, height=48).pixel_format == "yuv420p10le"


def test_formats_that_players_lack_are_named():
    deep = PictureFormat(pixel_format="yuv420p10le")
    assert "h264 of 10 bits and 4:2:0" in caution(deep, "h264")
    assert "8 bits and 4:4:4" in caution(PictureFormat(pixel_format="yuv444p"), "h264")
    assert caution(PictureFormat(), "h264") == caution(deep, "h265") == ""


def test_losses_are_named():
    source = PictureFormat(pixel_format="yuva444p12le")
    target = output_format(source, codec="av1", width=64, height=48)
    assert losses(source, target, "av1") == [
        "12 bits to 10",
        "4:4:4 to 4:2:0",
        "transparency, which is laid over black (prores, ffv1, png and exr keep it)",
    ]


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ("", ()),
        ("crf=20:preset=slow", (("crf", "20"), ("preset", "slow"))),
        (r"x265-params=aq-mode=3\:psy-rd=1", (("x265-params", "aq-mode=3:psy-rd=1"),)),
        ({"crf": 20, "x265-params": "a=1:b=2"}, (("crf", "20"), ("x265-params", "a=1:b=2"))),
    ],
)
def test_options_of_encoders(value: str | dict, pairs: tuple):
    assert split_codec_options(parse_codec_options(value)) == pairs


@pytest.mark.parametrize("value", ["crf", "=3", "crf=", "crf=3:", 20])
def test_wrong_options_of_encoders(value: object):
    with pytest.raises(InputError, match="crf=20:preset=slow"):
        parse_codec_options(value)  # type: ignore[arg-type]
