"""Picture encoders: containers, options, and the rate factor of each quality."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from av.video.stream import VideoStream

from venhancer_jax.errors import InputError
from venhancer_jax.video.encoding import NOMINAL_RATE, Encoding

# The bits that x264 and x265 write depend on how many frames they code at once, so the numbers are
# fixed: the same frames give the same file on machines of different core counts.
_X264_THREADS = 8
_X265_FRAME_THREADS = 2
_BT709_MATRIX = 1


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Settings of a picture codec.

    Attributes:
      libraries: FFmpeg's names of encoders, the preferred one first.
      suffixes: file suffixes whose containers support the codec.
      crf: function from quality in [0, 1] to the encoder's constant rate factor.
      options: encoder options besides the rate factor.
      reorder_delay: largest number of pictures that are decoded before a picture and shown after
        it.
      odd_sizes_subsampled: whether 4:2:0 chroma may have an odd width or height.
    """

    libraries: tuple[str, ...]
    suffixes: frozenset[str]
    crf: Callable[[float], float]
    options: dict[str, str]
    reorder_delay: int
    odd_sizes_subsampled: bool


# quality   0.0   0.25   0.5   0.75   1.0
# h264       36     30    24     18    12   crf
# h265       40     34    28     22    16   crf
# av1        58     48    38     28    18   crf
ENCODERS = {
    "h264": Encoder(
        libraries=("libx264",),
        suffixes=frozenset({".mp4", ".mkv", ".mov"}),
        crf=lambda quality: 36 - 24 * quality,
        # With macroblock trees the same frames give other bytes in a few runs of a hundred.
        options={"preset": "medium", "threads": str(_X264_THREADS), "mbtree": "0"},
        reorder_delay=2,
        odd_sizes_subsampled=False,
    ),
    "h265": Encoder(
        libraries=("libx265",),
        suffixes=frozenset({".mp4", ".mkv", ".mov"}),
        crf=lambda quality: 40 - 24 * quality,
        options={
            "preset": "medium",
            # B-pictures that refer to each other delay the decoding by two pictures.
            "x265-params": f"log-level=none:frame-threads={_X265_FRAME_THREADS}"
            ":bframes=4:b-pyramid=1:open-gop=0",
        },
        reorder_delay=2,
        odd_sizes_subsampled=False,
    ),
    "av1": Encoder(
        libraries=("libsvtav1", "libaom-av1"),
        suffixes=frozenset({".mp4", ".mkv", ".webm"}),
        crf=lambda quality: round(58 - 40 * quality),
        options={},
        reorder_delay=0,
        odd_sizes_subsampled=True,
    ),
}
_LIBRARY_OPTIONS = {
    "libsvtav1": {"preset": "8"},
    "libaom-av1": {"cpu-used": "6", "row-mt": "1", "b": "0"},
}


def add_video_stream(container: OutputContainer, encoding: Encoding) -> VideoStream:
    """Adds a BT.709 picture stream to a container.

    Chroma is subsampled (4:2:0, which every player shows) unless the encoder cannot do so at this
    size; odd sizes of H.264 and H.265 are 4:4:4.

    Args:
      container: container whose header is not written yet.
      encoding: codec, one of `ENCODERS`, size and clock of the pictures.

    Raises:
      InputError: this FFmpeg build lacks the encoder.
    """
    codec, width, height = encoding.codec, encoding.width, encoding.height
    encoder = ENCODERS[codec]
    library = _available(codec, encoder.libraries)
    options = encoder.options | _LIBRARY_OPTIONS.get(library, {})
    options["crf"] = f"{encoder.crf(encoding.quality):g}"
    stream = container.add_stream(
        library, rate=encoding.rate or NOMINAL_RATE, options=options | dict(encoding.options)
    )
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = width, height
    odd = bool(width % 2 or height % 2)
    stream.pix_fmt = "yuv444p" if odd and not encoder.odd_sizes_subsampled else "yuv420p"

    context = stream.codec_context
    context.time_base = encoding.time_base
    context.sample_aspect_ratio = Fraction(1)
    context.colorspace = _BT709_MATRIX
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    tag_for_players(stream, encoding)
    return stream


def tag_for_players(stream: VideoStream, encoding: Encoding) -> None:
    """Sets the tag by which players know the codec, where FFmpeg's own choice does not do.

    Args:
      stream: picture stream of a container whose header is not written yet.
      encoding: codec of the pictures.
    """
    # Apple's players refuse the default tag, hev1.
    if encoding.codec == "h265" and stream.container.format.name in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"


def _available(codec: str, libraries: tuple[str, ...]) -> str:
    for library in libraries:
        try:
            Codec(library, "w")
        except UnknownCodecError:
            continue
        return library
    others = ", ".join(name for name in ENCODERS if name != codec)
    raise InputError(
        f"codec={codec!r}: the FFmpeg build of PyAV {av.__version__} has no encoder for it "
        f"({' or '.join(libraries)}). Choose another codec ({others}) or install PyAV's wheel."
    )
