"""A page in the browser that enhances videos: `python -m venhancer_jax.app`."""
