"""Frames, with sound, as one encoded video file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import Packet, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from venhancer_jax.video.audio import AudioTracks
from venhancer_jax.video.colour import to_bt709
from venhancer_jax.video.encoders import ENCODERS, add_video_stream

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


class ClipFile:
    """Encodes frames, and copies sound, into one container."""

    def __init__(
        self,
        path: Path,
        *,
        container_format: str,
        codec: str,
        width: int,
        height: int,
        rate: Fraction,
        quality: float,
        audio_from: Path | None,
        audio_start: float,
        audio_duration: float | None,
    ) -> None:
        """Opens the file and writes its header.

        Args:
          path: new file, of any name.
          container_format: FFmpeg's name of the container, one of the values of `FORMATS`.
          codec: picture codec, one of `ENCODERS`.
          width: columns of the frames.
          height: rows of the frames.
          rate: frames per second.
          quality: quality of the pictures, from 0 to 1.
          audio_from: video whose sound is copied, or None.
          audio_start: seconds after the first picture of `audio_from` at which the sound begins.
          audio_duration: seconds of sound; None for as long as the pictures last.

        Raises:
          InputError: the encoder is missing, or the source of the sound cannot be opened.
        """
        # Neither dates nor random identifiers: the same frames give the same bytes.
        options = {"fflags": "+bitexact"}
        if container_format in ("mp4", "mov"):
            options["movflags"] = "+faststart"
        self._rate = rate
        self._written = 0
        self._coded = 0
        self._reorder_delay = ENCODERS[codec].reorder_delay
        self._reformatter = VideoReformatter()
        self._audio: AudioTracks | None = None
        self._container = av.open(
            f"file:{path}", "w", format=container_format, container_options=options
        )
        try:
            self._stream: VideoStream = add_video_stream(
                self._container, codec, width, height, rate, quality
            )
            if audio_from is not None:
                self._audio = AudioTracks(audio_from, self._container, audio_start, audio_duration)
            with _quiet_svt():
                self._container.start_encoding()
        except BaseException:
            self.close()
            raise

    def write(self, frame: np.ndarray) -> None:
        """Encodes the next frame.

        Args:
          frame: RGB picture, uint8 `[H, W, 3]`.
        """
        picture = to_bt709(
            self._reformatter,
            VideoFrame.from_ndarray(frame, format="rgb24"),
            self._stream.pix_fmt or "yuv420p",
        )
        picture.pts, picture.time_base = self._written, 1 / self._rate
        self._written += 1
        self._mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Writes what the encoders still hold, the rest of the sound, and the container's end."""
        self._mux(self._stream.encode(None))
        if self._audio is not None:
            self._audio.finish(float(self._written / self._rate))
            self._audio.close()
        self._container.close()

    def close(self) -> None:
        """Closes an unfinished file, whatever its state."""
        if self._audio is not None:
            self._audio.close()
        with suppress(OSError, ValueError):
            self._container.close()

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            if self._reorder_delay is not None:
                packet.dts = self._coded - self._reorder_delay
            self._coded += 1
            # Sound goes along with the pictures, so that the muxer never holds much of either.
            if self._audio is not None and packet.pts is not None:
                self._audio.advance(float(packet.pts * packet.time_base))
            self._container.mux(packet)


@contextmanager
def _quiet_svt() -> Iterator[None]:
    """Keeps SVT-AV1 from printing; the library listens to nothing but its environment variable."""
    before = os.environ.get("SVT_LOG")
    os.environ["SVT_LOG"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SVT_LOG"]
        else:
            os.environ["SVT_LOG"] = before
