"""The page's script in one piece: a small module system, held to what JavaScript itself does with modules."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from leaderboard.page.bundle import SCRIPT, bundled
from leaderboard.page.shapes import SHAPES

NODE = shutil.which("node")
TESTS = Path(__file__).parent / "script"


def version() -> int:
    found = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.findall(r"\d+", found)[0])


@pytest.fixture
def node() -> str:
    if NODE is None:
        pytest.skip("node is not installed")
    if version() < 20:
        pytest.skip(f"node is older than 20: {version()}")
    return NODE


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.mjs").write_text(text)
    return folder


def run(node: str, *words: str) -> str:
    done = subprocess.run([node, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_logic_of_the_page(node: str) -> None:
    """Sorting, filters, addresses, ticks and numbers: tests of the modules, run by node itself."""
    run(node, "--test", *map(str, sorted(TESTS.glob("*.test.mjs"))))


def test_a_bundle_does_what_its_modules_do(tmp_path: Path, node: str) -> None:
    folder = write(
        tmp_path,
        base='export let count = 0;\nexport function add(n) {\n  count += n;\n}\nconst own = "base";\n',
        left='import { add } from "./base.mjs";\n\nexport const left = () => add(2);\n',
        main='import {\n  add,\n  count,\n} from "./base.mjs";\n'
        'import { left } from "./left.mjs";\n\nleft();\nadd(40);\nconsole.log(count);\n',
    )
    script = folder / "bundle.cjs"
    script.write_text(f'"use strict";(() => {{\n{bundled(folder)}\n}})();')
    assert run(node, str(script)) == run(node, str(folder / "main.mjs")) == "42\n"


def test_every_module_is_in_the_page_once_behind_those_it_needs() -> None:
    text = bundled()
    places = {path.name: text.index(f"// {path.name}\n") for path in SCRIPT.glob("*.mjs")}
    assert len(re.findall(r"^// [a-z]+\.mjs$", text, re.MULTILINE)) == len(places)
    for path in SCRIPT.glob("*.mjs"):
        for other in re.findall(r'from "\./([a-z]+\.mjs)"', path.read_text(encoding="utf-8")):
            assert places[other] < places[path.name]
    assert "<!--" not in text
    assert "</script" not in text


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            {
                "main": 'import { a } from "./a.mjs";\n',
                "a": 'import { b } from "./main.mjs";\nexport const a = 1;\n',
            },
            r"import each other: main\.mjs > a\.mjs > main\.mjs",
        ),
        (
            {"main": 'import { a } from "./a.mjs";\n', "a": "const a = 1;\n"},
            r"imports a, which a\.mjs does not",
        ),
        ({"main": 'import { a as b } from "./a.mjs";\n', "a": "export const a = 1;\n"}, "imports a as b"),
        ({"main": 'import * as a from "./a.mjs";\n', "a": ""}, r"in another form: import \* as a"),
        ({"main": 'import { a } from "./a.mjs";', "a": "export const a = 1;\n"}, "in another form"),
        ({"main": "export default 1;\n"}, "in another form: export default"),
        ({"main": "const a = 1;\nexport { a };\n"}, "in another form: export { a }"),
        (
            {
                "main": 'import { a } from "./a.mjs";\nconst own = 1;\n',
                "a": "export const a = 1;\nlet own = 2;\n",
            },
            r"a\.mjs and main\.mjs both declare own",
        ),
        ({"main": "const [a, b] = [1, 2];\n"}, "declares several names at once"),
    ],
)
def test_what_cannot_be_put_in_one_piece_is_refused(
    tmp_path: Path, modules: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        bundled(write(tmp_path, **modules))


def test_the_script_reads_every_name_that_the_data_lists() -> None:
    text = bundled()
    for shape, names in SHAPES.items():
        assert f'named("{shape}"' in text
        assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
