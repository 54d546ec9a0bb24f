"""How close a video is to its target, and how steady: numbers from arrays of frames.

Videos are `[F, H, W, C]`, uint8 from 0 to 255 or floating point from 0 to 1. `luma` turns RGB into
BT.709 luma `[F, H, W, 1]`, for measures that are to be taken on luma alone.
"""

from venhancer_jax.metrics.lpips import lpips
from venhancer_jax.metrics.lr_consistency import box_resize, lr_consistency
from venhancer_jax.metrics.psnr import mean_squared_error, psnr
from venhancer_jax.metrics.ssim import ms_ssim, ssim
from venhancer_jax.metrics.temporal import flicker, tof, warping_error
from venhancer_jax.metrics.vmaf import vmaf
from venhancer_jax.video.levels import luma

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
