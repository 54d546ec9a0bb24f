"""Text encoders: tokens to the features that condition the diffusion networks."""
