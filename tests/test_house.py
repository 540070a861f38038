"""Habits that no linter checks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "localassist").rglob("*.py"))
MAX_LINES = 400
HEAVY = {
    *("alembic", "docker", "faiss", "httpx", "litellm", "numpy", "onnxruntime", "openai", "pydantic"),
    *("pypdfium2", "rich", "sqlalchemy", "starlette", "tiktoken", "tokenizers", "torch", "uvicorn"),
}


def loaded_by(code: str, *, among: set[str]) -> list[str]:
    """Give the names of `among` that are loaded once `code` has run in an interpreter of its own."""
    program = f"import sys\n{code}\nprint(*sorted({among!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_fits_in_the_head(module: str) -> None:
    n_lines = len((ROOT / module).read_text(encoding="utf-8").splitlines())

    assert n_lines <= MAX_LINES


def test_the_map_names_every_module_and_no_other() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")

    on_the_map = set(re.findall(r"`(localassist/[\w/]+\.py)`", text))

    assert on_the_map == set(MODULES)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import localassist", among=HEAVY) == []


def test_the_command_line_shows_its_help_without_anything_heavy() -> None:
    heavy = HEAVY - {"pydantic"}
    code = "from click.testing import CliRunner\nfrom localassist.cli.main import cli\n"
    code += "assert CliRunner().invoke(cli, ['--help']).exit_code == 0"

    assert loaded_by(code, among=heavy) == []


def test_each_public_name_is_there() -> None:
    code = "import localassist\nfor name in localassist.__all__:\n    getattr(localassist, name)"

    assert loaded_by(code, among={"openai", "litellm"}) == ["openai"]
