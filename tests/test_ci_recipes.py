"""The recipes for GitHub and GitLab: their shell is run as it is written, with a `gh` and a `curl` that take notes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fleets import CREDENTIALS, clean_environ, fleet_of, imeis
from warm import PRINTED

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "config/ci"
MARK = "<!-- licensesync plan -->"
STRICT = "set -eo pipefail\n"
"""How both services start bash."""


def recipe(name: str) -> Any:
    return yaml.safe_load((RECIPES / f"{name}.yaml").read_text())


GITHUB = recipe("github")
GITLAB = recipe("gitlab")


def step(name: str) -> str:
    """The shell of a step of GitHub's job that plans."""
    (found,) = (each["run"] for each in GITHUB["jobs"]["plan"]["steps"] if each.get("name") == name)
    return STRICT + str(found)


def scripts() -> Iterator[str]:
    for name in ("github", "github-apply"):
        for job in recipe(name)["jobs"].values():
            yield from (each["run"] for each in job["steps"] if "run" in each)
    for name in ("gitlab", "gitlab-apply"):
        for job in recipe(name).values():
            if "script" in job:
                yield "\n".join(job["script"])


@dataclass(frozen=True)
class Runner:
    """A machine of a CI service: a work tree on a branch of its own, and the programs that the recipes call."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def program(self, name: str, python: str) -> None:
        """A program of this name on the PATH."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable} -SE\nimport json, os, pathlib, sys\n{python}")
        path.chmod(0o755)

    def licensesync(self, code: int, words: str = "") -> None:
        """A licensesync that says these words and ends with this code."""
        self.program("licensesync", f"{_NOTE}print({words!r}, end='')\nsys.exit({code})\n")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        done = subprocess.run(["git", *who, *arguments], cwd=self.tree, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    async def run(self, script: str, **environ: str) -> tuple[int, str]:
        """Run a script as the service does; its exit code and what it has printed."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *("bash", "--noprofile", "--norc", "-c", script),
            cwd=self.tree,
            env={**clean_environ(), "PATH": path, "NOTES": str(self.folder / "notes"), **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        PRINTED.append(printed)
        return process.returncode or 0, printed.decode()

    def notes(self) -> list[Any]:
        """How the programs were called since this was asked last."""
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


_NOTE = "note = sys.argv[1:]\nprint(json.dumps(note), file=open(os.environ['NOTES'], 'a'))\n"
_OURS = "os.execv(sys.executable, [sys.executable, '-m', 'licensesync', *sys.argv[1:]])\n"
_GH = f"{_NOTE}if '--method' not in note: print(os.environ['COMMENTS'])\n"
_CURL = f"""{_NOTE}
told = dict(zip(note, note[1:]))
url = note[-1]
pages = json.loads(os.environ["COMMENTS"])
answer = {{"id": 7}}
if "page=" in url:
    page = int(url.rpartition("=")[2])
    answer = pages[page - 1]
    following = page + 1 if page < len(pages) else ""
    pathlib.Path(told["--dump-header"]).write_text(f"HTTP/2 200\\r\\nX-Next-Page: {{following}}\\r\\n\\r\\n")
pathlib.Path(told["--output"]).write_text(json.dumps(answer))
"""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    made = Runner(tmp_path)
    made.tree.mkdir()
    made.program("gh", _GH)
    made.program("curl", _CURL)
    return made


def on_github(runner: Runner, **more: str) -> Mapping[str, str]:
    names = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
    files = {name: str(runner.folder / name) for name in names}
    known = {"GITHUB_BASE_REF": "main", "GITHUB_REPOSITORY": "fleet/inventory", "NUMBER": "12"}
    return {**files, **known, "RUNNER_TEMP": str(runner.folder), **more}


def on_gitlab(comments: object) -> Mapping[str, str]:
    return {
        "CI_API_V4_URL": "https://gitlab.example/api/v4",
        "CI_MERGE_REQUEST_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "COMMENT_TOKEN": "glpat-of-a-test",
        "COMMENTS": json.dumps(comments),
    }


def planning_on_gitlab() -> str:
    """The job of a merge request without its first line, which installs."""
    return STRICT + "\n".join(GITLAB["licensesync-plan"]["script"][1:])


async def test_a_refused_removal_becomes_one_comment_on_github_and_fails_with_the_way_out(
    runner: Runner, tmp_path: Path
) -> None:
    runner.program("licensesync", _OURS)
    async with fleet_of(runner.tree, devices=30) as fleet:
        fleet.settings(mode="managed")
        fleet.inventory(imeis(0, 30))
        runner.git("init", "--quiet")
        runner.git("add", "--all")
        runner.git("commit", "--quiet", "--message", "all")
        runner.git("update-ref", "refs/remotes/origin/main", "HEAD")
        fleet.inventory(imeis(20, 30))
        planned = await runner.run(step("Plan"), **on_github(runner), **CREDENTIALS)
        assert fleet.writes() == 0
    assert planned[0] == 0, planned
    assert (tmp_path / "GITHUB_OUTPUT").read_text() == "code=3\n"
    refusal = json.loads((tmp_path / "plan.json").read_text())["pools"][0]["refusal"]
    assert refusal["asked"] == 20
    assert refusal["hash"] in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()

    bot = {"login": "github-actions[bot]"}
    others = [{"id": 1, "user": {"login": "ada"}, "body": MARK}, {"id": 2, "user": bot, "body": "hi"}]
    first = await runner.run(step("Comment"), **on_github(runner, COMMENTS=json.dumps([others])))
    ours = {"id": 3, "user": bot, "body": f"{MARK}\nan older plan"}
    second = await runner.run(step("Comment"), **on_github(runner, COMMENTS=json.dumps([others, [ours]])))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert (tmp_path / "comment.md").read_text().startswith(f"{MARK}\n### licensesync plan: refused\n")
    comments = "repos/fleet/inventory/issues/12/comments"
    told = ["--field", f"body=@{tmp_path}/comment.md"]
    assert [note for note in runner.notes() if "--method" in note] == [
        ["api", "--silent", "--method", "POST", comments, *told],
        ["api", "--silent", "--method", "PATCH", "repos/fleet/inventory/issues/comments/3", *told],
    ]

    ended = await runner.run(step("Verdict"), CODE="3")
    assert ended[0] == 3
    assert ended[1].startswith("::error::")
    assert "approvals:" in ended[1]


@pytest.mark.parametrize("code", [0, 1, 4, 6, 64])
async def test_github_s_job_ends_as_the_plan_did(runner: Runner, code: int) -> None:
    ended, printed = await runner.run(step("Verdict"), CODE=str(code))
    assert ended == code
    assert ("::error::" in printed) == (code != 0)


async def test_a_plan_that_could_not_be_made_is_said_instead_of_an_older_one(runner: Runner, tmp_path: Path) -> None:
    runner.licensesync(1)
    ended, printed = await runner.run(step("Plan"), **on_github(runner))
    assert ended == 0, printed
    assert re.fullmatch(r"::stop-commands::([0-9a-f]{32})\n(.*\n)*::\1::\n", printed), "nothing in between is a command"
    assert (tmp_path / "plan.md").read_text() == "### licensesync: there is no plan (exit 1); the job's log says why\n"


def note(number: int, author: int, body: str) -> dict[str, object]:
    """A comment as GitLab lists it; the token is that of the user 7."""
    return {"id": number, "author": {"id": author}, "body": body}


@pytest.mark.parametrize(
    ("pages", "code", "words", "request_", "address", "way_out"),
    [
        ([[]], 0, "a plan", "POST", "", ""),
        ([[]], 3, "a plan", "POST", "", "approvals:"),
        ([[note(1, 9, MARK)], [note(5, 7, f"{MARK}\nold")]], 4, "a plan", "PUT", "/5", "could not be read whole"),
        ([[note(4, 7, "something else")]], 64, "", "POST", "", "exit 64"),
    ],
)
async def test_gitlab_s_job_keeps_one_comment_and_ends_as_the_plan_did(
    runner: Runner, pages: object, code: int, words: str, request_: str, address: str, way_out: str
) -> None:
    runner.git("init", "--quiet", "--initial-branch=main")
    runner.git("commit", "--quiet", "--allow-empty", "--message", "all")
    runner.git("remote", "add", "origin", str(runner.tree))
    runner.licensesync(code, words)
    ended, printed = await runner.run(planning_on_gitlab(), **on_gitlab(pages))
    assert ended == code, printed
    assert way_out in printed
    base = "refs/remotes/origin/main"
    plan, *_, written = runner.notes()
    assert plan == ["plan", "--format", "markdown", "--base", base, "--out", "licensesync-plan.json"]
    assert runner.git("rev-parse", base) == runner.git("rev-parse", "HEAD")
    assert written[written.index("--request") + 1] == request_
    assert written[-1] == f"https://gitlab.example/api/v4/projects/3/merge_requests/12/notes{address}"
    (file,) = (each.removeprefix("body@") for each in written if each.startswith("body@"))
    assert Path(file).read_text() == f"{MARK}\n" + (
        words or "### licensesync: there is no plan (exit 64); the job's log says why\n"
    )
    assert runner.git("status", "--porcelain") == ""


async def test_without_the_daemon_the_newest_commit_is_applied_even_by_an_old_job(
    runner: Runner, tmp_path: Path
) -> None:
    remote = ("-C", str(tmp_path / "remote"))
    runner.git("init", "--quiet", "--initial-branch=main", remote[1])
    runner.git(*remote, "commit", "--quiet", "--allow-empty", "--message", "old")
    runner.git("clone", "--quiet", remote[1], ".")
    runner.git(*remote, "commit", "--quiet", "--allow-empty", "--message", "new")
    runner.licensesync(5)
    (job,) = recipe("gitlab-apply").values()
    ended, printed = await runner.run(STRICT + "\n".join(job["script"]), CI_DEFAULT_BRANCH="main")
    assert ended == 5, printed
    assert runner.notes() == [["apply", "--yes", "--out", "licensesync-report.json"]]
    assert runner.git("log", "-1", "--format=%s") == "new"

    (checkout, apply) = recipe("github-apply")["jobs"]["apply"]["steps"]
    assert checkout["with"]["ref"] == "main"
    ended, printed = await runner.run(STRICT + apply["run"], RUNNER_TEMP=str(tmp_path))
    assert ended == 5
    assert re.match(r"::stop-commands::[0-9a-f]{32}\n", printed), "nothing after it is a command"
    assert runner.notes() == [["apply", "--yes", "--out", f"{tmp_path}/report.json"]]


def test_every_script_is_bash_that_parses() -> None:
    assert len(list(scripts())) == 10
    for script in scripts():
        subprocess.run(["bash", "-n", "-c", script], check=True)


def test_github_s_jobs_have_the_least_rights_and_only_the_plan_has_the_secrets() -> None:
    assert GITHUB[True] == "pull_request"  # `on` is a yes to YAML 1.1
    assert GITHUB["permissions"] == {}
    check, plan = GITHUB["jobs"]["check"], GITHUB["jobs"]["plan"]
    assert check["permissions"] == {"contents": "read"}
    assert plan["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "github.event.pull_request.head.repo.full_name == github.repository" in plan["if"]
    assert "secrets." not in str(check)
    assert [each.get("name") for each in plan["steps"] if "secrets." in str(each)] == ["Plan"]
    assert "secrets." not in str({**plan, "steps": ()})


def test_nothing_that_others_write_gets_into_the_text_of_a_script() -> None:
    assert not [script for script in scripts() if "${{" in script]


def test_actions_are_pinned_to_commits() -> None:
    for name in ("github", "github-apply"):
        uses = re.findall(r"uses: (.*)", (RECIPES / f"{name}.yaml").read_text())
        assert uses
        assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v[0-9.]+", each) for each in uses)


def test_a_fork_s_merge_request_is_checked_and_not_planned() -> None:
    (rule,) = GITLAB["licensesync-plan"]["rules"]
    assert rule["if"].endswith("$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID")
    (check,) = GITLAB["licensesync-check"]["rules"]
    assert check["if"] == '$CI_PIPELINE_SOURCE == "merge_request_event"'


def test_the_hook_for_pre_commit_is_the_program_s_check() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "licensesync check"
    assert (hook["language"], hook["pass_filenames"], hook["always_run"]) == ("python", False, True)
    assert {"id", "name", "description"} <= set(hook)
