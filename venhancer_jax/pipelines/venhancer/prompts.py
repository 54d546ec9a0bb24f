"""The prompts that surround what a person asks for."""

# What every caption is followed by in the released VEnhancer program, to the letter.
POSITIVE = (
    "Cinematic, High Contrast, highly detailed, taken using a Canon EOS R camera,   hyper detailed"
    " photo - realistic maximum detail, 32k, Color Grading, ultra HD, extreme meticulous"
    " detailing,  skin pore detailing, hyper sharpness, perfect without deformations."
)
# What guidance leads away from, to the letter.
NEGATIVE = (
    "painting, oil painting, illustration, drawing, art, sketch, oil painting, cartoon, CG Style,"
    " 3D render, unreal engine, blurring, dirty, messy, worst quality, low quality, frames,"
    " watermark, signature, jpeg artifacts, deformed, lowres, over-smooth"
)

_PUNCTUATION = tuple(".,;:!?…。，、！？")


def join_prompt(prompt: str, positive: str = POSITIVE, *, official: bool) -> str:
    """The caption of a clip and the positive prompt as one text.

    Args:
      prompt: what a person wrote, possibly nothing.
      positive: what follows it, possibly nothing.
      official: join without a separator as the released program does, so that "a good video"
        becomes "a good videoCinematic, ...", whose middle is one word.

    Returns:
      By default, a space between the two where the prompt ends with punctuation, otherwise a
      comma and a space; one alone where the other is blank.
    """
    if official:
        return prompt + positive
    parts = [part.strip() for part in (prompt, positive) if part.strip()]
    separator = " " if parts and parts[0].endswith(_PUNCTUATION) else ", "
    return separator.join(parts)
