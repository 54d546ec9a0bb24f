import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Those of the compilation cache do: executables in files are new after every change of a source.
os.environ.setdefault("VENHANCER_JAX_EXECUTABLES", "0")

from venhancer_jax.startup import use_compilation_cache

use_compilation_cache()
