"""The flag `--plan` of the commands that enhance and train, and the flags that go with it."""

from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from venhancer_jax.errors import InputError

if TYPE_CHECKING:
    from venhancer_jax.planning.report import Plan

# Flags that go with `--plan`.
TRAIN_FLAGS = ("plan", "plan_json", "plan_effort")
SAMPLE_FLAGS = (*TRAIN_FLAGS, "plan_clip")
EFFORTS = ("full", "quick")


def plan_sample(config: ConfigDict, values: dict[str, str]) -> int:
    """Plans an enhancement; returns the exit code, 0 if it fits and 1 if not.

    Args:
      config: config of `enhancement_config`.
      values: values of `SAMPLE_FLAGS`.

    Raises:
      InputError: a wrong value.
    """
    from venhancer_jax.planning.sampling import plan_sampling
    from venhancer_jax.planning.topology import compile_on_processor, find_topology

    compile_on_processor()
    topology = find_topology(values["plan"])
    plan = plan_sampling(config, topology, values["plan_clip"], quick=_is_quick(values))
    return _report(plan, values)


def plan_train(config: ConfigDict, values: dict[str, str]) -> int:
    """Plans a training; returns the exit code, 0 if it fits and 1 if not.

    Args:
      config: config of `training_config`.
      values: values of `TRAIN_FLAGS`.

    Raises:
      InputError: a wrong value.
    """
    from venhancer_jax.planning.topology import compile_on_processor, find_topology
    from venhancer_jax.planning.training import plan_training

    compile_on_processor()
    plan = plan_training(config, find_topology(values["plan"]), quick=_is_quick(values))
    return _report(plan, values)


def check_flags(values: dict[str, str]) -> bool:
    """Tells whether a plan is requested.

    Raises:
      InputError: flags of a plan without `--plan`, or a wrong value.
    """
    others = [name for name, value in values.items() if name.startswith("plan_") and value]
    if others and not values["plan"]:
        raise InputError(f"--{others[0]} goes with --plan=TOPOLOGY, such as --plan=v5e-8")
    _is_quick(values)
    return bool(values["plan"])


def _is_quick(values: dict[str, str]) -> bool:
    effort = values.get("plan_effort") or EFFORTS[0]
    if effort not in EFFORTS:
        raise InputError(f"plan_effort {effort!r}: expected one of {', '.join(EFFORTS)}")
    return effort == "quick"


def _report(plan: "Plan", values: dict[str, str]) -> int:
    from venhancer_jax.planning.report import to_text, write_json

    print(to_text(plan), flush=True)
    if values["plan_json"]:
        try:
            write_json(plan, values["plan_json"])
        except OSError as error:
            raise InputError(
                f"plan_json {values['plan_json']}: cannot be written ({error.strerror})"
            ) from error
    return 0 if plan.fits else 1
