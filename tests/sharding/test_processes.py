"""Runs of several processes."""

import pytest
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.sharding.processes import initialize_distributed


def test_a_pod_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    def nothing_found(**settings: object) -> None:
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr("jax.distributed.initialize", nothing_found)
    config = ConfigDict({"distributed": True, "coordinator": ""})
    with pytest.raises(InputError, match=r"no TPU pod.*--config.distributed=False"):
        initialize_distributed(config)
