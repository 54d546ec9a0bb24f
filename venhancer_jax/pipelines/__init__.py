"""Whole systems: frames in, frames out, composed of networks, diffusion, video and sharding."""
