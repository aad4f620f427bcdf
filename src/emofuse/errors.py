"""The errors that a user can cause. Each message is one line: where, what was found, what to do.

Anything else that is raised is a defect of emofuse and keeps its traceback.
"""


class EmofuseError(Exception):
    """Base of all errors that emofuse raises on purpose; the command line prints it and exits with 2."""


class ShapeError(EmofuseError, ValueError):
    """Arrays, timelines or labels that do not fit each other."""


class LabelError(EmofuseError, ValueError):
    """Unknown, missing or ambiguous label names."""


class MediaError(EmofuseError):
    """A video or sound file that cannot be read."""


class BundleError(EmofuseError):
    """A bundle that is unknown, damaged or not what it says."""


class WeightsError(EmofuseError):
    """Weights that are missing, cannot be fetched, or have the wrong checksum."""


class DataError(EmofuseError):
    """A data set that is not laid out as expected."""


class OutputError(EmofuseError):
    """A result that cannot be written."""


class SettingsError(EmofuseError, ValueError):
    """An option or setting with a value that makes no sense."""


class LostTaskError(EmofuseError):
    """A task whose process or machine was lost."""
