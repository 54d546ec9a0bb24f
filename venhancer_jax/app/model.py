"""The loaded system, which stays between jobs of the same weights."""

from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.cli.sample import load_system
from venhancer_jax.pipelines.config import mesh_of, system_of, weights_of
from venhancer_jax.pipelines.system import System
from venhancer_jax.startup import set_compile_effort, use_compilation_cache


class Model:
    """The system of the latest job.

    Attributes:
      loads: number of times that weights were loaded.
    """

    def __init__(self) -> None:
        self.loads = 0
        self._key: Any = None
        self._system: System | None = None

    def of(self, config: ConfigDict) -> System:
        """Returns the system of a config; loads it unless the latest job had the same.

        Raises:
          InputError: a checkpoint cannot be found, fetched or converted.
        """
        use_compilation_cache(config.compilation_cache or None)
        set_compile_effort(config.compile_effort)
        key = (system_of(config), repr(weights_of(config)), mesh_of(config))
        if self._system is not None and key == self._key:
            return self._system
        # The memory of the older weights is free before the new ones are read.
        self._key = self._system = None
        system = load_system(config)
        self._key, self._system = key, system
        self.loads += 1
        return system
