"""Training of the bundled networks for active speakers: a mouth with its own voice against other mouths and voices."""
