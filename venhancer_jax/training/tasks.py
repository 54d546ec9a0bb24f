"""What a config trains: an objective, its parameters, frozen networks."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from venhancer_jax import weights
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.networks import stored_config
from venhancer_jax.pipelines.registry import find_system, merged
from venhancer_jax.sharding.mesh import device_mesh, replicated
from venhancer_jax.sharding.params import fsdp_sharding
from venhancer_jax.sharding.processes import fetch_to_host
from venhancer_jax.training.initialization import init_sharded_params
from venhancer_jax.training.loss import perceptual_params
from venhancer_jax.training.objective import Batch, Frozen, Group, Objective


@dataclasses.dataclass(frozen=True)
class Source:
    """A network, and where its parameters come from.

    Attributes:
      config: sizes of the network.
      network: network without parameters.
      folder: weight folder, or empty for fresh parameters.
    """

    config: Any
    network: FunctionalModule
    folder: str


@dataclasses.dataclass(frozen=True)
class Sample:
    """A clip three times, uint8 `[F, H, W, 3]` each.

    Attributes:
      input: low-quality clip, at the size of the target.
      output: result of the networks.
      target: clip to compare with.
    """

    input: np.ndarray
    output: np.ndarray
    target: np.ndarray


# Makes a sample of one training example without its batch axis.
Sampler = Callable[[Mapping[str, np.ndarray]], Sample]


class MakeSampler(Protocol):
    """Creates a sampler for some parameters."""

    def __call__(
        self, params: Mapping[str, Params], *, mesh: Mesh, steps: int, interpolation: Any
    ) -> Sampler:
        """Creates the sampler.

        Args:
          params: parameters of each network of the task, sharded over the mesh.
          mesh: devices of the run, all of which take part.
          steps: number of steps of the solver, where the objective has no number of its own.
          interpolation: start of frames between key frames, as in training.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What a run trains.

    Attributes:
      name: network that trains, by its name in weight folders.
      sources: all networks by name.
      objective: loss to descend.
      params: parameters that train, at the start.
      frozen: all other parameters, by network; "denoiser" are those of the network that trains.
      groups: parts of `params` with an optimizer of their own; they are no parameters of `name`.
      sampler: creates the sampler of validation pictures; None for no pictures.
      encode: function `(frozen, batch, key) -> arrays [B, ...]` that computes the parts of a batch
        that can be stored; None where nothing can.
      finish: function `(config, params, batches) -> config` that completes the sizes stored with
        the weights at the end; None to keep them.
    """

    name: str
    sources: Mapping[str, Source]
    objective: Objective
    params: Params
    frozen: Frozen
    groups: tuple[Group, ...] = ()
    sampler: MakeSampler | None = None
    encode: Callable[[Frozen, Batch, jax.Array], dict[str, jax.Array]] | None = None
    finish: Callable[[Any, Params, Any], Any] | None = None

    @property
    def source(self) -> Source:
        """Returns the network that trains."""
        return self.sources[self.name]

    def all_params(self, params: Params) -> Params:
        """Returns all parameters of the network that trains: `params` and its frozen ones."""
        others = {name for group in self.groups for name in group.select(params)}
        trained = {name: x for name, x in params.items() if name not in others}
        return trained | dict(self.frozen.get("denoiser", {}))

    def params_by_network(self, params: Params) -> dict[str, Params]:
        """Returns all parameters of every network, with `params` for those that train."""
        return {
            name: self.all_params(params) if name == self.name else dict(self.frozen[name])
            for name in self.sources
        }


@dataclasses.dataclass(frozen=True)
class ObjectiveSpec:
    """A registered objective.

    Attributes:
      build: creates the task of a config.
      needs_frames: tells whether a config needs pixels, so that data cannot be latents.
      pixels_of_flow: returns the rows and columns of pixels to each vector of the flows to a key
        frame that examples have; 0 for examples without flows.
    """

    build: Callable[[ConfigDict, "ParamLoader"], Task]
    needs_frames: Callable[[ConfigDict], bool] = lambda config: True
    pixels_of_flow: Callable[[ConfigDict], int] = lambda config: 0


def objective_spec(config: ConfigDict) -> ObjectiveSpec:
    """Returns the objective that a config names, of those that its system registers.

    Raises:
      InputError: no such system, preset or objective.
    """
    presets = find_system(config.system).presets
    if presets:
        check_choice("preset", config.preset, presets)
    found = {
        name: spec
        for (system, name), spec in merged("training", "OBJECTIVES").items()
        if system == config.system
    }
    check_choice("objective", config.objective, sorted(found))
    return found[config.objective]


def task_of(config: ConfigDict, mesh: Mesh | None = None, *, abstract: bool = False) -> Task:
    """Creates the task of a config, with all parameters on the mesh.

    Args:
      config: config of `training_config`.
      mesh: devices to train on, by default one. The network that trains is split over `fsdp`, its
        frozen parameters too; the others are stored on every device.
      abstract: use a `jax.ShapeDtypeStruct` for each parameter; the devices need not exist.

    Raises:
      InputError: a wrong value, or missing weights.
    """
    spec = objective_spec(config)
    mesh = mesh or device_mesh({}, jax.local_devices()[:1])
    return spec.build(config, ParamLoader(config, mesh, abstract))


def find_source(config: ConfigDict, role: str, folder: str, **runtime: Any) -> Source:
    """Finds a network in a weight folder or, without one, in the preset of a config.

    Args:
      config: config of `training_config`.
      role: role of the network in the system.
      folder: weight folder, or empty.
      **runtime: runtime fields of the network's config, such as `dtype`.

    Raises:
      InputError: no weights there, or those of another network.
    """
    if folder:
        sizes = stored_config(role, folder, **runtime)
    else:
        preset = find_system(config.system).presets[config.preset]
        sizes = dataclasses.replace(preset[role], **runtime)
    kind = "no_text" if isinstance(sizes, NullTextConfig) else role
    return Source(sizes, catalog.build(kind, sizes), folder)


@dataclasses.dataclass(frozen=True)
class ParamLoader:
    """Loads, initializes, or describes parameters where they are stored on the mesh.

    Attributes:
      config: config of the run.
      mesh: devices of the run.
      abstract: use shapes in place of arrays.
    """

    config: ConfigDict
    mesh: Mesh
    abstract: bool

    def params(
        self,
        source: Source,
        number: int,
        *,
        sharded: bool,
        names: Callable[[str], bool] = lambda name: True,
        fresh: bool = False,
    ) -> Params:
        """Returns float32 parameters of a network; all processes have to call this together.

        Args:
          source: network and weight folder.
          number: index of the network, by which fresh parameters of networks differ.
          sharded: split over `fsdp`; else stored on every device.
          names: tells which parameters are wanted.
          fresh: initialize although there is a folder.
        """
        shapes = {n: x for n, x in source.network.shapes.items() if names(n)}
        whole = dict.fromkeys(shapes, replicated(self.mesh))
        shardings = fsdp_sharding(self.mesh, shapes) if sharded else whole
        if self.abstract:
            return _abstract(shapes, shardings)
        if source.folder and not fresh:
            return weights.load_weights(source.folder, shapes, sharding=shardings)
        key = jax.random.fold_in(jax.random.key(self.config.seed), number)
        return init_sharded_params(source.network, key, shardings)

    def perceptual(self) -> dict[str, Params]:
        """Returns the parameters of LPIPS by the name "perceptual", if the config weighs it."""
        if not self.config.loss.perceptual:
            return {}
        params = {name: np.asarray(x) for name, x in perceptual_params().items()}
        sharding = replicated(self.mesh)
        if self.abstract:
            return {"perceptual": _abstract(params, dict.fromkeys(params, sharding))}
        return {"perceptual": jax.device_put(params, sharding)}


def export(
    folder: epath.PathLike,
    name: str,
    config: catalog.Config,
    params: Mapping[str, jax.Array],
    *,
    dtype: str = "float32",
) -> None:
    """Writes a weight folder for `sample.py` and `train.py`; all processes have to call this.

    Args:
      folder: weight folder, local or remote, written by the first process.
      name: name of the network.
      config: sizes of the network.
      params: all parameters of the network.
      dtype: type to store them in.
    """
    items = ((n, fetch_to_host(x).astype(dtype)) for n, x in sorted(params.items()))
    if jax.process_index():
        for _ in items:  # the other processes contribute their shards
            pass
        return
    weights.save_weights(folder, items, {"network": name, "config": catalog.config_to_dict(config)})


def check_choice(name: str, value: str, allowed: Any) -> None:
    """Raises InputError if a setting has none of its allowed values."""
    if value not in allowed:
        raise InputError(f"{name} {value!r}: expected one of {', '.join(allowed)}")


def _abstract(shapes: Mapping[str, Any], shardings: Mapping[str, Any]) -> Any:
    return {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=shardings[name])
        for name, x in shapes.items()
    }
