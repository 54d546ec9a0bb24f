"""The texts that are encoded for a prompt."""

from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions

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

_PUNCTUATION = tuple(".,;:!?…。，、！？")


def texts_of(options: VEnhancerOptions) -> list[str]:
    """Returns the texts of an enhancement: the prompt, and with guidance the negative prompt."""
    prompt = join_prompt(options.prompt, separated=not options.quirks.join_without_space)
    negative = NEGATIVE if options.negative_prompt is None else options.negative_prompt
    return [prompt, negative] if options.guided else [prompt]


def join_prompt(prompt: str, positive: str = POSITIVE, *, separated: bool = True) -> str:
    """Joins the caption of a clip and the positive prompt to one text.

    Args:
      prompt: caption, possibly empty.
      positive: positive prompt, possibly empty.
      separated: whether a separator stands between the two; without, as in the released program,
        "a good video" becomes "a good videoCinematic, ...", whose middle is one word.

    Returns:
      Both texts, with a space between them where the caption ends with punctuation, otherwise a
      comma and a space; one text alone where the other is blank.
    """
    if not separated:
        return prompt + positive
    parts = [part.strip() for part in (prompt, positive) if part.strip()]
    separator = " " if parts and parts[0].endswith(_PUNCTUATION) else ", "
    return separator.join(parts)
