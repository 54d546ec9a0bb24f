"""The keys that every training config has."""

from ml_collections import ConfigDict, config_dict


def training_config() -> ConfigDict:
    """All keys with their defaults; a config file changes some and locks it."""
    config = ConfigDict()
    config.seed = 0
    # What is learned: `diffusion` (the paper's), `one_step`, or `autoencoder` (the VAE).
    config.objective = "diffusion"
    # Networks: `debug`, `tiny`, `demo` or `venhancer`; weight folders bring their own sizes.
    config.preset = "tiny"
    config.prior = ""  # weight folder of UNet (and ControlNet); empty: fresh weights
    config.vae = ""
    config.text = ""
    config.trainable = "controlnet"  # or "all"
    config.copy_prior = True  # start the ControlNet as a copy of the prior's encoder
    config.dtype = "auto"  # of activations; parameters that train are float32
    config.remat = "none"  # what a gradient keeps: `none`, `dots` or `blocks`
    # Weights of the parts of the loss; of `diffusion` there is only one.
    config.loss = ConfigDict({"latent": 1.0, "pixel": 1.0, "perceptual": 0.0, "kl": 1e-6})
    config.one_step_start = 80  # time step that the sampler of `one_step` starts from
    # Data: a prepared data set, a folder of videos, one of latents (`training.precompute`), or
    # "synthetic".
    config.data = "synthetic"
    config.workers = 0
    config.batch = 4  # of all processes together
    config.frames = 9
    config.height = 64
    config.width = 64
    config.fps = config_dict.placeholder(str)
    # Augmentation, see `data.augment.AugmentConfig`.
    config.augment = ConfigDict(
        {
            "shrink": True,
            "strides": tuple(range(1, 9)),
            "scales": tuple(float(s) for s in range(1, 9)),
            "interpolation": "previous",
            "down": "bilinear",
            "noise_levels": (1, 300),
            "real_world": 0.0,
        }
    )
    # Optimiser.
    config.steps = 1000
    config.learning_rate = 1e-5
    config.warmup_steps = 100
    config.clip_norm = 1.0
    config.weight_decay = 0.01
    config.accumulate = 1
    config.cosine_decay = False  # of the learning rate to zero at the last step
    config.ema_decay = 0.9999
    # Devices along each axis; -1 is the rest.
    config.mesh = ConfigDict({"data": -1, "fsdp": 1, "context": 1})
    config.distributed = False  # several hosts: TPU pods, Slurm
    # Several processes elsewhere: `host:port` of the first, this one's number, how many there are.
    config.coordinator = ""
    config.process_id = 0
    config.process_count = 1
    # What is kept.
    config.compilation_cache = ""  # folder of compiled programs, also gs://; empty: the user's own
    config.compile_effort = 0.0  # down to -1: compiles in a quarter of the time, may run slower
    config.log_every = 50
    config.save_every = 1000
    config.weights_dtype = "float32"  # of the weight folder at the end: also float16
    config.keep = 3
    config.keep_every = config_dict.placeholder(int)
    config.peak_tflops = 0.0  # of one device; 0: as its name says, where it is known
    # Validation: every so many steps (0: never) and at the end, on clips of its own.
    config.validate_every = 0
    config.validate_data = ""  # as `data`; empty: no validation
    config.validate_clips = 4
    config.validate_steps = 15  # of the sampler, for the pictures
    # A profile of so many steps from this one on; 0: none.
    config.profile_from = 0
    config.profile_steps = 3
    return config
