"""Training of the bundled face detector: photographs labelled by a teacher, composed into canvases on the fly."""
