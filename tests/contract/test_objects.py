"""Assistants, threads, messages, files and vector stores: made, read, changed, listed, deleted."""

import openai
import pytest
from openai import OpenAI


def test_an_assistant_is_made_read_changed_and_deleted(client: OpenAI) -> None:
    made = client.beta.assistants.create(
        model="gpt-4o", name="Guide", instructions="Be kind.", tools=[{"type": "file_search"}], metadata={"a": "b"}
    )
    changed = client.beta.assistants.update(made.id, name="Leader", metadata={"a": "c"})
    gone = client.beta.assistants.delete(made.id)

    assert (made.object, made.model, made.name, made.temperature) == ("assistant", "gpt-4o", "Guide", 1.0)
    assert (changed.name, changed.instructions, changed.metadata) == ("Leader", "Be kind.", {"a": "c"})
    assert (gone.id, gone.object, gone.deleted) == (made.id, "assistant.deleted", True)
    with pytest.raises(openai.NotFoundError, match=f"No assistant found with id '{made.id}'"):
        client.beta.assistants.retrieve(made.id)


def test_a_json_schema_comes_back_as_it_was_sent(client: OpenAI) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}

    made = client.beta.assistants.create(model="m", response_format=wanted)  # type: ignore[arg-type] # a plain dict

    raw = client.beta.assistants.with_raw_response.retrieve(made.id).http_response.json()
    assert raw["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "schema_" not in raw["response_format"]["json_schema"]


def test_every_page_of_a_list_is_walked_in_order(client: OpenAI) -> None:
    thread = client.beta.threads.create()
    made = [client.beta.threads.messages.create(thread.id, role="user", content=str(n)).id for n in range(7)]

    listed = [m.id for m in client.beta.threads.messages.list(thread.id, limit=3, order="asc")]
    newest = client.beta.threads.messages.list(thread.id, limit=2)

    assert listed == made
    assert [m.id for m in newest.data] == made[:-3:-1]
    assert newest.has_more
    before = client.beta.threads.messages.list(thread.id, order="asc", before=made[2])
    assert [m.id for m in before.data] == made[:2]


def test_the_first_messages_of_a_thread_keep_their_order(client: OpenAI) -> None:
    thread = client.beta.threads.create(
        messages=[
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
        ],
        metadata={"k": "v"},
    )

    listed = client.beta.threads.messages.list(thread.id, order="asc").data
    assert [(m.role, m.content[0].text.value) for m in listed] == [("user", "one"), ("assistant", "two")]  # type: ignore[union-attr] # text
    assert client.beta.threads.retrieve(thread.id).metadata == {"k": "v"}
    assert client.beta.threads.delete(thread.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.messages.list(thread.id)


def test_a_file_is_uploaded_listed_read_back_and_deleted(client: OpenAI) -> None:
    contents = "naïve 報告\n".encode() * 1000

    made = client.files.create(file=("報告.txt", contents), purpose="assistants")

    assert (made.filename, made.bytes, made.purpose, made.status) == (
        "報告.txt",
        len(contents),
        "assistants",
        "processed",
    )
    assert client.files.content(made.id).read() == contents
    assert made.id in [f.id for f in client.files.list(purpose="assistants")]
    gone = client.files.delete(made.id)
    assert (gone.object, gone.deleted) == ("file", True)
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {made.id}") as caught:
        client.files.retrieve(made.id)
    assert caught.value.param == "id"


def test_a_vector_store_is_filled_searched_and_emptied(client: OpenAI) -> None:
    store = client.vector_stores.create(name="Facts")
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=("tower.txt", b"The lighthouse of Norrund is 41 metres high and was built in 1873."),
    )
    assert (file.status, file.last_error) == ("completed", None)

    found = client.vector_stores.search(store.id, query="How high is the lighthouse?").data

    assert found[0].filename == "tower.txt"
    assert "41 metres" in found[0].content[0].text
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 1
    client.vector_stores.files.delete(file.id, vector_store_id=store.id)
    assert client.vector_stores.search(store.id, query="How high is the lighthouse?").data == []


def test_a_batch_of_files_is_uploaded_together(client: OpenAI) -> None:
    store = client.vector_stores.create()

    batch = client.vector_stores.file_batches.upload_and_poll(
        vector_store_id=store.id, files=[(f"{n}.md", f"# Note {n}\n\nText of note {n}.".encode()) for n in range(3)]
    )

    assert batch.status == "completed"
    assert (batch.file_counts.completed, batch.file_counts.total) == (3, 3)
    files = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id).data
    assert {f.status for f in files} == {"completed"}


def test_a_file_that_cannot_be_read_fails_with_the_reason(client: OpenAI) -> None:
    store = client.vector_stores.create()

    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("broken.pdf", b"%PDF-1.7 cut"))

    assert file.status == "failed"
    assert file.last_error is not None
    assert file.last_error.code == "invalid_file"


def test_attributes_filter_a_search(client: OpenAI) -> None:
    store = client.vector_stores.create()
    for year in (2023, 2024):
        file = client.files.create(
            file=(f"{year}.txt", f"Revenue of the year {year} was good.".encode()), purpose="assistants"
        )
        client.vector_stores.files.create(store.id, file_id=file.id, attributes={"year": year})
        client.vector_stores.files.poll(file.id, vector_store_id=store.id)

    found = client.vector_stores.search(
        store.id, query="revenue", filters={"type": "eq", "key": "year", "value": 2023}
    ).data

    assert [f.filename for f in found] == ["2023.txt"]


def test_the_models_are_listed(client: OpenAI) -> None:
    names = [m.id for m in client.models.list()]

    assert names == ["scripted", "localassist/extractive"]
    assert client.models.retrieve("localassist/extractive").owned_by == "localassist"
    with pytest.raises(openai.NotFoundError, match="The model 'gpt-9' does not exist"):
        client.models.retrieve("gpt-9")
