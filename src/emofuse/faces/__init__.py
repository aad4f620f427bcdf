"""Faces in pictures: where they are (detect), whose they are (track), and cut out alike (crop)."""
