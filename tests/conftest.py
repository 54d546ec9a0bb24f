import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile more than they compute.
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"

from venhancer_jax.startup import use_compilation_cache

use_compilation_cache()
