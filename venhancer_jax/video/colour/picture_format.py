"""How the samples of pictures are stored: layout, depth, range and colour tags."""

import struct
from dataclasses import dataclass

from av import VideoFormat, VideoFrame
from av.video.reformatter import ColorRange

from venhancer_jax.video.colour.chroma_location import find_chroma_location
from venhancer_jax.video.exr_layers import Layer

# Tags by ITU-T H.273.
RGB_MATRIX, BT709, UNSPECIFIED, BT601_625, BT601_525, BT2020 = 0, 1, 2, 5, 6, 9
BT2020_TRANSFER, PQ, HLG, LINEAR, SRGB = 14, 16, 18, 8, 13
_HIGH_DEFINITION_ROWS = 720
_GREY, _RGB = "grey", "rgb"


@dataclass(frozen=True, kw_only=True)
class MasteringDisplay:
    """Display on which a video was graded (SMPTE ST 2086).

    Attributes:
      primaries: CIE 1931 x and y of red, green and blue.
      white: CIE 1931 x and y of white.
      luminance: darkest and brightest luminance in candela per square metre.
    """

    primaries: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    white: tuple[float, float]
    luminance: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ContentLight:
    """Light of the brightest pixel and frame (CTA-861.3), in candela per square metre."""

    max_cll: int
    max_fall: int


@dataclass(frozen=True, kw_only=True)
class PictureFormat:
    """Samples of the pictures of a file, and what they mean.

    Attributes:
      pixel_format: FFmpeg's name of the layout, such as `yuv420p10le`.
      matrix: YUV matrix, a number of ITU-T H.273.
      primaries: colour primaries, a number of ITU-T H.273.
      transfer: transfer curve, a number of ITU-T H.273.
      full_range: whether black and white are the first and last code.
      chroma_location: position of the samples of subsampled chroma, one of `CHROMA_LOCATIONS`.
      tagged: whether the file says anything on its colours; else they are guessed.
      mastering_display: display of the grading, None where it is not known.
      content_light: light of the brightest pixel and frame, None where it is not known.
      dynamic_light: metadata of light for each picture: `Dolby Vision`, `HDR10+`, both, or none.
      needs_dolby_vision: whether colours are those of Dolby Vision's profile 5, which are wrong
        without its metadata.
      layers: channels of EXR files besides colour and transparency, such as depth.
      unreadable_layers: words on such channels that cannot be read; empty without any.
    """

    pixel_format: str = "yuv420p"
    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709
    full_range: bool = False
    chroma_location: str = "left"
    tagged: bool = True
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    dynamic_light: tuple[str, ...] = ()
    needs_dolby_vision: bool = False
    layers: tuple[Layer, ...] = ()
    unreadable_layers: str = ""

    @property
    def bits(self) -> int:
        """Returns the bits of a sample, at least 8."""
        return format_bits(self.pixel_format)

    @property
    def chroma(self) -> str:
        """Returns `420`, `422`, `444` or another subsampling, `rgb` or `grey`."""
        return format_chroma(self.pixel_format)

    @property
    def has_alpha(self) -> bool:
        """Returns whether pixels may be transparent."""
        layout = VideoFormat(self.pixel_format)
        return layout.has_palette or any(part.is_alpha for part in layout.components)

    @property
    def is_float(self) -> bool:
        """Returns whether samples are linear floats, unclamped, as in EXR."""
        return is_float(self.pixel_format)

    @property
    def is_hdr(self) -> bool:
        """Returns whether the transfer curve is PQ or HLG."""
        return self.transfer in (PQ, HLG)


def source_format(frame: VideoFrame) -> PictureFormat:
    """Returns the format of a decoded frame.

    What is not tagged is guessed as players do: BT.709 from 720 rows up, else BT.601.

    Args:
      frame: first decoded frame of a stream, which also has the stream's metadata.
    """
    layout = frame.format
    rgb = layout.is_rgb or layout.has_palette
    matrix = int(frame.colorspace) if _known(frame.colorspace) else guessed_matrix(frame)
    matrix = RGB_MATRIX if rgb else matrix
    meant = _FAMILY.get(matrix, (BT709, BT709))
    primaries = int(frame.color_primaries) if _known(frame.color_primaries) else meant[0]
    transfer = int(frame.color_trc) if _known(frame.color_trc) else meant[1]
    full = rgb or frame.color_range == ColorRange.JPEG
    return PictureFormat(
        pixel_format=layout.name,
        matrix=matrix,
        primaries=primaries,
        transfer=LINEAR if is_float(layout.name) else transfer,
        full_range=full,
        chroma_location=find_chroma_location(frame, full_range=full),
        tagged=any(map(_known, (frame.colorspace, frame.color_primaries, frame.color_trc))),
        mastering_display=_mastering_display(frame),
        content_light=_content_light(frame),
        dynamic_light=_dynamic_light(frame),
        needs_dolby_vision=_needs_dolby_vision(frame),
    )


def guessed_matrix(frame: VideoFrame) -> int:
    """Returns the YUV matrix of a decoded frame without a tag, as players guess it.

    Args:
      frame: decoded frame: BT.2020 with its primaries or high dynamic range, else BT.709 from 720
        rows up, BT.601 below.
    """
    if frame.color_primaries == BT2020 or frame.color_trc in (PQ, HLG):
        return BT2020
    return BT709 if frame.height >= _HIGH_DEFINITION_ROWS else BT601_525


def is_float(pixel_format: str) -> bool:
    """Returns whether a pixel format has floats, which are linear light.

    Args:
      pixel_format: FFmpeg's name.
    """
    return "f32" in pixel_format or "f16" in pixel_format


def format_bits(pixel_format: str) -> int:
    """Returns the bits of a sample, at least 8.

    Args:
      pixel_format: FFmpeg's name.
    """
    return max([8, *(part.bits for part in VideoFormat(pixel_format).components)])


def format_chroma(pixel_format: str) -> str:
    """Returns `420`, `422`, `444` or another subsampling, `rgb` or `grey`.

    Args:
      pixel_format: FFmpeg's name.
    """
    layout = VideoFormat(pixel_format)
    if layout.is_rgb or layout.has_palette:
        return _RGB
    if sum(not part.is_alpha for part in layout.components) < 3:
        return _GREY
    across = -(-64 // max(1, layout.chroma_width(64)))
    down = -(-64 // max(1, layout.chroma_height(64)))
    names = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411"}
    return names.get((across, down), "410")


# Primaries and transfer curve that usually come with a matrix.
_FAMILY = {
    BT709: (BT709, BT709),
    BT601_625: (BT601_625, BT601_525),
    BT601_525: (BT601_525, BT601_525),
    BT2020: (BT2020, BT2020_TRANSFER),
    10: (BT2020, BT2020_TRANSFER),
    RGB_MATRIX: (BT709, BT709),
}


def _known(tag: int) -> bool:
    return int(tag) not in (0, UNSPECIFIED)


def _mastering_display(frame: VideoFrame) -> MasteringDisplay | None:
    data = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if data is None:
        return None
    # AVMasteringDisplayMetadata: ten fractions, whether the first eight and the last two are known.
    numbers = struct.unpack("22i", bytes(data)[:88])
    values = [n / d if d else 0.0 for n, d in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    if not (numbers[20] and numbers[21]):
        return None
    red, green, blue, white = zip(values[:8:2], values[1:8:2], strict=True)
    return MasteringDisplay(
        primaries=(red, green, blue), white=white, luminance=(values[8], values[9])
    )


def _content_light(frame: VideoFrame) -> ContentLight | None:
    data = frame.side_data.get("CONTENT_LIGHT_LEVEL_METADATA") or frame.side_data.get(
        "CONTENT_LIGHT_LEVEL"
    )
    if data is None:
        return None
    max_cll, max_fall = struct.unpack("2I", bytes(data)[:8])
    return ContentLight(max_cll=max_cll, max_fall=max_fall) if max_cll or max_fall else None


def _dynamic_light(frame: VideoFrame) -> tuple[str, ...]:
    names = {"DOVI_RPU_BUFFER": "Dolby Vision", "DYNAMIC_HDR_PLUS": "HDR10+"}
    return tuple(name for kind, name in names.items() if frame.side_data.get(kind) is not None)


def _needs_dolby_vision(frame: VideoFrame) -> bool:
    if (data := frame.side_data.get("DOVI_METADATA")) is None:
        return False
    # AVDOVIMetadata begins with the offset of AVDOVIRpuDataHeader. Profile 5 is vdr_rpu_profile 0
    # with bl_video_full_range_flag (ETSI GS CCM 001).
    metadata = bytes(data)
    (header,) = struct.unpack_from("@N", metadata)
    return metadata[header + 4] == 0 and metadata[header + 10] == 1
