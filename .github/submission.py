"""Judge the archives that a pull request adds or changes: what the workflow runs, and anybody at home.

    python .github/submission.py --base origin/main --out build/submission

Writes comment.md (what is wrong, or what changes on the boards) and leaderboard.html. Ends with code 1 where
something is wrong. Needs git, and SpikeMark without PyTorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

FOLDER = "leaderboard/reference/submitted"
SPIKEMARK = [sys.executable, "-m", "benchmarks.cli"]
LONGEST = 60_000  # characters of a comment


def git(*arguments: str) -> bytes:
    """What git answers."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


def changed(base: str) -> dict[str, str]:
    """Path -> what became of it since the branch left `base`: "A" added, "M" changed, "D" removed."""
    fields = git("diff", "--name-status", "--no-renames", "-z", f"{base}...HEAD").decode().split("\0")
    return {path: what for what, path in zip(fields[::2], fields[1::2], strict=False)}


def judge(path: str, what: str, base: str, out: Path) -> tuple[bool, str]:
    """Whether an archive is sound, and what to say of it in Markdown."""
    if what == "D":
        return False, f"`{path}` is removed: say why, a maintainer has to agree."
    words = [*SPIKEMARK, "validate", path, "--difference", str(out / "difference.md")]
    if what == "M":
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


def main() -> None:
    """Judge, write, and end with the right code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="origin/main", help="branch that the pull request goes to")
    parser.add_argument("--out", type=Path, default=Path("build/submission"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    files = changed(options.base)
    archives = {
        path: what for path, what in files.items() if path.startswith(f"{FOLDER}/") and path.endswith(".zip")
    }
    others = sorted(set(files) - set(archives))
    found = [judge(path, what, options.base, options.out) for path, what in sorted(archives.items())]
    parts = [text for _, text in found] or ["No archive of records is added or changed here."]
    if archives and others:
        parts.append(
            f"{len(others)} other files change, too. Results come in a pull request of their own, please."
        )
    comment = "## What this changes on the boards\n\n" + "\n\n".join(parts)
    if len(comment) > LONGEST:
        comment = comment[:LONGEST] + "\n\n(cut)"
    (options.out / "comment.md").write_text(comment + "\n", encoding="utf-8")
    page = str(options.out / "leaderboard.html")
    nothing = {**os.environ, "SPIKEMARK_RESULTS": str(options.out / "nothing")}  # references are enough
    words = [*SPIKEMARK, "leaderboard", "--html", page]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=nothing)
    if done.returncode:
        print(f"the page was not written: {done.stderr.strip()}", file=sys.stderr)
    print(comment)
    if not all(sound for sound, _ in found) or (archives and others):
        sys.exit(1)


if __name__ == "__main__":
    main()
