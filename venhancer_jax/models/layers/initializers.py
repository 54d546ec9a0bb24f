"""Initialisers of the networks."""

from flax import nnx

zeros = nnx.initializers.zeros_init()
fan_in_normal = nnx.initializers.lecun_normal()
