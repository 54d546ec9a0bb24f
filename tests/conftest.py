import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from venhancer_jax.startup import use_compilation_cache

use_compilation_cache()
