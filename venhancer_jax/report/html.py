"""Pages from templates: styles and scripts inside, nothing else allowed."""

import base64
import functools
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from venhancer_jax import __version__
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_write

_PACKAGE, _FOLDER = "venhancer_jax.report", "templates"
_GENERATOR = "venhancer-jax report"
# The record of a page is near its beginning, and seldom longer.
_HEAD_BYTES = 256 * 1024
_RECORD = re.compile(rb'<script type="application/json" id="record">(.*?)</script>', re.DOTALL)


def render(template: str, record: dict[str, Any], **values: Any) -> bytes:
    """Renders a page, whose texts are escaped.

    Args:
      template: name of a template of this package.
      record: JSON values that `read_record` finds in the page.
      **values: values of the template.
    """
    style, script = _inline("style.css"), _inline("script.js")
    page = _environment().get_template(template).render(
        **values,
        record=record,
        style=Markup(style),
        script=Markup(script),
        policy="; ".join([
            "default-src 'none'",
            "img-src data:",
            "media-src data: blob:",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]),
        generator=f"{_GENERATOR} {__version__}",
    )  # fmt: skip
    # Names of files need not be text.
    return page.encode("utf-8", "replace")


def read_record(page: Path) -> dict[str, Any] | None:
    """Returns the record of a page; None for a file that is not a page of this package."""
    try:
        with page.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if _GENERATOR.encode() not in head:
            return None
        match = _RECORD.search(head) or _RECORD.search(page.read_bytes())
        record = json.loads(match[1]) if match else None
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def write_page(path: Path, content: bytes) -> None:
    """Writes a page; a file of the same name that is no page of this package stays.

    Raises:
      InputError: such a file, or a folder that cannot be written.
    """
    if path.exists() and read_record(path) is None:
        raise InputError(f"{path}: is no report, so that it is not replaced. Move it away")
    try:
        atomic_write(path, content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def _inline(name: str) -> str:
    return files(_PACKAGE).joinpath(_FOLDER, name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # stages stay in their order
    environment.filters |= {"clock": clock, "size": size, "span": span}
    return environment


def clock(seconds: float) -> str:
    """Formats a time in a clip: 1:02.50."""
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"


def span(seconds: float) -> str:
    """Formats a duration: 0.42 s, 42.0 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Formats a number of bytes: 740 KiB, 1.2 GiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
