"""Wrong inputs of VEnhancer."""

from benchmarks.wrong_inputs.case import Case
from benchmarks.wrong_inputs.shared import CLIP, SMALL_VAE, WrongInputs


def _case(settings: str, message: str) -> Case:
    return Case(" ".join(f"--config.{each}" for each in settings.split()), message)


INPUTS = WrongInputs(
    weights={f"weights/{role}": role for role in ("venhancer", "vae", "text")},
    arguments={
        "sample": [
            "--config=venhancer",
            f"--config.input={CLIP}",
            "--config.output=out.mp4",
            "--config.checkpoint=weights/venhancer",
            "--config.vae_checkpoint=weights/vae",
            "--config.text_checkpoint=weights/text",
            "--config.max_frames=2",
            "--config.steps=2",
        ],
        "train": ["--config=train_debug", "--workdir=run", "--config.steps=1"],
    },
    cases=(
        _case("version=v3", "version 'v3': expected"),
        _case("checkpoint=weights", "weights holds no converted weights"),
        _case("checkpoint=weights/vae", "holds the weights of 'vae', not of 'venhancer'"),
        _case("vae_checkpoint=weights/text", "holds the weights of 'text', not of 'vae'"),
        _case("checkpoint=text.mp4", "text.mp4 is not a whole PyTorch checkpoint"),
        _case(f"checkpoint={SMALL_VAE}", "it looks like a checkpoint of 'vae'"),
        _case("noise_aug=301", "noise_aug 301: expected a whole number from 0 to 300"),
        _case("solver_mode=slow", "solver_mode 'slow': expected one of fast, normal"),
        Case("--config.augment.noise_levels=0,300", "noise_levels", "train"),
        Case(f"venhancer {SMALL_VAE} to", "it looks like a checkpoint of 'vae'", "convert"),
    ),
)
