"""What the documentation says is so."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import generate
from localassist.cli.main import COMMANDS
from localassist.config import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    """`localassist serve` on a free port, as the README starts it."""
    command = [sys.executable, "-m", "localassist", "serve", "--home", str(tmp_path / "home"), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        found = re.search(r"http://\S+(?=/v1)", line)
        try:
            assert found is not None, line + server.stderr.read()
            yield found[0]
        finally:
            server.terminate()
            server.communicate(timeout=20)


def test_the_readmes_program_prints_what_the_readme_says(server_url: str) -> None:
    program, printed = re.findall(r"```(?:python|text)\n(.*?)```", README, re.DOTALL)[:2]
    assert "http://127.0.0.1:8000" in program

    command = [sys.executable, "-W", "ignore", "-c", program.replace("http://127.0.0.1:8000", server_url)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""
    assert done.stdout == printed


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run `make docs`"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")

    assert [name for name in Settings.model_fields if f"`LOCALASSIST_{name.upper()}`" not in text] == []
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")

    assert [name for name in COMMANDS if f"## `localassist {name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")

    targets = [t.partition("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]

    assert [target for target in targets if target and not ((ROOT / page).parent / target).exists()] == []


def test_the_questions_of_the_demonstration_are_those_of_its_readme() -> None:
    text = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    program = (ROOT / "examples/demo.py").read_text(encoding="utf-8")

    asked = re.findall(r"^\d\. \*\*(.+?)\*\*", text, re.MULTILINE)

    assert len(asked) == 3
    assert [question for question in asked if f'"{question}"' not in program] == []


def test_every_target_of_the_makefile_that_the_pages_name_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    named = {
        name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"))
    }

    assert named <= targets
