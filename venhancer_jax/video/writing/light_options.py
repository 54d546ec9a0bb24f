"""Mastering display and content light as options of encoders."""

from venhancer_jax.video.colour.picture_format import MasteringDisplay, PictureFormat

# Option, and names in its list of parameters.
_NAMES = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}


def light_options(library: str, picture: PictureFormat) -> dict[str, str]:
    """Returns the options of an encoder that store mastering display and content light.

    Args:
      library: FFmpeg's name of the encoder.
      picture: format of the pictures.

    Returns:
      Values by name; empty for a picture without them, and for an encoder that cannot store them.
    """
    if library not in _NAMES:
        return {}
    option, display, light = _NAMES[library]
    parts = []
    if picture.mastering_display is not None:
        fractions = library == "libsvtav1"
        parts.append(f"{display}={_display_text(picture.mastering_display, fractions)}")
    if picture.content_light is not None:
        parts.append(f"{light}={picture.content_light.max_cll},{picture.content_light.max_fall}")
    return {option: ":".join(parts)} if parts else {}


def _display_text(display: MasteringDisplay, fractions: bool) -> str:
    """Returns a mastering display in the form that encoders read, in fractions or in units."""
    place, light = (1, 1) if fractions else (50000, 10000)

    def number(value: float, unit: int) -> str:
        return f"{value:.6f}" if fractions else str(round(value * unit))

    red, green, blue = (f"({number(x, place)},{number(y, place)})" for x, y in display.primaries)
    white = f"({number(display.white[0], place)},{number(display.white[1], place)})"
    darkest, brightest = (number(value, light) for value in display.luminance)
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"
