"""The format of an output's pictures: that of the source, as far as the codec can hold it."""

from av import VideoFormat

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.chroma_location import guessed_chroma_location
from venhancer_jax.video.colour.picture_format import (
    BT709,
    BT2020,
    LINEAR,
    RGB_MATRIX,
    SRGB,
    PictureFormat,
    format_bits,
    format_chroma,
    is_float,
)
from venhancer_jax.video.writing.encoders import ENCODERS, supported_formats
from venhancer_jax.video.writing.image_folder import IMAGES

AUTO = "auto"
HDR_MODES = ("keep", "sdr")
_FINENESS = {"grey": 0, "410": 0, "411": 0, "420": 0, "440": 1, "422": 1, "444": 2, "rgb": 2}
_DISPLAY_CODECS = ("h264", "h265", "av1")


def output_format(
    source: PictureFormat,
    *,
    codec: str,
    width: int,
    height: int,
    pixel_format: str = AUTO,
    hdr: str = "keep",
) -> PictureFormat:
    """Chooses the format of an output.

    Depth, subsampling of chroma, RGB, alpha, range and colour tags stay where the codec can hold
    them; else the nearest format that it has is taken. A source without tags becomes BT.709.

    Args:
      source: format of the source.
      codec: codec of the output: one of `encoders.ENCODERS`, `png` or `exr`.
      width: columns of the output.
      height: rows of the output.
      pixel_format: FFmpeg's name of the layout, or `auto`.
      hdr: `keep`, or `sdr` for PQ and HLG that become BT.709.

    Raises:
      InputError: an unknown layout, one that the codec lacks, one that cannot hold PQ or HLG, or a
        source whose colours only a Dolby Vision decoder knows.
    """
    if source.needs_dolby_vision:
        raise InputError(
            "Dolby Vision of profile 5, whose colours only a Dolby Vision decoder can show; they"
            " would come out green and violet. Convert it to HDR10 first, for instance with"
            " FFmpeg's filter libplacebo."
        )
    keeps_light = source.is_hdr and hdr == "keep"
    offered = _offered(codec, width, height)
    name = _chosen(pixel_format, offered, codec) if pixel_format != AUTO else ""
    if not name:
        wanted = max(10, source.bits) if keeps_light else min(source.bits, 16)
        name = min(offered, key=lambda each: _distance(source, each, wanted))
    if is_float(name):
        # Linear light knows no range and no curve; HDR is above 1.
        primaries = BT709 if source.is_hdr and hdr == "sdr" else source.primaries
        return PictureFormat(
            pixel_format=name,
            matrix=RGB_MATRIX,
            primaries=primaries,
            transfer=LINEAR,
            full_range=True,
            layers=source.layers,
        )
    if keeps_light and format_bits(name) < 10:
        raise InputError(
            f"pixel_format={name}: {codec} of 8 bits cannot hold HDR (PQ or HLG). Set"
            " codec=h265, which has 10 bits, or hdr=sdr to map it to ordinary brightness."
        )
    rgb = format_chroma(name) == "rgb"
    plain = not source.tagged or (source.is_hdr and not keeps_light)
    if plain or source.is_float:
        matrix, primaries, transfer = BT709, BT709, SRGB if source.is_float and rgb else BT709
    else:
        matrix, primaries, transfer = source.matrix, source.primaries, source.transfer
    if matrix == RGB_MATRIX:
        matrix = BT2020 if primaries == BT2020 else BT709
    encoder = ENCODERS.get(codec)
    storable = encoder is None or encoder.full_range
    full = rgb or (source.full_range and source.chroma != "rgb" and storable)
    location = guessed_chroma_location(full_range=full)
    if source.chroma == format_chroma(name) == "420" and encoder is not None:
        kept = source.chroma_location in encoder.chroma_locations
        location = source.chroma_location if kept else location
    return PictureFormat(
        pixel_format=name,
        matrix=RGB_MATRIX if rgb else matrix,
        primaries=primaries,
        transfer=transfer,
        full_range=full,
        chroma_location=location,
        mastering_display=source.mastering_display if keeps_light else None,
        content_light=source.content_light if keeps_light else None,
    )


def losses(source: PictureFormat, target: PictureFormat, codec: str) -> list[str]:
    """Describes what of a source its output does not hold.

    Args:
      source: format of the source.
      target: format of the output.
      codec: codec of the output.
    """
    found = []
    if target.bits < source.bits and not target.is_float:
        found.append(f"{'floats' if source.is_float else f'{source.bits} bits'} to {target.bits}")
    if _FINENESS[target.chroma] < _FINENESS[source.chroma]:
        found.append(f"{_spoken(source.chroma)} to {_spoken(target.chroma)}")
    if source.has_alpha and not target.has_alpha:
        found.append("transparency, which is laid over black (prores, ffv1, png and exr keep it)")
    if source.layers and not target.layers:
        found.append(f"layers {', '.join(layer.name for layer in source.layers)} (exr keeps them)")
    if source.unreadable_layers:
        found.append(f"layers {source.unreadable_layers}, which zip compression would keep")
    if source.is_hdr and not target.is_hdr and not target.is_float:
        found.append("high dynamic range, which is mapped to ordinary brightness")
    if source.dynamic_light and target.is_hdr:
        found.append(
            f"{' and '.join(source.dynamic_light)} metadata, which no encoder here writes (the"
            " pictures and their static metadata are those of HDR10)"
        )
    light = target.mastering_display or target.content_light
    if light is not None and codec not in _DISPLAY_CODECS:
        found.append("mastering display and content light (h264, h265 and av1 keep them)")
    return found


def caution(target: PictureFormat, codec: str) -> str:
    """Describes who cannot play an output; empty if every player can.

    Args:
      target: format of the output.
      codec: codec of the output.
    """
    if codec != "h264" or (target.bits == 8 and target.chroma == "420"):
        return ""
    return (
        f"h264 of {target.bits} bits and {_spoken(target.chroma)}, as the input, which browsers and"
        " many players do not show; pixel_format=yuv420p is for them"
    )


def _offered(codec: str, width: int, height: int) -> list[str]:
    """Returns the layouts of a codec that may be chosen, the plainest first."""
    if codec in IMAGES:
        return list(IMAGES[codec].formats)
    encoder = ENCODERS[codec]
    odd = bool(width % 2 or height % 2) and not encoder.odd_sizes_subsampled
    names = []
    for name in supported_formats(codec):
        alpha = any(part.is_alpha for part in VideoFormat(name).components)
        chroma = format_chroma(name)
        if (
            name.startswith(("yuvj", "nv", "pal", "mono"))
            or is_float(name)
            or chroma not in ("420", "422", "444", "rgb")
            or (alpha and not encoder.has_alpha)
            or (odd and chroma in ("420", "422"))
            or format_bits(name) not in (8, 10, 12, 16)
            or name.endswith("be")
        ):
            continue
        names.append(name)
    return names


def _chosen(pixel_format: str, offered: list[str], codec: str) -> str:
    if pixel_format in offered:
        return pixel_format
    raise InputError(
        f"pixel_format={pixel_format}: {codec} cannot store that at this size. Expected auto or"
        f" one of {', '.join(offered)}."
    )


def _distance(source: PictureFormat, name: str, wanted: int) -> tuple[int, ...]:
    """Returns how far a layout is from a source and its bits: what is lost, then what is wasted."""
    target = PictureFormat(pixel_format=name)
    lost_chroma = max(0, _FINENESS[source.chroma] - _FINENESS[target.chroma])
    more_chroma = max(0, _FINENESS[target.chroma] - _FINENESS[source.chroma])
    return (
        max(0, wanted - target.bits),
        lost_chroma,
        int(source.has_alpha and not target.has_alpha),
        int((source.chroma == "rgb") != (target.chroma == "rgb")),
        more_chroma,
        max(0, target.bits - wanted),
        int(target.has_alpha and not source.has_alpha),
    )


def _spoken(chroma: str) -> str:
    return chroma.upper() if chroma == "rgb" else ":".join(chroma)
