"""What a picture holds besides the colours that networks see, carried past them."""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from venhancer_jax.video.colour import hdr
from venhancer_jax.video.colour.picture_format import SRGB, PictureFormat

_WHITE = 65535


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layers:
    """Layers of an input frame.

    Attributes:
      seconds: time at which the frame is shown.
      alpha: opacity `[H, W]`, integers up to their largest or floats up to 1, or None.
      excess: linear light below 0 and above 1, `[H, W, 3]` float32, or None.
      others: layers of EXR files, `[H, W, N]` float32, or None.
    """

    seconds: Fraction
    alpha: np.ndarray | None
    excess: np.ndarray | None
    others: np.ndarray | None


class Passage:
    """Way of frames from a file to networks, and of results to another file.

    Networks see frames `[H, W, 3]`, uint8 or uint16, of ordinary brightness (`hdr`). Transparency,
    layers such as depth, and light beyond black and white are resized with the picture, and an
    output frame has those of the latest input frame at its time: a blend would show two at once.
    Transparency that the output cannot hold is laid over black.
    """

    def __init__(
        self,
        source: PictureFormat,
        target: PictureFormat,
        *,
        size: tuple[int, int],
        hdr_mode: str = "keep",
    ) -> None:
        """Stores the formats.

        Args:
          source: format of the frames, which `read_frames(..., layers=True)` yields.
          target: format of the output.
          size: height and width of the output.
          hdr_mode: `keep`, or `sdr` for PQ and HLG that are mapped to ordinary brightness.
        """
        self._source, self._target, self._size = source, target, size
        self._maps_tones = source.is_hdr and hdr_mode == "sdr"
        self._held: deque[_Layers] = deque()

    def enter(self, image: np.ndarray, seconds: Fraction) -> np.ndarray:
        """Converts a frame of the source to what networks see.

        Args:
          image: `[H, W, 3]`, or `[H, W, 4]` with alpha: uint8, uint16, or float32 linear light;
            with layers the channels of these behind.
          seconds: time at which the frame is shown, ascending.

        Returns:
          uint8 or uint16 `[H, W, 3]`.
        """
        others: np.ndarray | None = None
        if self._source.layers:
            image, others = np.split(image, [image.shape[-1] - len(self._source.layers)], axis=-1)
        colour, alpha, excess = image[..., :3], None, None
        if image.shape[-1] == 4:
            alpha = image[..., 3].copy()  # not all of the picture is held
        if image.dtype == np.float32:
            light = np.nan_to_num(colour)
            shown = light.clip(0, 1)
            if self._target.is_float and not np.array_equal(light, shown):
                excess = light - shown
            colour = _as_uint16(hdr.linear_to_srgb(shown))
        elif alpha is not None and not self._target.has_alpha:
            colour = _as_type(colour * _opacity(alpha)[..., None], colour.dtype)
        if self._source.is_hdr:
            colour = _deep(colour)
            if self._maps_tones:
                peak = _peak(self._source)
                colour = hdr.tone_map(colour, self._source.transfer, self._source.primaries, peak)
            else:
                colour = hdr.to_working(colour, self._source.transfer)
        if not self._target.has_alpha:
            alpha = None
        others = others.copy() if others is not None and self._target.layers else None
        layers = _Layers(seconds=seconds, alpha=alpha, excess=excess, others=others)
        if self._held or any(each is not None for each in (alpha, excess, others)):
            self._held.append(layers)
        return np.ascontiguousarray(colour)

    def leave(self, frame: np.ndarray, seconds: Fraction) -> np.ndarray:
        """Converts a result of networks to a frame to encode.

        Args:
          frame: uint8 or uint16 `[H, W, 3]`.
          seconds: time at which the frame is shown, ascending.

        Returns:
          `[H, W, 3]`, or `[H, W, 4]` with alpha: uint8 or uint16, or float32 linear light for a
          target of floats, with a channel for each of its layers.
        """
        while len(self._held) > 1 and self._held[1].seconds <= seconds:
            self._held.popleft()
        layers = self._held[0] if self._held and self._held[0].seconds <= seconds else None
        alpha = None if layers is None else self._enlarged_alpha(layers)
        keeps_light = self._source.is_hdr and not self._maps_tones
        if keeps_light:
            frame = hdr.from_working(_deep(frame), self._source.transfer)
        if self._target.is_float:
            light = hdr.to_linear(_deep(frame), self._source.transfer if keeps_light else SRGB)
            if layers is not None and layers.excess is not None:
                # Kernels with negative weights would draw dark rings around lights.
                light = light + self._resized(layers.excess, cv2.INTER_LINEAR)
            others = [] if layers is None or layers.others is None else self._depths(layers.others)
            if alpha is None:
                return np.dstack([light, *others]) if others else light
            # Colours of EXR files are stored as if laid over black.
            light = light if self._source.is_float else light * alpha[..., None]
            return np.dstack([light, alpha, *others])
        if alpha is None:
            return frame
        if self._source.is_float:
            light = hdr.to_linear(_deep(frame), SRGB) / np.maximum(alpha, 1e-4)[..., None]
            frame = _as_uint16(hdr.linear_to_srgb(light.clip(0, 1)))
        return np.dstack([frame, _as_type(alpha * np.iinfo(frame.dtype).max, frame.dtype)])

    def _enlarged_alpha(self, layers: _Layers) -> np.ndarray | None:
        if layers.alpha is None:
            return None
        return self._resized(_opacity(layers.alpha), cv2.INTER_LANCZOS4).clip(0, 1)

    def _depths(self, others: np.ndarray) -> list[np.ndarray]:
        """Returns layers of the output, of whose samples none is a blend: that is no depth."""
        height, width = self._size
        kernel = cv2.INTER_NEAREST_EXACT
        layers = np.moveaxis(others, -1, 0)
        return [cv2.resize(layer, (width, height), interpolation=kernel) for layer in layers]

    def _resized(self, layer: np.ndarray, kernel: int) -> np.ndarray:
        height, width = self._size
        if layer.shape[:2] == self._size:
            return layer
        if layer.shape[0] > height or layer.shape[1] > width:
            kernel = cv2.INTER_AREA
        return cv2.resize(layer, (width, height), interpolation=kernel)


def _peak(source: PictureFormat) -> float | None:
    """Returns the brightest light of a video in candela per square metre, if it is known."""
    if source.content_light is not None and source.content_light.max_cll:
        return float(source.content_light.max_cll)
    return source.mastering_display.luminance[1] if source.mastering_display else None


def _opacity(alpha: np.ndarray) -> np.ndarray:
    """Returns an opacity from 0 to 1, float32."""
    if alpha.dtype == np.float32:
        return alpha
    return alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)


def _deep(frame: np.ndarray) -> np.ndarray:
    return frame if frame.dtype == np.uint16 else frame.astype(np.uint16) * np.uint16(257)


def _as_uint16(signal: np.ndarray) -> np.ndarray:
    return np.rint(signal * _WHITE).astype(np.uint16)


def _as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.rint(values).astype(dtype)
