"""What each operation of the API does; one module for each of its resources, as in the SDK.

Each operation is one transaction, or as few as it can be. No rule of the API lives above this folder.

found           objects by their ids, or the API's 404
indexing        stores made, files queued to be indexed
tool_resources  what tools may use, and files attached to messages
ingestion       the work of one queued file
endings         runs that end without a worker
v1_files        `file_ids` of assistants and messages, as API version 1 had them
"""

from localassist.resources.answers import Answers
from localassist.resources.assistants import Assistants
from localassist.resources.completions import Completions
from localassist.resources.embeddings import EmbeddingsOf
from localassist.resources.files import Files
from localassist.resources.messages import Messages
from localassist.resources.run_steps import RunSteps
from localassist.resources.runs import Runs
from localassist.resources.threads import Threads
from localassist.resources.uploads import Uploads
from localassist.resources.v1_files import V1Files
from localassist.resources.vector_stores import VectorStores

__all__ = [
    "Answers",
    "Assistants",
    "Completions",
    "EmbeddingsOf",
    "Files",
    "Messages",
    "RunSteps",
    "Runs",
    "Threads",
    "Uploads",
    "V1Files",
    "VectorStores",
]
