"""Which test rows `tfidf_exact` gets wrong: those with a word of the victim that the pool lacks?

    OMP_NUM_THREADS=1 python -m experiments.lacking_words

Asks the pipeline itself, without an oracle. The victim's vocabulary is looked at afterwards only.
"""

import torch

from clonecost.attacks._words import Questions
from clonecost.data.text_rows import decode, encode
from clonecost.data.text_words import words_in, words_of
from clonecost.data.texts import TextOptions, load_texts
from clonecost.types import as_pixels
from clonecost.victims.zoo.texts import text_pipeline

VICTIM, DATA, POOL = "topics-tfidf", "docs-topics", "docs-sentences"


def main() -> None:
    """Print the agreement on test rows with and without such words."""
    torch.set_num_threads(1)
    pipeline, test = text_pipeline(VICTIM), load_texts(DATA, "test")
    length = test.shape[0]
    pool = decode(load_texts(POOL, "train", TextOptions(longest=length, cut=True)).inputs)
    questions = Questions(
        texts=pool, candidates=words_of(pool), length=length, classes=len(test.classes), checks=20,
        remark=lambda sentence: print(sentence or "the check finds nothing"),
    )  # fmt: skip
    steps, queries = questions.steps(), 0
    texts = next(steps)
    try:
        while True:
            queries += len(texts)
            sent = decode(encode(texts, length, cut=True))
            texts = steps.send(torch.from_numpy(pipeline.predict_proba(sent)))
    except StopIteration:
        rows = decode(test.inputs)
    victim = torch.from_numpy(pipeline.predict_proba(rows))
    clone = questions.solution()(as_pixels(test.inputs)).softmax(1)
    same, gap = victim.argmax(1) == clone.argmax(1), (victim - clone).abs().amax(1)
    known = set(pipeline[0].vocabulary_)
    unasked = known - questions.asked
    lacking = torch.tensor([any(w in unasked for w in words_in(x)) for x in rows])
    print(f"{queries:,} queries; the pool lacks {len(unasked):,} of {len(known):,}")
    for said, part in (("lacking", lacking), ("asked", ~lacking)):
        print(f"{said}: {int(part.sum())} rows, agreement {float(same[part].double().mean()):.4f}, "
              f"largest gap {float(gap[part].max()):.1e}")  # fmt: skip


if __name__ == "__main__":
    main()
