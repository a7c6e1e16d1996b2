"""The page's script in one piece: its modules one after the other, each behind those that it imports.

The page has to work from a disk and to load nothing, so it cannot import. Its modules (script/*.mjs) are
ordinary ES modules, checked and tested as such by `tox run -e js`. Here only their import lines and the word
`export` are taken out. For that they keep to one form, `import { names } from "./module.mjs";` and `export`
before a declaration, and no two have a name in common; anything else is refused.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

SCRIPT = Path(__file__).parent / "script"
MAIN = "main.mjs"
_IMPORT = re.compile(r'^import \{([^{}]*)\} from "\./([\w.-]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|let|function|async function|class) )", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_DECLARED = re.compile(r"^(?:const|let|(?:async )?function\*?|class) (\w+)", re.MULTILINE)
_SEVERAL = re.compile(r"^(?:const|let) [\[{]", re.MULTILINE)


@cache
def bundled(folder: Path = SCRIPT, main: str = MAIN) -> str:
    """The modules of a folder that `main` needs, as one script.

    Raises:
        ValueError: a module imports in another form, what another does not export, or itself by detours; or
            two modules declare the same name.
    """
    order: list[str] = []
    texts: dict[str, str] = {}
    _collect(folder, main, [], order, texts)
    owners: dict[str, str] = {}
    for name in order:
        if _SEVERAL.search(texts[name]):
            raise ValueError(f"{name} declares several names at once, outside of functions")
        for declared in _DECLARED.findall(texts[name]):
            if declared in owners:
                raise ValueError(f"{owners[declared]} and {name} both declare {declared}")
            owners[declared] = name
    return "\n".join(f"// {name}\n{texts[name]}" for name in order)


def _collect(folder: Path, name: str, path: list[str], order: list[str], texts: dict[str, str]) -> None:
    """Add a module behind those that it imports."""
    if name in path:
        raise ValueError(f"modules import each other: {' > '.join([*path, name])}")
    if name in texts:
        return
    source = (folder / name).read_text(encoding="utf-8")
    for names, other in _IMPORT.findall(source):
        _collect(folder, other, [*path, name], order, texts)
        missing = {each.strip() for each in names.split(",") if each.strip()} - _exported(folder, other)
        if missing:
            raise ValueError(f"{name} imports {', '.join(sorted(missing))}, which {other} does not export")
    text = _EXPORT.sub("", _IMPORT.sub("", source))
    if found := _OTHER.search(text):
        raise ValueError(f"{name} imports or exports in another form: {found[0]}")
    texts[name] = text
    order.append(name)


def _exported(folder: Path, name: str) -> set[str]:
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return {found for line in lines if line.startswith("export ") for found in _DECLARED.findall(line[7:])}
