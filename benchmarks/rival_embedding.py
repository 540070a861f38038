"""sentence-transformers at its defaults; runs in an environment of its own, which has no localassist.

    python rival_embedding.py TEXTS.json MODEL THREADS

prints, for each list of texts in the file, the seconds on the clock and of processor time.
"""

import json
import sys
import time
from pathlib import Path

import sentence_transformers
import torch

texts_file, model, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
rival = sentence_transformers.SentenceTransformer(model, device="cpu", local_files_only=True)
took = {}
for what, texts in json.loads(Path(texts_file).read_text(encoding="utf-8")).items():
    rival.encode(texts[:4])
    started, cpu_s = time.perf_counter(), time.process_time()
    rival.encode(texts)
    took[what] = time.perf_counter() - started, time.process_time() - cpu_s
print(json.dumps(took))
