"""Features of prompts, without the text encoder staying in memory."""

import collections
import logging
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.text.tokenizer import find_cut_words, tokenize

_CACHED_TEXTS = 1024
_log = logging.getLogger(__name__)


class TextFeatures:
    """Cached features of texts; the encoder is loaded for new texts only.

    A text encoder of 1.4 GiB works for a second per prompt, so it is freed afterwards.

    Attributes:
      config: sizes of the encoder.
    """

    def __init__(self, config: object, load: Callable[[], LoadedNetwork]):
        """Loads nothing yet.

        Args:
          config: sizes of the encoder.
          load: loads the encoder.
        """
        self.config = config
        self._load = load
        self._features: collections.OrderedDict[str, jax.Array] = collections.OrderedDict()

    def load(self) -> LoadedNetwork:
        """Loads the encoder."""
        return self._load()

    def __call__(self, texts: Sequence[str]) -> jax.Array:
        """Computes features `[B, L, D]` of B texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._features]
        if new:
            encoder = self.load()
            features = self.embed(encoder, self._tokens(new))
            self._features.update(zip(new, features, strict=True))
        found = jnp.stack([self._features[text] for text in texts])
        while len(self._features) > _CACHED_TEXTS:
            self._features.popitem(last=False)
        return found

    def embed(self, encoder: LoadedNetwork, tokens: np.ndarray) -> jax.Array:
        """Computes features `[B, L, D]` of tokens `[B, L]`."""
        return programs.embed_text(encoder.network, encoder.params, tokens)

    def _tokens(self, texts: Sequence[str]) -> np.ndarray:
        # The vocabulary takes half a second to load, and a model without text reads none.
        if isinstance(self.config, NullTextConfig):
            return np.zeros((len(texts), 0), np.int32)
        for text in texts:
            if cut := find_cut_words(text):
                _log.warning("prompt %r is too long: the text encoder does not see %r", text, cut)
        return tokenize(texts, pad=getattr(self.config, "pad_token", ""))
