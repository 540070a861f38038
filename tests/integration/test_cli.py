"""The command line as people and scripts use it: a real home, real files, the embedding model that ships."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localassist.cli.main import run
from tests.scripted.fixture import model_server
from tests.scripted.server import ScriptedServer, call, text, tool_calls

__all__ = ["model_server"]

LIGHTHOUSE = "# Lighthouse\n\nThe lamp is lit at dusk.\n\nThe keeper trims the wick every four hours.\n"
HARBOUR = "# Harbour\n\nThe harbour master collects three crowns from every ship.\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A folder with two documents, one of them twice."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "lighthouse.md").write_text(LIGHTHOUSE, encoding="utf-8")
    (folder / "harbour.txt").write_text(HARBOUR, encoding="utf-8")
    (folder / "zz-copy.md").write_text(LIGHTHOUSE, encoding="utf-8")
    return folder


def document(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run a command with `--json`, and give the one document that it prints."""
    capfd.readouterr()
    assert run([*arguments, "--json"]) == code, capfd.readouterr().err
    out, err = capfd.readouterr()
    assert err == ""
    return json.loads(out)


def test_a_question_is_answered_with_the_file_and_the_sentence(
    home: str, papers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["ask", "--home", home, str(papers), "How often does the keeper trim the wick?"]) == 0

    out, err = capfd.readouterr()
    assert "The keeper trims the wick every four hours.”[1]" in out
    assert f"  [1] {papers}/lighthouse.md\n      “The keeper trims the wick every four hours.”\n" in out
    assert err.startswith("2 files indexed, ")
    assert "1 with the same content as another" in err
    assert "--model" not in err
    assert "tokens/s" not in err
    assert "\x1b" not in out + err


def test_what_did_not_change_is_not_indexed_again_and_what_changed_is(
    home: str, papers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    question = "What does the harbour master collect?"
    ask = ("ask", "--home", home, str(papers), question)

    first = document(capfd, *ask)
    second = document(capfd, *ask)
    (papers / "harbour.txt").write_text(HARBOUR.replace("three", "seven"), encoding="utf-8")
    third = document(capfd, *ask)
    (papers / "harbour.txt").unlink()
    fourth = document(capfd, *ask, code=4)

    assert (len(first["files"]["indexed"]), first["files"]["duplicates"]) == (2, 1)
    assert (second["files"]["indexed"], second["files"]["unchanged"]) == ([], 2)
    assert third["files"]["indexed"] == [str(papers / "harbour.txt")]
    assert "three crowns" in first["citations"][0]["quote"]
    assert "seven crowns" in third["citations"][0]["quote"]
    assert (third["found"], fourth["found"]) == (True, False)
    assert {citation["file"] for citation in fourth["citations"]} <= {"lighthouse.md"}
    assert "crowns" not in fourth["answer"]


def test_an_answer_comes_only_from_the_files_that_were_named(
    home: str, papers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    question = "How often does the keeper trim the wick?"
    both = document(capfd, "ask", "--home", home, str(papers), question)

    one = document(capfd, "ask", "--home", home, str(papers / "harbour.txt"), question, code=4)

    assert "keeper trims" in both["answer"]
    assert one["searches"][0]["files"] == ["harbour.txt"]
    assert "keeper trims" not in one["answer"]


def test_an_answer_that_cites_nothing_has_an_exit_code_of_its_own(
    home: str, papers: Path, model_server: ScriptedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    model_server.reply(text("The files do not say."))
    model = ("--model", "scripted", "--model-base-url", model_server.base_url)

    answer = document(capfd, "ask", "--home", home, *model, str(papers), "Who was the first keeper?", code=4)

    assert (answer["answer"], answer["citations"]) == ("The files do not say.", [])


def test_added_files_are_searched_listed_and_forgotten(
    home: str, papers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    added = document(capfd, "add", "--home", home, "--store", "sea", str(papers))
    found = document(capfd, "search", "--home", home, "--store", "sea", "--limit", "1", "who trims the wick")
    listed = document(capfd, "files", "--home", home)
    assert run(["files", "--home", home, "--forget", str(papers / "harbour.txt")]) == 0
    fewer = document(capfd, "files", "--home", home)
    assert run(["files", "--home", home, "--forget", "sea"]) == 0
    empty = document(capfd, "files", "--home", home)

    assert [Path(file["path"]).name for file in added["indexed"]] == ["harbour.txt", "lighthouse.md"]
    [result] = found["results"]
    assert (result["file"], result["path"]) == ("lighthouse.md", str(papers / "lighthouse.md"))
    assert "The keeper trims the wick every four hours." in result["text"]
    assert result["end_index"] - result["start_index"] == len(result["text"])
    assert 0 < result["score"] <= 1
    assert [(s["name"], len(s["files"])) for s in listed["stores"]] == [("sea", 2)]
    assert [[Path(file["path"]).name for file in s["files"]] for s in fewer["stores"]] == [["lighthouse.md"]]
    assert empty == {"stores": []}


def test_a_file_that_cannot_be_indexed_is_named_and_the_others_are_used(
    home: str, papers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (papers / "broken.pdf").write_bytes(b"%PDF-1.7\nnot really")

    code = run(["ask", "--home", home, str(papers), "How often does the keeper trim the wick?"])

    out, err = capfd.readouterr()
    assert code == 3
    assert "four hours" in out
    assert f"{papers}/broken.pdf: " in err


def test_nothing_to_ask_is_an_error_that_says_what_to_do(home: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "--home", home, "Anything?"]) == 1

    assert "Error: Nothing is indexed yet in the store 'default'." in capfd.readouterr().err


def test_a_folder_without_documents_is_an_error(home: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpeg").write_bytes(b"\xff\xd8\xff")

    assert run(["add", "--home", home, str(tmp_path / "photos")]) == 1

    assert "No file that can be indexed was found; 1 skipped (.jpeg)." in capfd.readouterr().err


def test_a_model_behind_a_url_writes_the_answer(
    home: str, papers: Path, model_server: ScriptedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    model_server.reply(
        tool_calls(call("file_search", {"queries": ["wick"]})), text("Every four hours 【4:0†source】, says the log.")
    )

    answer = document(
        capfd,
        *("ask", "--home", home, "--model", "scripted", "--model-base-url", model_server.base_url),
        *(str(papers / "lighthouse.md"), "How often?"),
    )

    assert answer["answer"] == "Every four hours [1], says the log."
    assert answer["model"] == "scripted"
    assert answer["searches"] == [{"queries": ["wick"], "n_passages": 1, "files": ["lighthouse.md"]}]
    assert [c["file"] for c in answer["citations"]] == ["lighthouse.md"]


def test_a_model_that_does_not_answer_is_one_clear_message(
    home: str, papers: Path, capfd: pytest.CaptureFixture[str], model_server: ScriptedServer
) -> None:
    url = model_server.base_url.replace("127.0.0.1", "127.0.0.2")

    code = run(["ask", "--home", home, "--model", "m", "--model-base-url", url, str(papers), "How often?"])

    _, err = capfd.readouterr()
    assert code == 1
    assert err.startswith(f"Error: No model server answers at {url}")
    assert not Path(home).exists()
    assert "Traceback" not in err


def test_a_chat_keeps_its_thread(
    home: str, papers: Path, capfd: pytest.CaptureFixture[str], model_server: ScriptedServer
) -> None:
    model_server.reply(text("It is lit at dusk."), text("By the keeper."))
    command = [sys.executable, "-m", "localassist", "chat", "--home", home, "--model", "scripted"]
    command += ["--model-base-url", model_server.base_url, str(papers)]

    done = subprocess.run(
        command,
        input="/help\nWhen is the lamp lit?\n\n/hlep\nBy whom?\n/exit\nnever said\n",
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["It", "is", "lit", "at", "dusk.", "By", "the", "keeper."]
    assert "localassist chat --thread thread_" in done.stderr
    assert "2 files · model scripted · /help for help, /exit leaves" in done.stderr
    assert "Ctrl-C  stop an answer" in done.stderr
    assert "There is no command /hlep" in done.stderr
    said = [message["content"] for message in model_server.requests[-1].body["messages"] if message["role"] != "system"]
    assert said == ["When is the lamp lit?", "It is lit at dusk.", "By whom?"]


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    home: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/small.txt").write_text(HARBOUR, encoding="utf-8")
    assert run(["add", "--home", home, str(tmp_path / "docs")]) == 0
    big = tmp_path / "docs/big.txt"
    big.write_text("\n".join(f"Line {n} tells of ship {n * 7}." for n in range(60_000)), encoding="utf-8")
    command = [sys.executable, "-m", "localassist", "-v", "add", "--home", home, str(big)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as adding:
        assert adding.stderr is not None
        for line in adding.stderr:
            assert "HTTP Request" not in line
            if "queued to be indexed" in line:
                break
        adding.send_signal(signal.SIGINT)
        _, err = adding.communicate(timeout=30)

    assert adding.returncode == 130
    assert err.rstrip().endswith("Interrupted. Nothing is indexed yet; the same command goes on from there.")
    assert "Traceback" not in err
    big.write_text(LIGHTHOUSE, encoding="utf-8")
    assert [f["path"] for s in document(capfd, "files", "--home", home)["stores"] for f in s["files"]] == [
        str(tmp_path / "docs/small.txt")
    ]
    again = document(capfd, "add", "--home", home, str(tmp_path / "docs"))
    assert ([f["path"] for f in again["indexed"]], again["unchanged"]) == ([str(big)], 1)


def test_the_doctor_finds_everything_well_and_the_offline_trial_touches_no_network(
    home: str, capfd: pytest.CaptureFixture[str]
) -> None:
    healthy = document(capfd, "doctor", "--home", home)
    offline = document(capfd, "doctor", "--offline")

    assert [check for check in healthy["checks"] if check["state"] == "broken"] == []
    assert {"program", "home", "database", "embedding", "main job"} <= {check["name"] for check in healthy["checks"]}
    [check] = offline["checks"]
    assert check["state"] == "ok"
    assert "nothing tried to connect" in check["detail"]


def test_the_offline_trial_reports_a_program_that_would_connect() -> None:
    program = (
        "import socket\nfrom localassist.cli.trial import refuse_and_record\n"
        "attempts = []\nrefuse_and_record(attempts)\n"
        "for act in (lambda: socket.getaddrinfo('example.com', 443),"
        " lambda: socket.socket().connect(('192.0.2.1', 80))):\n"
        "    try:\n        act()\n    except Exception as error:\n        print(type(error).__name__)\n"
        "socket.getaddrinfo('localhost', 80)\nprint(attempts)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    first, second, attempts = done.stdout.splitlines()
    assert (first, second) == ("EgressError", "EgressError")
    assert attempts == "['getaddrinfo example.com', 'connect 192.0.2.1']"


def test_models_that_are_here_are_verified_and_a_damaged_one_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = document(capfd, "models", "--verify")
    folder = tmp_path / "models"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine/model.onnx").write_bytes(b"other bytes")
    (folder / "registry.toml").write_text(
        '[mine]\nkind = "embedding"\nbackend = "onnx"\nlanguages = ["en"]\ndim = 8\nmax_tokens = 64\n'
        f'pooling = "mean"\nsize_mb = 1\n[mine.files]\n"model.onnx" = "{"0" * 64}"\n',
        encoding="utf-8",
    )
    damaged = document(capfd, "models", "--verify", "--models-folder", str(folder), code=1)

    assert {m["name"]: m["status"] for m in good["embedding_models"]}["all-MiniLM-L6-v2"] == "verified"
    assert {m["name"]: m["status"] for m in damaged["embedding_models"]}["mine"] == "damaged"


@pytest.mark.skipif(not os.path.exists("/usr/bin/script"), reason="needs script(1) for a terminal")  # noqa: PTH110 - evaluated once
def test_colours_and_bars_are_for_terminals_and_no_color_is_heeded(home: str, papers: Path) -> None:
    command = f"{sys.executable} -m localassist ask --home {home} {papers} 'How often does the keeper trim the wick?'"

    def on_a_terminal(**variables: str) -> str:
        environment = {**os.environ, "TERM": "xterm-256color", **variables}  # noqa: TID251 - of the program under test
        environment.pop("NO_COLOR", None) if "NO_COLOR" not in variables else None
        words = ["/usr/bin/script", "-qec", command, "/dev/null"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert "\r\n\r\n\r\n" not in done.stdout
        return done.stdout

    first, coloured, plain = on_a_terminal(), on_a_terminal(), on_a_terminal(NO_COLOR="1")

    assert "starting …" in first
    assert "Indexing" in first
    assert "--model ollama/llama3.2" in first
    assert "--model ollama/llama3.2" not in coloured
    assert "--model puts a language model behind the answers." in coloured
    assert "\x1b[1;36m[1]" in coloured
    assert "36m" not in plain
    assert "[1]" in plain
