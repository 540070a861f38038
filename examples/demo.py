"""The demonstration: `make demo` indexes the documents beside this file and asks three questions about them.

Each line that begins with `$` is a command that you can type; only the hint at its end is left for the last words.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HOME = HERE.parent / "demo-home"
QUESTIONS = (
    "How long must the fire watch stay after hot work has ended?",
    "How much is refunded for a hotel night in Switzerland?",
    "博物馆的镇馆之宝是什么？在哪里出土？",
)
LAST_WORDS = """
These answers are quotations: no language model took part. To put one behind them:

  localassist ask --model ollama/llama3.2 examples/documents "…"
  localassist ask --model NAME --model-base-url http://127.0.0.1:8080/v1 examples/documents "…"

The same for programs written for the Assistants API:  localassist serve --model ollama/llama3.2
(localassist is .venv/bin/localassist here.)
"""


def main() -> int:
    """Ask the three questions; the first one indexes the documents, unless that was done before."""
    known = "were indexed before" if HOME.exists() else "are indexed first: some seconds"
    print(f"The documents of examples/documents {known}. What is kept of them lies in {HOME.name}/.", flush=True)
    for question in QUESTIONS:
        words = ["ask", "--home", HOME.name, "examples/documents", question]
        print("\n$ localassist " + " ".join(words[:-1]) + f' "{question}"', flush=True)
        command = [sys.executable, "-m", "localassist", *words, "--no-hint"]
        done = subprocess.run(command, cwd=HERE.parent, check=False)  # noqa: S603 - our own program
        if done.returncode != 0:
            return done.returncode
    print(LAST_WORDS, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
