"""Texts that are joined to a prompt."""

_PUNCTUATION = tuple(".,;:!?…。，、！？")


def join_prompt(prompt: str, positive: str, *, separated: bool = True) -> str:
    """Joins the caption of a clip and the positive prompt to one text.

    Args:
      prompt: caption, possibly empty.
      positive: positive prompt, possibly empty.
      separated: whether a separator stands between the two; without, as in the published programs,
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
