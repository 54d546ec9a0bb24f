"""The replays by system and kind of recording.

The parity module of a system (`SystemSpec.parity`) offers three dictionaries:

  KINDS    (system, kind) -> function from a recording to its cases
  RECIPES  system -> function from the name and shape of a tensor to generated weights
  TABLES   key of a JSON file -> (system, kind)
"""

from collections.abc import Callable

from venhancer_jax.convert.parity import shared
from venhancer_jax.convert.parity.case import Case
from venhancer_jax.convert.parity.recording import Recording
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import registry


def find_replay(recording: Recording) -> Callable[[Recording], list[Case]]:
    """Finds the replay of a recording: that of its system, or else the one that systems share.

    Raises:
      InputError: no replay of that kind.
    """
    replays = registry.merged("parity", "KINDS")
    replay = replays.get((recording.system, recording.kind)) or shared.KINDS.get(recording.kind)
    if replay is None:
        raise InputError(f"unknown kind {recording.kind!r} of system {recording.system!r}")
    return replay
