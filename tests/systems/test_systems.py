from __future__ import annotations

import subprocess
import sys

import pytest

from emofuse.core.settings import with_settings
from emofuse.errors import SettingsError
from emofuse.systems import SYSTEMS, WORDS_SYSTEMS, system
from emofuse.systems.paper import TABLE1, table_row

WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "numba", "h5py"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""


def test_all_systems_are_listed_in_an_installation_without_torch():
    code = f"{WITHOUT_TORCH}\nfrom emofuse.cli.main import main\nsys.argv = ['emofuse', 'systems']\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "default",
        "default-face",
        "face-detector",
        "active-speaker",
        *SYSTEMS,
        *WORDS_SYSTEMS,
    ]


def test_every_system_has_its_own_name_and_digest():
    assert all(name == definition.name for name, definition in SYSTEMS.items())
    assert len({s.digest for s in SYSTEMS.values()}) == len(SYSTEMS)


def test_the_rows_of_table_1_are_systems_or_fusions_of_systems():
    assert len(TABLE1) == 10
    for row in TABLE1.values():
        assert set(row.systems) <= set(SYSTEMS)
        assert bool(row.method) == (len(row.systems) > 1)


def test_an_unknown_system_or_row_suggests_the_nearest():
    with pytest.raises(SettingsError, match=r"system 'vggface2-svn': unknown \(did you mean 'vggface2-svm'\?\)"):
        system("vggface2-svn")
    with pytest.raises(SettingsError, match=r"row 'mcwf-bets': unknown \(did you mean 'mcwf-best'\?\)"):
        table_row("mcwf-bets")


def test_a_setting_of_a_system_changes_its_digest():
    definition = system("cnn1d-lstm")
    assert with_settings(definition, {"windows.segments": "20"}).digest != definition.digest
