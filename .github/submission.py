"""Judge the archives that a pull request adds or changes: what the workflow runs, and anybody at home.

    python .github/submission.py --base origin/main --out build/submission

Writes comment.md (what is wrong, or what changes on the boards) and leaderboard.html. Ends with code 1 where
something is wrong. Needs git, and SpikeMark without PyTorch.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = "leaderboard/reference/submitted"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.zip")  # what no shell and no Markdown reads otherwise
SPIKEMARK = [sys.executable, "-m", "benchmarks.cli"]
LONGEST = 60_000  # characters of a comment


def git(*arguments: str) -> bytes:
    """What git answers; ends where it cannot."""
    done = subprocess.run(["git", *arguments], check=False, capture_output=True)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()
        sys.exit(f"git {arguments[0]} failed: {why}\nIs --base a branch of this clone? `git fetch` gets it.")
    return done.stdout


def changed(base: str) -> dict[str, str]:
    """Path -> what became of it since the branch left `base`: "A" added, "M" changed, "D" removed."""
    answer = git("diff", "--name-status", "--no-renames", "-z", f"{base}...HEAD")
    fields = answer.decode(errors="surrogateescape").split("\0")
    return {path: what for what, path in zip(fields[::2], fields[1::2], strict=False)}


def judge(path: str, what: str, base: str, out: Path) -> tuple[bool, str]:
    """Whether an archive is sound, and what to say of it in Markdown."""
    folder, _, name = path.rpartition("/")
    if folder != FOLDER or NAME.fullmatch(name) is None:
        shown = ascii(path).translate({ord(sign): "?" for sign in "`<>|@"})
        return False, (
            f"`{shown}` is not sound yet: archives lie in `{FOLDER}/` itself, and their names are letters, "
            "digits, `.`, `_` and `-`, ending in `.zip`. Name it after your lab."
        )
    if what == "D":
        return False, f"`{path}` is removed: say why, a maintainer has to agree."
    words = [*SPIKEMARK, "validate", path, "--difference", str(out / "difference.md")]
    if what != "A":
        before = out / "base.zip"
        before.write_bytes(git("show", f"{base}:{path}"))
        words += ["--base", str(before)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).replace("```", "` ` `").strip()
    difference = out / "difference.md"
    board = difference.read_text(encoding="utf-8") if difference.exists() else ""
    difference.unlink(missing_ok=True)
    answer = "is sound" if done.returncode == 0 else "is not sound yet"
    return done.returncode == 0, f"`{path}` {answer}.\n\n```text\n{said}\n```\n\n{board}"


def judge_each(archives: dict[str, str], base: str, out: Path) -> list[tuple[bool, str]]:
    """Judge one archive after the other, each beside those that were found sound; the others lie aside.

    An archive that cannot be read would stop the check of all others, and the page.
    """
    aside = out / "aside"
    aside.mkdir(parents=True, exist_ok=True)
    places = {path: aside / str(number) for number, path in enumerate(sorted(archives))}
    for path, place in places.items():
        place.unlink(missing_ok=True)
        if os.path.lexists(path):
            Path(path).rename(place)
    found = []
    for path, place in places.items():
        if os.path.lexists(place):
            place.rename(path)
        sound, said = judge(path, archives[path], base, out)
        found.append((sound, said))
        if not sound and os.path.lexists(path):
            Path(path).rename(place)
    return found


def put_back(archives: dict[str, str], out: Path) -> None:
    """Undo what `judge_each` moved."""
    for number, path in enumerate(sorted(archives)):
        place = out / "aside" / str(number)
        if os.path.lexists(place):
            place.rename(path)
    if (out / "aside").is_dir():
        (out / "aside").rmdir()


def write_page(path: Path, nothing: Path) -> None:
    """The page of all archives that lie in the repository now; where it fails, the reason is said."""
    words = [*SPIKEMARK, "leaderboard", "--html", str(path)]
    references_are_enough = {**os.environ, "SPIKEMARK_RESULTS": str(nothing)}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=references_are_enough)
    if done.returncode:
        print(f"the page was not written: {done.stderr.strip()}", file=sys.stderr)


def main() -> None:
    """Judge, write, and end with the right code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="origin/main", help="branch that the pull request goes to")
    parser.add_argument("--out", type=Path, default=Path("build/submission"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    files = changed(options.base)
    archives = {
        path: what
        for path, what in files.items()
        if path.startswith(f"{FOLDER}/") and path.lower().endswith(".zip")
    }
    others = sorted(set(files) - set(archives))
    try:
        found = judge_each(archives, options.base, options.out)
        write_page(options.out / "leaderboard.html", options.out / "nothing")  # with what is sound
    finally:
        put_back(archives, options.out)
    parts = [text for _, text in found] or ["No archive of records is added or changed here."]
    if archives and others:
        parts.append(
            f"{len(others)} other files change, too. Results come in a pull request of their own, please."
        )
    comment = "## What this changes on the boards\n\n" + "\n\n".join(parts)
    if len(comment) > LONGEST:
        comment = comment[:LONGEST] + "\n\n(cut)"
    (options.out / "comment.md").write_text(comment + "\n", encoding="utf-8")
    print(comment)
    if not all(sound for sound, _ in found) or (archives and others):
        sys.exit(1)


if __name__ == "__main__":
    main()
