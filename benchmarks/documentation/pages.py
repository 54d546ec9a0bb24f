"""Pages of the documentation, and the commands in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`((?:python (?:-m )?|venhancer-jax |\.ci/)[^`]+)`")


def commands_of(text: str) -> list[str]:
    """Lists the shell commands of a page: those of blocks, and those within sentences.

    Args:
      text: Markdown.

    Returns:
      Commands, one line each, without comments.
    """
    blocks = "".join(code for language, code in _BLOCK.findall(text) if language == "bash")
    spans = [" ".join(span.split()) for span in _SPAN.findall(_BLOCK.sub("", text))]
    return list(dict.fromkeys([*_statements(blocks), *spans]))


def blocks_of(text: str, language: str) -> list[str]:
    """Lists the code blocks of a page in a language."""
    return [code for found, code in _BLOCK.findall(text) if found == language]


def _statements(script: str) -> list[str]:
    """Joins lines of a shell script that belong together, and removes comments."""
    found, pending = [], ""
    for line in script.splitlines():
        pending += line.strip() if not pending else "\n" + line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip() + " "
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quotation goes on
            continue
        if words:
            found.append(re.sub(r"\s+#\s.*$", "", " ".join(pending.split())))
        pending = ""
    return found
