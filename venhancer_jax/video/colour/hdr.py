"""Light and signals: what networks see of videos that are brighter than ordinary ones.

Networks learnt from ordinary video. A PQ signal looks washed out to them, so they see a working
signal instead. With light L over that of reference white (203 candela per square metre, ITU-R
BT.2408) it is

    w(L) = 0.8 L ** (1 / 2.4)                         up to L = 1/2: an ordinary display (BT.1886)
    w(L) = w0 + (1 - w0) m x / (1 + (m - 1) x)        above, with x = log(2 L) / log(2 L_peak)

where w0 = w(1/2), L_peak is 10,000 candela per square metre, and m makes the slope continuous.
Reference white is at 0.74, 1,000 candela at 0.90. The curve goes through each channel and has an
inverse, which is applied to results. An HLG signal is one that ordinary displays can show, and is
its own working signal.
"""

import functools

import cv2
import numpy as np
import numpy.typing as npt

from venhancer_jax.video.colour.picture_format import BT2020, HLG, PQ

WHITE_LIGHT = 203.0
_WHITE = 65535
_PEAK = 10000.0
_HLG_PEAK = 1000.0
_KNEE, _GAIN, _GAMMA = 0.5, 0.8, 2.4
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
# ITU-R BT.2087, linear RGB of BT.2020 to that of BT.709.
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def pq_to_light(signal: npt.ArrayLike) -> np.ndarray:
    """Converts a PQ signal to light (SMPTE ST 2084).

    Args:
      signal: values from 0 to 1.

    Returns:
      Candela per square metre, float64.
    """
    root = np.power(np.asarray(signal, np.float64), 32 / 2523)
    share = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return _PEAK * np.power(share, 16384 / 2610)


def light_to_pq(light: npt.ArrayLike) -> np.ndarray:
    """Converts light to a PQ signal (SMPTE ST 2084).

    Args:
      light: candela per square metre.

    Returns:
      Signal from 0 to 1, float64.
    """
    power = np.power(np.clip(np.asarray(light, np.float64) / _PEAK, 0, 1), 2610 / 16384)
    return np.power((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power), 2523 / 32)


def hlg_to_scene(signal: npt.ArrayLike) -> np.ndarray:
    """Converts an HLG signal to linear light of the scene, from 0 to 1 (ITU-R BT.2100).

    Args:
      signal: values from 0 to 1.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.asarray(signal, np.float64)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def srgb_to_linear(signal: np.ndarray) -> np.ndarray:
    """Converts an sRGB signal from 0 to 1 to linear light (IEC 61966-2-1).

    Args:
      signal: floats, none negative.
    """
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Converts linear light from 0 to 1 to an sRGB signal (IEC 61966-2-1).

    Args:
      light: floats, none negative.
    """
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def to_working(frame: np.ndarray, transfer: int) -> np.ndarray:
    """Converts a PQ or HLG frame to the signal that networks see.

    Args:
      frame: uint16 `[..., C]`.
      transfer: transfer curve, `PQ` or `HLG`.
    """
    return frame if transfer != PQ else _working_table()[frame]


def from_working(frame: np.ndarray, transfer: int) -> np.ndarray:
    """Converts a result of networks to a PQ or HLG frame.

    Args:
      frame: uint16 `[..., C]`.
      transfer: transfer curve, `PQ` or `HLG`.
    """
    return frame if transfer != PQ else _inverse_table()[frame]


def to_linear(frame: np.ndarray, transfer: int) -> np.ndarray:
    """Converts a frame to linear light with 1 at (reference) white.

    Args:
      frame: uint16 `[..., 3]`.
      transfer: transfer curve, a number of ITU-T H.273; all but `PQ` and `HLG` are as sRGB.

    Returns:
      float32 `[..., 3]`.
    """
    light = _light_table(transfer)[frame]
    if transfer == HLG:
        # The curve between the scene and a display of 1,000 candela, which grows with light.
        light *= np.power(np.maximum(light @ _LUMA_2020, 1e-6), 0.2)[..., None]
        light *= np.float32(_HLG_PEAK / WHITE_LIGHT)
    return light


def tone_map(frame: np.ndarray, transfer: int, primaries: int, peak: float | None) -> np.ndarray:
    """Converts a PQ or HLG frame to an ordinary one.

    The brightest channel of each pixel follows the curve of Report ITU-R BT.2390, section 5.4, with
    reference white as the brightest light; the others follow in proportion. Colours that BT.709
    does not have are clipped.

    Args:
      frame: uint16 `[H, W, 3]`.
      transfer: transfer curve, `PQ` or `HLG`.
      primaries: colour primaries, a number of ITU-T H.273.
      peak: brightest light of the video in candela per square metre, None for 1,000.

    Returns:
      uint16 `[H, W, 3]` of BT.709 for a display with gamma 2.4.
    """
    light = to_linear(frame, transfer)
    highest = _HLG_PEAK if transfer == HLG or peak is None else min(max(peak, 250.0), _PEAK)
    codes = light_to_pq(np.linspace(0, 1, 4096) ** 4 * _PEAK)
    table = pq_to_light(_roll_off(codes, float(light_to_pq(highest)))) / WHITE_LIGHT
    brightest = np.maximum(light.max(-1), np.float32(1e-7))
    # The fourth root is the axis of the table, fine in shadows.
    axis = np.sqrt(np.sqrt(brightest * np.float32(WHITE_LIGHT / _PEAK))) * np.float32(4095)
    mapped = np.interp(axis, np.arange(4096), table).astype(np.float32)
    light *= (mapped / brightest)[..., None]
    if primaries == BT2020:
        light = cv2.transform(light, _TO_709)
    signal = cv2.pow(np.clip(light, 0, 1), 1 / _GAMMA)
    return np.rint(signal * np.float32(_WHITE)).astype(np.uint16)


def _roll_off(signal: np.ndarray, highest: float) -> np.ndarray:
    """Maps PQ signals up to `highest` below that of reference white (BT.2390, section 5.4.1)."""
    most = float(light_to_pq(WHITE_LIGHT)) / highest
    knee = 1.5 * most - 0.5
    share = np.clip(signal / highest, 0, 1)
    t = np.clip((share - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return highest * np.where(share < knee, share, spline)


@functools.lru_cache(maxsize=4)
def _light_table(transfer: int) -> np.ndarray:
    signal = np.arange(_WHITE + 1) / _WHITE
    if transfer == PQ:
        return (pq_to_light(signal) / WHITE_LIGHT).astype(np.float32)
    return (hlg_to_scene(signal) if transfer == HLG else srgb_to_linear(signal)).astype(np.float32)


def _slopes() -> tuple[float, float, float]:
    """Returns w0, m and log(2 L_peak) of the working curve."""
    start = _GAIN * _KNEE ** (1 / _GAMMA)
    span = float(np.log(_PEAK / WHITE_LIGHT / _KNEE))
    return start, start / _GAMMA * span / (1 - start), span


@functools.cache
def _working_table() -> np.ndarray:
    """Returns the working signal of each PQ code, uint16 `[65536]`."""
    light = pq_to_light(np.arange(_WHITE + 1) / _WHITE) / WHITE_LIGHT
    start, slope, span = _slopes()
    x = np.log(np.maximum(light, _KNEE) / _KNEE) / span
    above = start + (1 - start) * slope * x / (1 + (slope - 1) * x)
    signal = np.where(light < _KNEE, _GAIN * light ** (1 / _GAMMA), above)
    return np.rint(signal * _WHITE).clip(0, _WHITE).astype(np.uint16)


@functools.cache
def _inverse_table() -> np.ndarray:
    """Returns the PQ code of each working signal, uint16 `[65536]`."""
    signal = np.arange(_WHITE + 1) / _WHITE
    start, slope, span = _slopes()
    y = np.clip((signal - start) / (1 - start), 0, 1)
    above = _KNEE * np.exp(span * y / (slope - (slope - 1) * y))
    light = np.where(signal < start, (signal / _GAIN) ** _GAMMA, above)
    return np.rint(light_to_pq(light * WHITE_LIGHT) * _WHITE).astype(np.uint16)
