"""Synthetic videos: talking heads drawn from numbers, as a sample video or as a corpus in the layout of Aff-Wild2.

They replace footage of real people, which may not be distributed.
"""

from emofuse.synthetic.corpus import Corpus, make_corpus

__all__ = ["Corpus", "make_corpus"]
