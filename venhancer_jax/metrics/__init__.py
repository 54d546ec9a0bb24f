"""Metrics of videos against their targets, and of steadiness.

Videos are arrays `[F, H, W, C]`, uint8 or floats from 0 to 1. `luma` computes BT.709 luma
`[F, H, W, 1]`, for metrics on luma alone.
"""

from venhancer_jax.metrics.lpips import lpips
from venhancer_jax.metrics.lr_consistency import box_resize, lr_consistency
from venhancer_jax.metrics.psnr import mean_squared_error, psnr
from venhancer_jax.metrics.ssim import ms_ssim, ssim
from venhancer_jax.metrics.temporal import flicker, tof, warping_error
from venhancer_jax.metrics.vmaf import vmaf
from venhancer_jax.video.colour.levels import luma

__all__ = [
    "box_resize",
    "flicker",
    "lpips",
    "lr_consistency",
    "luma",
    "mean_squared_error",
    "ms_ssim",
    "psnr",
    "ssim",
    "tof",
    "vmaf",
    "warping_error",
]
