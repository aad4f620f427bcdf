"""Statuses of the rows of a result."""

from __future__ import annotations

OK, VOICE_ONLY = SCORED = ("ok", "voice_only")  # of rows with scores; voice_only: no face was scored
NO_FACE, NO_FRAME, NO_VOICE, FROZEN, TURNED = "no_face", "no_frame", "no_voice", "frozen", "turned"
NO_PERSON = 0  # key of voice scores where no person was found: a voice is not assigned to one of several persons
OTHER_LANGUAGE = "other_language"  # of a sentence, which is not scored
