"""Frames to videos and folders of images: encoders, segments, their joining."""
