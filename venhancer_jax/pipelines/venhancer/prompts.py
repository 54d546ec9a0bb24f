"""The texts that are encoded for a prompt."""

from venhancer_jax.pipelines.prompts import join_prompt
from venhancer_jax.pipelines.venhancer.options import ControlledOptions

# Every caption is followed by this in the released program, to the letter.
POSITIVE = (
    "Cinematic, High Contrast, highly detailed, taken using a Canon EOS R camera,   hyper detailed"
    " photo - realistic maximum detail, 32k, Color Grading, ultra HD, extreme meticulous"
    " detailing,  skin pore detailing, hyper sharpness, perfect without deformations."
)
# Negative prompt of the released program, to the letter.
NEGATIVE = (
    "painting, oil painting, illustration, drawing, art, sketch, oil painting, cartoon, CG Style,"
    " 3D render, unreal engine, blurring, dirty, messy, worst quality, low quality, frames,"
    " watermark, signature, jpeg artifacts, deformed, lowres, over-smooth"
)


def texts_of(options: ControlledOptions) -> list[str]:
    """Returns the texts of an enhancement: the prompt, and with guidance the negative prompt."""
    prompt = join_prompt(options.prompt, POSITIVE, separated=not options.quirks.join_without_space)
    negative = NEGATIVE if options.negative_prompt is None else options.negative_prompt
    return [prompt, negative] if options.guided else [prompt]
