"""Token numbers against those recorded from the reference implementation."""

import json
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.text import tokenizer
from venhancer_jax.text.tokenizer import END, START, clean, tokenize

GOLDEN = Path(__file__).parents[1] / "goldens" / "venhancer" / "tokens.json"


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def words(text: str) -> list[int]:
    """Token numbers between start and end."""
    (row,) = tokenize([text])
    end = int(np.argmax(row == END))
    assert row[0] == START
    assert (row[end + 1 :] == 0).all()
    return row[1:end].tolist()


def test_recorded_texts(golden: dict):
    tokens = tokenize(golden["texts"])
    assert tokens.dtype == np.int32
    assert tokens.shape == (13, 77)
    for text, row, expected in zip(golden["texts"], tokens, golden["tokens"], strict=True):
        assert row.tolist() == expected, text


def test_nothing_is_start_and_end_before_zeros():
    for text in ("", "  \n", "&nbsp;"):
        assert tokenize([text]).tolist() == [[START, END] + [0] * 75]


def test_no_texts():
    assert tokenize([]).shape == (0, 77)


def test_short_text():
    assert words("a good video") == [320, 886, 1455]


@pytest.mark.parametrize("count", [74, 75, 76, 400])
def test_long_text_is_cut_and_closed(count: int):
    (row,) = tokenize(["good " * count])
    kept = min(count, 75)
    assert row.tolist() == [START, *[886] * kept, END, *[0] * (75 - kept)]


def test_other_length():
    assert tokenize(["a good video"], length=4).tolist() == [[START, 320, 886, END]]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("café", [15304]),
        ("日本語", [39121, 44353, 34002, 508]),
        ("👍🏽", [43722]),
        # A letter that the vocabulary does not have: its three bytes.
        ("ⵣ naïve", [158, 113, 352, 1097, 35689, 563]),
        ("it's", [585, 568]),
        ("wait...what 2024", [1885, 678, 768, 273, 271, 273, 275]),
        ("ﬁne cats &amp;amp; dogs", [3797, 3989, 261, 3255]),
    ],
)
def test_numbers_of_open_clip(text: str, numbers: list[int]):
    assert words(text) == numbers


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("A  Good\tVideo\n", "a good video"),
        ("&lt;b&gt;", "<b>"),
        ("cats &amp;amp; dogs", "cats & dogs"),
        ("1 < 2 &amp;lt; 3", "1 < 2 < 3"),
        ("schÃ¶n", "schön"),
        ("“quoted”", '"quoted"'),
        ("ﬁne", "fine"),
    ],
)
def test_cleaning(text: str, same: str):
    assert clean(text) == same
    assert words(text) == words(same)


def test_words_are_split_as_the_vocabulary_was_trained():
    assert words("it's") == words("it 's")
    assert words("it's") != words("it ' s")
    assert words("2024") == words("2 0 2 4")
    assert words("wait...what") == words("wait ... what")
    assert words("...") != words(". . .")


def test_typed_special_tokens():
    assert tokenize(["<start_of_text> a <end_of_text>"])[0, :5].tolist() == [
        START,
        START,
        320,
        END,
        END,
    ]


def test_one_string_is_refused():
    with pytest.raises(TypeError, match="expected a list of texts"):
        tokenize("a good video")


@pytest.mark.parametrize("pad", ["!", "<|endoftext|>"])
def test_padding_is_that_of_transformers(pad: str):
    import transformers  # takes a second

    ours = json.loads(tokenizer._tokenizer().to_str())["model"]
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in ours["vocab"].items()}
    theirs = transformers.CLIPTokenizer(
        vocab=vocabulary, merges=[tuple(pair) for pair in ours["merges"]], pad_token=pad
    )
    # The padding token of Stable Diffusion 2 is an exclamation mark, which texts have too.
    texts = ["", "a cat!", "Wow!! best quality, extremely detailed", "long " * 50 + "! text " * 50]
    wanted = theirs(texts, padding="max_length", max_length=77, truncation=True).input_ids
    assert tokenize(texts, pad=pad).tolist() == wanted
    assert tokenize(texts).tolist() != wanted


def test_an_unknown_padding_token_is_refused():
    with pytest.raises(InputError, match=r"pad token '\[PAD\]'"):
        tokenize(["a"], pad="[PAD]")
