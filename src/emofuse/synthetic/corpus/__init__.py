"""A synthetic corpus in the layout of Aff-Wild2, including its data-quality problems.

Synthetic subjects talk, alone or in pairs; their face, their voice, or both express an emotion.
"""

from emofuse.synthetic.corpus.writer import LABEL_FOLDERS, Corpus, make_corpus

__all__ = ["LABEL_FOLDERS", "Corpus", "make_corpus"]
