"""Picture encoders: containers, options, and the rate factor of each quality."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
from av import CodecContext
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.chroma_location import CHROMA_LOCATIONS
from venhancer_jax.video.colour.picture_format import PictureFormat
from venhancer_jax.video.writing.encoding import NOMINAL_RATE, Encoding
from venhancer_jax.video.writing.light_options import light_options

# The bits that x264 and x265 write depend on how many frames they code at once, so the numbers are
# fixed: the same frames give the same file on machines of different core counts.
_X264_THREADS = 8
_X265_FRAME_THREADS = 2
_PRORES_PROFILES = ("proxy", "lt", "standard", "hq")


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Settings of a picture codec.

    Attributes:
      libraries: FFmpeg's names of encoders, the preferred one first.
      suffixes: file suffixes whose containers support the codec.
      quality: function from quality in [0, 1] and subsampling of chroma to encoder options.
      options: encoder options besides those of the quality.
      reorder_delay: largest number of pictures that are decoded before a picture and shown after
        it.
      odd_sizes_subsampled: whether 4:2:0 chroma may have an odd width or height.
      plain: pixel format of a picture whose source is not known.
      has_alpha: whether pictures may be transparent.
      full_range: whether the range of the samples can be stored; else it is limited.
      chroma_locations: positions of 4:2:0 chroma samples that can be stored; for others, and for
        outputs of other codecs, players guess.
    """

    libraries: tuple[str, ...]
    suffixes: frozenset[str]
    quality: Callable[[float, str], dict[str, str]]
    options: dict[str, str]
    reorder_delay: int
    odd_sizes_subsampled: bool
    plain: str = "yuv420p"
    has_alpha: bool = False
    full_range: bool = True
    chroma_locations: tuple[str, ...] = ()


def _crf(best: float, worst: float, whole: bool = False) -> Callable[[float, str], dict[str, str]]:
    """Returns a function from quality to the constant rate factor of an encoder."""

    def options(quality: float, chroma: str) -> dict[str, str]:
        del chroma
        factor = worst - (worst - best) * quality
        return {"crf": f"{round(factor) if whole else factor:g}"}

    return options


def _prores_profile(quality: float, chroma: str) -> dict[str, str]:
    if chroma in ("444", "rgb"):
        return {"profile": "4444xq" if quality == 1 else "4444"}
    return {"profile": _PRORES_PROFILES[min(3, int(4 * quality))]}


# quality   0.0   0.25   0.5   0.75   1.0
# h264       36     30    24     18    12   crf
# h265       40     34    28     22    16   crf
# av1        58     48    38     28    18   crf
# prores  proxy     lt  std.     hq    hq   profile; 4444 with 4:4:4
ENCODERS = {
    "h264": Encoder(
        libraries=("libx264",),
        suffixes=frozenset({".mp4", ".mkv", ".mov"}),
        quality=_crf(12, 36),
        # With macroblock trees the same frames give other bytes in a few runs of a hundred.
        options={"preset": "medium", "threads": str(_X264_THREADS), "mbtree": "0"},
        reorder_delay=2,
        odd_sizes_subsampled=False,
        chroma_locations=CHROMA_LOCATIONS,
    ),
    "h265": Encoder(
        libraries=("libx265",),
        suffixes=frozenset({".mp4", ".mkv", ".mov"}),
        quality=_crf(16, 40),
        options={
            "preset": "medium",
            # B-pictures that refer to each other delay the decoding by two pictures.
            "x265-params": f"log-level=none:frame-threads={_X265_FRAME_THREADS}"
            ":bframes=4:b-pyramid=1:open-gop=0",
        },
        reorder_delay=2,
        odd_sizes_subsampled=False,
        chroma_locations=CHROMA_LOCATIONS,
    ),
    "av1": Encoder(
        libraries=("libsvtav1", "libaom-av1"),
        suffixes=frozenset({".mp4", ".mkv", ".webm"}),
        quality=_crf(18, 58, whole=True),
        options={},
        reorder_delay=0,
        odd_sizes_subsampled=True,
        chroma_locations=("left", "topleft"),
    ),
    "prores": Encoder(
        libraries=("prores_ks",),
        suffixes=frozenset({".mov"}),
        quality=_prores_profile,
        # Editors of Apple refuse other vendors.
        options={"vendor": "apl0"},
        reorder_delay=0,
        odd_sizes_subsampled=False,
        plain="yuv422p10le",
        has_alpha=True,
        full_range=False,
    ),
    "ffv1": Encoder(
        libraries=("ffv1",),
        suffixes=frozenset({".mkv"}),
        quality=lambda quality, chroma: {},  # lossless
        options={"level": "3", "g": "1", "slices": "4", "slicecrc": "1"},
        reorder_delay=0,
        odd_sizes_subsampled=True,
        has_alpha=True,
    ),
}
_LIBRARY_OPTIONS = {
    "libsvtav1": {"preset": "8"},
    "libaom-av1": {"cpu-used": "6", "row-mt": "1", "b": "0"},
}


def add_video_stream(container: OutputContainer, encoding: Encoding) -> VideoStream:
    """Adds a picture stream to a container.

    Args:
      container: container whose header is not written yet.
      encoding: codec, one of `ENCODERS`, size, clock and format of the pictures.

    Raises:
      InputError: this FFmpeg build lacks the encoder, or the encoder lacks an option.
    """
    codec = encoding.codec
    encoder = ENCODERS[codec]
    library = find_library(codec)
    picture = stored_format(encoding)
    options = encoder.options | _LIBRARY_OPTIONS.get(library, {})
    options |= encoder.quality(encoding.quality, picture.chroma)
    if picture.chroma == "420" and picture.chroma_location in encoder.chroma_locations:
        options["chroma_sample_location"] = picture.chroma_location
    _merge(options, light_options(library, picture))
    check_options(codec, encoding.options)
    _merge(options, dict(encoding.options))
    stream = container.add_stream(library, rate=encoding.rate or NOMINAL_RATE, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = encoding.width, encoding.height
    stream.pix_fmt = picture.pixel_format

    context = stream.codec_context
    context.time_base = encoding.time_base
    context.sample_aspect_ratio = Fraction(1)
    set_tags(stream, picture)
    tag_for_players(stream, encoding)
    return stream


def set_tags(stream: VideoStream, picture: PictureFormat) -> None:
    """Sets the colour tags of a stream.

    Args:
      stream: picture stream of a container whose header is not written yet.
      picture: format of the pictures.
    """
    context = stream.codec_context
    context.colorspace = picture.matrix
    context.color_range = ColorRange.JPEG if picture.full_range else ColorRange.MPEG
    context.color_primaries = picture.primaries
    context.color_trc = picture.transfer


def default_suffix(codec: str) -> str:
    """Returns the suffix of outputs that are not named; empty for a folder of images.

    Args:
      codec: codec of the output.
    """
    known = ENCODERS[codec].suffixes if codec in ENCODERS else frozenset()
    return next((suffix for suffix in (".mp4", ".mov", ".mkv") if suffix in known), "")


def stored_format(encoding: Encoding) -> PictureFormat:
    """Returns the format of the pictures of an encoding.

    Without one it is BT.709 with subsampled chroma (4:2:0, which every player shows) unless the
    encoder cannot do so at this size; odd sizes of H.264 and H.265 are 4:4:4.

    Args:
      encoding: codec, one of `ENCODERS`, size and format of the pictures.
    """
    if encoding.picture is not None:
        return encoding.picture
    encoder = ENCODERS[encoding.codec]
    plain = encoder.plain
    if (encoding.width % 2 or encoding.height % 2) and not encoder.odd_sizes_subsampled:
        plain = plain.replace("420", "444").replace("422", "444")
    return PictureFormat(pixel_format=plain)


def supported_formats(codec: str) -> tuple[str, ...]:
    """Returns FFmpeg's names of the pixel formats that an encoder takes.

    Args:
      codec: picture codec, one of `ENCODERS`.

    Raises:
      InputError: this FFmpeg build lacks the encoder.
    """
    listed = Codec(find_library(codec), "w").video_formats
    return tuple(layout.name for layout in listed) if listed else ("yuv420p", "yuv420p10le")


def check_options(codec: str, options: Iterable[tuple[str, str]]) -> None:
    """Checks the names of encoder options.

    Args:
      codec: codec of pictures, or of images, whose encoders have their names.
      options: names and values.

    Raises:
      InputError: this FFmpeg build lacks the encoder, or the encoder has no such option.
    """
    library = find_library(codec) if codec in ENCODERS else codec
    listed = CodecContext.create(library, "w").supported_options
    known = {option.name for option in (*listed.generic, *listed.private)}
    for name, value in options:
        if name not in known:
            own = sorted(option.name for option in listed.private)
            raise InputError(
                f"codec_options {name}={value}: {library} has no option {name!r}. It has"
                f" {', '.join(own)}, and the options that all encoders of FFmpeg have."
            )


def _merge(options: dict[str, str], more: Mapping[str, str]) -> None:
    """Adds options; lists of parameters (`x265-params`) are continued, in which the last counts."""
    for name, value in more.items():
        before = options.get(name, "") if name.endswith("-params") else ""
        options[name] = f"{before}:{value}" if before else value


def tag_for_players(stream: VideoStream, encoding: Encoding) -> None:
    """Sets the tag by which players know the codec, where FFmpeg's own choice does not do.

    Args:
      stream: picture stream of a container whose header is not written yet.
      encoding: codec of the pictures.
    """
    # Apple's players refuse the default tag, hev1.
    if encoding.codec == "h265" and stream.container.format.name in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"


def find_library(codec: str) -> str:
    """Returns FFmpeg's name of the encoder of a codec.

    Args:
      codec: picture codec, one of `ENCODERS`.

    Raises:
      InputError: this FFmpeg build lacks the encoder.
    """
    libraries = ENCODERS[codec].libraries
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
