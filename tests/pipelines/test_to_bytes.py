"""The bytes that are written."""

import numpy as np

from venhancer_jax.pipelines.programs import to_bytes


def test_bytes_are_rounded_or_truncated():
    # 0.4, 0.6 and 254.9 of 255.
    signed = np.float32([0.4, 0.6, 254.9]) / 255 * 2 - 1
    assert to_bytes(signed, truncate=False).tolist() == [0, 1, 255]
    assert to_bytes(signed, truncate=True).tolist() == [0, 0, 254]


def test_values_out_of_range_are_clipped():
    assert to_bytes(np.float32([-3, 3]), truncate=False).tolist() == [0, 255]


def test_sixteen_bits_are_as_fine_as_their_type():
    levels = np.float32([0, 0.4, 0.6, 12345, 65534.9, 65535])
    signed = levels / np.float32(65535) * 2 - 1
    found = to_bytes(signed, truncate=False, dtype=np.uint16)
    assert found.dtype == np.uint16
    np.testing.assert_allclose(found.astype(int), levels, atol=0.51)
