"""The first answers to requests that carry an `Idempotency-Key`."""

from typing import NamedTuple

from sqlalchemy import Connection, select, update
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects import postgresql, sqlite

from localassist.store.schema import answers


class Kept(NamedTuple):
    """What is known under a key: the request it was given with, and the answer; no status while it is being made."""

    request: str
    status: int | None
    body: str | None


def claim(conn: Connection, key: str, request: str, *, now: float, lease_s: float) -> Kept | None:
    """Take a key to answer its request, and give None; or give what is there already.

    A claim that was not renewed for `lease_s`, because its process died, counts as none.
    """
    dead = (answers.c.key == key, answers.c.status.is_(None), answers.c.claimed_at <= now - lease_s)
    conn.execute(sql_delete(answers).where(*dead))
    values = {"key": key, "request": request, "claimed_at": now}
    insert = sqlite.insert(answers) if conn.dialect.name == "sqlite" else postgresql.insert(answers)
    made = insert.values(values).on_conflict_do_nothing().returning(answers.c.key)
    if conn.execute(made).first() is not None:
        return None
    row = conn.execute(select(answers.c.request, answers.c.status, answers.c.body).where(answers.c.key == key)).first()
    return Kept(request, None, None) if row is None else Kept(row.request, row.status, row.body)


def renew(conn: Connection, key: str, now: float) -> None:
    """Keep a claim."""
    conn.execute(update(answers).where(answers.c.key == key, answers.c.status.is_(None)).values(claimed_at=now))


def finish(conn: Connection, key: str, *, status: int, body: str) -> None:
    """Keep the answer."""
    conn.execute(update(answers).where(answers.c.key == key).values(status=status, body=body))


def release(conn: Connection, key: str) -> None:
    """Give a claim back, so that the request may be made again."""
    conn.execute(sql_delete(answers).where(answers.c.key == key, answers.c.status.is_(None)))


def delete_before(conn: Connection, time: float) -> int:
    """Forget what was claimed before `time`; give the number."""
    return conn.execute(sql_delete(answers).where(answers.c.claimed_at < time)).rowcount
