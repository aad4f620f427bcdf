"""A corpus that emofuse makes itself, in the layout and with the warts of Aff-Wild2, which may not be shipped.

Drawn people talk, alone or in pairs; what they feel is in their face, in their voice, or in both.
"""

from emofuse.synthetic.corpus import Corpus, make_corpus

__all__ = ["Corpus", "make_corpus"]
