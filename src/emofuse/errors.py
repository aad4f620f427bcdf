"""Errors that a user can cause. Each message is one line: where, what was found, what to do.

Any other exception is a bug of emofuse and keeps its traceback.
"""


class EmofuseError(Exception):
    """Base class of the errors that emofuse raises on purpose; the command line prints them and exits with code 2."""


class ShapeError(EmofuseError, ValueError):
    """Arrays, timelines or labels do not fit together."""


class LabelError(EmofuseError, ValueError):
    """Label names are unknown, missing or ambiguous."""


class MediaError(EmofuseError):
    """A video or audio file cannot be read."""


class BundleError(EmofuseError):
    """A bundle is unknown, damaged or inconsistent."""


class WeightsError(EmofuseError):
    """Weights are missing, cannot be downloaded, or have the wrong checksum."""


class DataError(EmofuseError):
    """A data set does not have the expected layout."""


class OutputError(EmofuseError):
    """A result cannot be written."""


class SettingsError(EmofuseError, ValueError):
    """An option or setting has an invalid value."""


class LostTaskError(EmofuseError):
    """The process or machine that worked on a task was lost."""
