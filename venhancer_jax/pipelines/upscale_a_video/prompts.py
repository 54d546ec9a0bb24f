"""The texts that are encoded for a clip."""

from venhancer_jax.pipelines.prompts import join_prompt
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions

# Negative prompt of the released program, to the letter.
NEGATIVE = "blur, worst quality"


def texts_of(options: UpscaleAVideoOptions) -> list[str]:
    """Returns the texts of an enhancement: the prompt, and with guidance the negative prompt."""
    separated = not options.quirks.join_without_space
    prompt = join_prompt(options.prompt, options.a_prompt, separated=separated)
    negative = NEGATIVE if options.negative_prompt is None else options.negative_prompt
    return [prompt, negative] if options.guided else [prompt]
