"""The byte-pair tokenizer of CLIP (Radford et al. 2021, section 2.4)."""

import bz2
import functools
import html
from collections.abc import Sequence
from importlib import resources

import numpy as np
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from venhancer_jax.errors import InputError

START = 49406
END = 49407
# Names of the two in a text; whoever types them gets the tokens themselves.
SPECIAL = ("<start_of_text>", "<end_of_text>")
# Their names in tokenizers of transformers.
_ALIASES: dict[str, str] = dict(zip(("<|startoftext|>", "<|endoftext|>"), SPECIAL, strict=True))

# Contractions, runs of letters, single digits, runs of anything else but white space.
WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
WORD_END = "</w>"


def tokenize(texts: Sequence[str], *, length: int = 77, pad: str = "") -> np.ndarray:
    """Converts texts to token numbers.

    Args:
      texts: any strings, also empty ones.
      length: number of tokens of a row; a longer text is cut, and still ends in the end token.
      pad: token after the end token, as `pad_token` names it in a tokenizer of transformers;
        wherever a text has it, it is that token too. Empty for number 0.

    Returns:
      int32 `[B, length]`: start token, words, end token, padding.

    Raises:
      TypeError: one string instead of several.
      InputError: a padding token that is not in the vocabulary.
    """
    if isinstance(texts, str):
        raise TypeError(f"tokenize({texts!r}): expected a list of texts, such as [{texts!r}]")
    tokenizer = _tokenizer(pad)
    rows = np.full((len(texts), length), pad_number(pad), np.int32)
    for row, text in zip(rows, texts, strict=True):
        words = tokenizer.encode(clean(text), add_special_tokens=False).ids[: length - 2]
        row[: len(words) + 2] = [START, *words, END]
    return rows


def pad_number(pad: str) -> int:
    """Returns the number of a padding token; 0 of the empty one.

    Raises:
      InputError: not in the vocabulary.
    """
    number = 0 if not pad else _tokenizer().token_to_id(_ALIASES.get(pad, pad))
    if number is None:
        raise InputError(f"pad token {pad!r}: expected a token of CLIP, such as ! or <|endoftext|>")
    return number


def find_cut_words(text: str, *, length: int = 77) -> str:
    """Returns the end of a text that `tokenize` cuts, from the first word that is not whole.

    Args:
      text: any string.
      length: tokens of a row.
    """
    cleaned = clean(text)
    encoding = _tokenizer().encode(cleaned, add_special_tokens=False)
    first = length - 2
    if len(encoding.ids) <= first:
        return ""
    start = encoding.word_ids.index(encoding.word_ids[first])
    return cleaned[encoding.offsets[start][0] :].strip()


def clean(text: str) -> str:
    """Repairs, unescapes and lower-cases a text, and collapses its spaces, as for the vocabulary.

    Args:
      text: any string.
    """
    import ftfy  # a tenth of a second, which models without text need not wait

    # Twice, because captions from web pages are often escaped twice: `&amp;lt;`.
    unescaped = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(unescaped.split()).lower()


@functools.cache
def _tokenizer(pad: str = "") -> Tokenizer:
    if pad in ("", *SPECIAL, *_ALIASES):
        return _plain_tokenizer()
    tokenizer = Tokenizer.from_str(_plain_tokenizer().to_str())
    tokenizer.add_special_tokens([pad])
    return tokenizer


@functools.cache
def _plain_tokenizer() -> Tokenizer:
    packed = resources.files("venhancer_jax.text").joinpath("clip_bpe_merges.txt.bz2")
    lines = bz2.decompress(packed.read_bytes()).decode().splitlines()
    merges = [(first, second) for first, second in (line.split(" ") for line in lines)]
    letters = _byte_letters()
    tokens = [*letters, *(letter + WORD_END for letter in letters)]
    tokens += [first + second for first, second in merges]
    tokens += SPECIAL
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix=WORD_END))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _byte_letters() -> list[str]:
    """Lists the visible letter of each byte, in the order of the vocabulary.

    Visible Latin-1 characters stand for themselves and come first; the others follow, each shown
    by the next letter from U+0100 on.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    visible += range(ord("®"), ord("ÿ") + 1)
    return [chr(byte) for byte in visible] + [chr(256 + i) for i in range(256 - len(visible))]
