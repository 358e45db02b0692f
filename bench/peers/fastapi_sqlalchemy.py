"""The same endpoint as it is plainly written with FastAPI, SQLAlchemy 2 and Pydantic.

An ORM model with a column for every field, JSON columns for lists and objects, keyset pagination over an index,
a response model. Where there was a choice the quicker one was taken: times stay the text they are on the wire,
`fields` is not stored twice, the tokens are known from the environment, and requests are not logged.
"""

import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, Index, create_engine, insert, or_, select, tuple_
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

__all__ = ["create_app", "fill"]


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 - as SQLAlchemy documents it


class Ticket(Base):
    __tablename__ = "ticket"
    __table_args__ = (Index("ticket_feed", "generated_timestamp", "id"),)

    url: Mapped[str]
    id: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str | None]
    via: Mapped[dict[str, Any]]
    created_at: Mapped[str]
    updated_at: Mapped[str]
    generated_timestamp: Mapped[int]
    type: Mapped[str | None]
    subject: Mapped[str | None]
    raw_subject: Mapped[str | None]
    description: Mapped[str | None]
    priority: Mapped[str | None]
    status: Mapped[str]
    recipient: Mapped[str | None]
    requester_id: Mapped[int | None]
    submitter_id: Mapped[int | None]
    assignee_id: Mapped[int | None]
    organization_id: Mapped[int | None]
    group_id: Mapped[int | None]
    collaborator_ids: Mapped[list[Any]]
    follower_ids: Mapped[list[Any]]
    email_cc_ids: Mapped[list[Any]]
    forum_topic_id: Mapped[int | None]
    problem_id: Mapped[int | None]
    has_incidents: Mapped[bool]
    is_public: Mapped[bool]
    due_at: Mapped[str | None]
    tags: Mapped[list[Any]]
    custom_fields: Mapped[list[Any]]
    satisfaction_rating: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    sharing_agreement_ids: Mapped[list[Any]]
    custom_status_id: Mapped[int | None]
    encoded_id: Mapped[str]
    followup_ids: Mapped[list[Any]]
    ticket_form_id: Mapped[int | None]
    brand_id: Mapped[int | None]
    allow_channelback: Mapped[bool]
    allow_attachments: Mapped[bool]
    from_messaging_channel: Mapped[bool]
    support_type: Mapped[str | None]

    @property
    def fields(self) -> list[Any]:
        return self.custom_fields


class CustomField(BaseModel):
    id: int
    value: Any


class TicketOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    url: str
    id: int
    external_id: str | None
    via: dict[str, Any]
    created_at: str
    updated_at: str
    generated_timestamp: int
    type: str | None
    subject: str | None
    raw_subject: str | None
    description: str | None
    priority: str | None
    status: str
    recipient: str | None
    requester_id: int | None
    submitter_id: int | None
    assignee_id: int | None
    organization_id: int | None
    group_id: int | None
    collaborator_ids: list[int]
    follower_ids: list[int]
    email_cc_ids: list[int]
    forum_topic_id: int | None
    problem_id: int | None
    has_incidents: bool
    is_public: bool
    due_at: str | None
    tags: list[str]
    custom_fields: list[CustomField]
    satisfaction_rating: dict[str, Any] | None
    sharing_agreement_ids: list[int]
    custom_status_id: int | None
    encoded_id: str
    fields: list[CustomField]
    followup_ids: list[int]
    ticket_form_id: int | None
    brand_id: int | None
    allow_channelback: bool
    allow_attachments: bool
    from_messaging_channel: bool
    support_type: str | None


class PageOut(BaseModel):
    tickets: list[TicketOut]
    after_url: str | None
    before_url: str | None
    after_cursor: str | None
    before_cursor: str | None
    end_of_stream: bool


def create_app() -> FastAPI:
    """The application; BENCH_DATABASE, BENCH_USERNAME and BENCH_PASSWORD say what it serves and to whom."""
    sessions = sessionmaker(_engine(os.environ["BENCH_DATABASE"]))
    username, password = os.environ["BENCH_USERNAME"], os.environ["BENCH_PASSWORD"]
    app, basic = FastAPI(), HTTPBasic()

    def session() -> Iterator[Session]:
        with sessions() as opened:
            yield opened

    def check(given: Annotated[HTTPBasicCredentials, Depends(basic)]) -> None:
        if not (secrets.compare_digest(given.username, username) and secrets.compare_digest(given.password, password)):
            raise HTTPException(401, "Couldn't authenticate you")

    @app.get("/api/v2/incremental/tickets/cursor", response_model=PageOut, dependencies=[Depends(check)])
    def export_tickets(
        request: Request,
        session: Annotated[Session, Depends(session)],
        cursor: str | None = None,
        start_time: int = 0,
        per_page: int = 1000,
        support_type_scope: Literal["all", "agent", "ai_agent"] = "agent",
    ) -> dict[str, Any]:
        after = _decode_cursor(cursor) if cursor else (start_time, -1)
        query = select(Ticket).where(tuple_(Ticket.generated_timestamp, Ticket.id) > tuple_(*after))
        if support_type_scope == "agent":
            query = query.where(or_(Ticket.support_type.is_(None), Ticket.support_type != "ai_agent"))
        elif support_type_scope == "ai_agent":
            query = query.where(Ticket.support_type == "ai_agent")
        order = (Ticket.generated_timestamp, Ticket.id)
        rows = session.scalars(query.order_by(*order).limit(per_page + 1)).all()
        tickets = rows[:per_page]
        after_cursor = _encode_cursor(tickets[-1]) if tickets else None
        return {
            "tickets": tickets,
            "after_url": str(request.url.include_query_params(cursor=after_cursor)) if after_cursor else None,
            "before_url": None,
            "after_cursor": after_cursor,
            "before_cursor": None,
            "end_of_stream": len(rows) <= per_page,
        }

    return app


def fill(database: str, pages: Iterable[list[dict[str, Any]]]) -> None:
    """Make the database and store the tickets, a page at a time."""
    engine = _engine(database)
    Base.metadata.create_all(engine)
    columns = [column.name for column in Ticket.__table__.columns]
    with Session(engine) as session:
        for tickets in pages:
            session.execute(insert(Ticket), [{name: ticket[name] for name in columns} for ticket in tickets])
        session.commit()
    engine.dispose()


def _engine(database: str) -> Any:
    return create_engine(f"sqlite:///{database}", connect_args={"check_same_thread": False})


def _decode_cursor(cursor: str) -> tuple[int, int]:
    seconds, _, ticket_id = b64decode(cursor).decode().strip("|").partition("||")
    return int(float(seconds)), int(ticket_id)


def _encode_cursor(ticket: Ticket) -> str:
    return b64encode(f"{ticket.generated_timestamp}.0||{ticket.id}|".encode()).decode()
