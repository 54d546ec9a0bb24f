"""Initialisers of the networks."""

from flax import nnx

zeros = nnx.initializers.zeros_init()
