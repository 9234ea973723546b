"""The reader's language: Chinese where the system speaks it or --lang zh says so, else English.

The texts in the code are English; zh_CN.po, beside this file and in practice/, has the others.
"""

import functools
import gettext
import io
import locale
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGS = [ROOT / "common" / "zh_CN.po", ROOT / "practice" / "zh_CN.po"]


def language() -> str:
    """ "zh" or "en": what --lang on the command line says, else what the system does."""
    asked = re.search(r"--lang[= ](\w+)", " ".join(sys.argv[1:]))
    if asked:
        return asked[1]
    said = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if not said and sys.platform == "win32":
        import ctypes

        number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
        said = locale.windows_locale.get(number, "")
    return "zh" if said.startswith("zh") else "en"


@functools.cache
def catalog(*paths: Path) -> gettext.NullTranslations:
    """The translations in these .po files."""
    import polib

    entries = polib.POFile()
    for path in paths:
        entries.extend(polib.pofile(str(path)) if path.exists() else [])
    entries.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    return gettext.GNUTranslations(io.BytesIO(entries.to_binary()))


def _(text: str, *catalogs: Path) -> str:
    """The text in the reader's language; as it is, where there is no translation."""
    return catalog(*(catalogs or CATALOGS)).gettext(text) if language() == "zh" else text


def page(prose, name):
    return prose
