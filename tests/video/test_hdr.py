"""Curves of light, against numbers of the standards, and there and back."""

import numpy as np
import pytest

from venhancer_jax.video.colour import hdr
from venhancer_jax.video.colour.picture_format import BT709, BT2020, HLG, PQ, SRGB

CODES = np.arange(65536, dtype=np.uint16)


def code(light: float) -> int:
    return round(float(hdr.light_to_pq(np.float64(light))) * 65535)


@pytest.mark.parametrize(
    # ITU-R BT.2408, table 1 and 2, in percent of the signal.
    ("light", "signal"),
    [(0, 0), (26, 0.38), (100, 0.51), (203, 0.58), (1000, 0.75), (4000, 0.90), (10000, 1)],
)
def test_pq(light: float, signal: float):
    assert hdr.light_to_pq(np.float64(light)) == pytest.approx(signal, abs=0.005)
    assert hdr.pq_to_light(hdr.light_to_pq(np.float64(light))) == pytest.approx(light, abs=1e-6)


def test_hlg():
    # BT.2100 note 5: half of the signal is a twelfth; white of graphics is 75 percent of it.
    assert hdr.hlg_to_scene([0, 0.5, 1]) == pytest.approx([0, 1 / 12, 1], abs=1e-6)
    grey = np.full((1, 1, 3), round(0.75 * 65535), np.uint16)
    assert hdr.to_linear(grey, HLG) * 203 == pytest.approx(203, rel=0.01)
    assert hdr.to_linear(np.full((1, 1, 3), 65535, np.uint16), HLG) * 203 == pytest.approx(1000)


def test_srgb():
    signal = np.linspace(0, 1, 101)
    assert hdr.linear_to_srgb(hdr.srgb_to_linear(signal)) == pytest.approx(signal, abs=1e-6)
    assert hdr.srgb_to_linear(np.array(0.5)) == pytest.approx(0.2140, abs=1e-4)
    assert hdr.to_linear(CODES[[0, 32768, 65535]], SRGB) == pytest.approx([0, 0.214, 1], abs=1e-3)


def test_the_working_signal_has_an_inverse():
    working = hdr.to_working(CODES, PQ)
    assert (np.diff(working.astype(int)) >= 0).all()
    # A code of 10 bits is 64 of these.
    assert np.abs(hdr.from_working(working, PQ).astype(int) - CODES).max() <= 2
    assert hdr.to_working(CODES, HLG) is CODES and hdr.from_working(CODES, HLG) is CODES


def test_the_working_signal_looks_ordinary():
    signal = {light: hdr.to_working(CODES, PQ)[code(light)] / 65535 for light in (2, 36.5, 203)}
    # Grey of 18 percent is at .49 on a display with gamma 2.4, that of 1 percent at .15.
    assert signal[203] == pytest.approx(0.734, abs=0.001)
    assert signal[36.5] / 0.8 == pytest.approx(0.49, abs=0.005)
    assert signal[2] / 0.8 == pytest.approx(0.15, abs=0.005)
    slopes = np.diff(hdr.to_working(CODES, PQ).astype(float), n=1)
    knee = code(203 / 2)
    assert slopes[knee - 900 : knee - 100].mean() == pytest.approx(
        slopes[knee + 100 : knee + 900].mean(), rel=0.05
    )


def test_tone_mapping():
    grey = np.array([[[code(light)] * 3 for light in (0, 1, 36.5, 203, 1000, 4000)]], np.uint16)
    mapped = hdr.tone_map(grey, PQ, BT2020, 1000.0)[0] / 65535
    assert np.ptp(mapped, axis=-1).max() < 1e-3
    # Shadows and skin stay, white is below what is brighter, which reaches the top.
    assert mapped[:3, 0] == pytest.approx([0, 0.109, 0.489], abs=0.005)
    assert 0.85 < mapped[3, 0] < 0.95 and mapped[4:, 0] == pytest.approx(1, abs=1e-3)


def test_tone_mapping_converts_primaries():
    # BT.709 red in BT.2020, at 50 candela.
    light = 50 * np.array([0.6274, 0.0691, 0.0164])
    red = np.array([[[code(value) for value in light]]], np.uint16)
    found = hdr.tone_map(red, PQ, BT2020, 1000.0)[0, 0] / 65535
    assert found == pytest.approx([(50 / 203) ** (1 / 2.4), 0, 0], abs=0.02)
    assert hdr.tone_map(red, PQ, BT709, 1000.0)[0, 0, 1] / 65535 > 0.15


def test_bright_colours_stay_colours():
    light = np.array([1000, 500, 100])
    warm = np.array([[[code(value) for value in light]]], np.uint16)
    found = (hdr.tone_map(warm, PQ, BT709, 1000.0)[0, 0] / 65535) ** 2.4
    assert found / found[0] == pytest.approx(light / 1000, rel=0.02)
