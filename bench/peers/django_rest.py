"""The same endpoint as it is plainly written with Django and Django REST framework, in one file.

A model with a column for every field and JSONField for lists and objects, keyset pagination over an index, a
ModelSerializer, an APIView. Where there was a choice the quicker one was taken: times stay the text they are on the
wire, `fields` is not stored twice, no renderer but JSON's, no middleware but the one that sets Content-Length, and
requests are not logged. The credentials are known from the environment, in plain text: to hash a password as Django
does would take longer than the page. `application` is ASGI; WSGI, under uvicorn or gunicorn, gains a
few percent at most.
"""

# ruff: noqa: E402 - Django REST framework reads its settings when it is imported.

import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("BENCH_DATABASE", "")},
    },
    DEBUG=False,
    INSTALLED_APPS=["rest_framework"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    USE_I18N=False,
)
django.setup()

from django.core.asgi import get_asgi_application
from django.db import connection, connections, models, transaction
from django.urls import path
from rest_framework import serializers
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

__all__ = ["application", "fill", "urlpatterns"]


class Ticket(models.Model):
    url = models.TextField()
    id = models.BigIntegerField(primary_key=True)
    external_id = models.TextField(null=True)
    via = models.JSONField()
    created_at = models.TextField()
    updated_at = models.TextField()
    generated_timestamp = models.BigIntegerField()
    type = models.TextField(null=True)
    subject = models.TextField(null=True)
    raw_subject = models.TextField(null=True)
    description = models.TextField(null=True)
    priority = models.TextField(null=True)
    status = models.TextField()
    recipient = models.TextField(null=True)
    requester_id = models.BigIntegerField(null=True)
    submitter_id = models.BigIntegerField(null=True)
    assignee_id = models.BigIntegerField(null=True)
    organization_id = models.BigIntegerField(null=True)
    group_id = models.BigIntegerField(null=True)
    collaborator_ids = models.JSONField()
    follower_ids = models.JSONField()
    email_cc_ids = models.JSONField()
    forum_topic_id = models.BigIntegerField(null=True)
    problem_id = models.BigIntegerField(null=True)
    has_incidents = models.BooleanField()
    is_public = models.BooleanField()
    due_at = models.TextField(null=True)
    tags = models.JSONField()
    custom_fields = models.JSONField()
    satisfaction_rating = models.JSONField(null=True)
    sharing_agreement_ids = models.JSONField()
    custom_status_id = models.BigIntegerField(null=True)
    encoded_id = models.TextField()
    followup_ids = models.JSONField()
    ticket_form_id = models.BigIntegerField(null=True)
    brand_id = models.BigIntegerField(null=True)
    allow_channelback = models.BooleanField()
    allow_attachments = models.BooleanField()
    from_messaging_channel = models.BooleanField()
    support_type = models.TextField(null=True)

    class Meta:
        app_label = "peers"
        indexes = (models.Index(fields=("generated_timestamp", "id"), name="ticket_feed"),)
        ordering = ("generated_timestamp", "id")


class TicketSerializer(serializers.ModelSerializer):
    fields = serializers.JSONField(source="custom_fields")

    class Meta:
        model = Ticket
        fields = "__all__"


class QuerySerializer(serializers.Serializer):
    """The parameters."""

    cursor = serializers.CharField(default=None)
    start_time = serializers.IntegerField(default=0)
    per_page = serializers.IntegerField(default=1000)
    support_type_scope = serializers.ChoiceField(("all", "agent", "ai_agent"), default="agent")


class User:
    """Whoever has the credentials; there are no accounts."""

    is_authenticated = True


class EnvironmentAuthentication(BasicAuthentication):
    """BENCH_USERNAME and BENCH_PASSWORD."""

    def authenticate_credentials(self, userid: str, password: str, _request: Any = None) -> tuple[User, None]:
        same_name = secrets.compare_digest(userid.encode(), os.environ["BENCH_USERNAME"].encode())
        if not (secrets.compare_digest(password.encode(), os.environ["BENCH_PASSWORD"].encode()) and same_name):
            raise AuthenticationFailed("Couldn't authenticate you")
        return User(), None


class ExportTickets(APIView):
    authentication_classes = (EnvironmentAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        query = QuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        given = query.validated_data
        after = _decode_cursor(given["cursor"]) if given["cursor"] else (given["start_time"], -1)
        found = _tickets_after(*after)
        if given["support_type_scope"] == "agent":
            found = found.exclude(support_type="ai_agent")
        elif given["support_type_scope"] == "ai_agent":
            found = found.filter(support_type="ai_agent")
        rows = list(found[: given["per_page"] + 1])
        tickets = rows[: given["per_page"]]
        after_cursor = _encode_cursor(tickets[-1]) if tickets else None
        url = request.build_absolute_uri()
        return Response(
            {
                "tickets": TicketSerializer(tickets, many=True).data,
                "after_url": replace_query_param(url, "cursor", after_cursor) if after_cursor else None,
                "before_url": None,
                "after_cursor": after_cursor,
                "before_cursor": None,
                "end_of_stream": len(rows) <= given["per_page"],
            }
        )


urlpatterns = [path("api/v2/incremental/tickets/cursor", ExportTickets.as_view())]
application = get_asgi_application()


def fill(database: str, pages: Iterable[list[dict[str, Any]]]) -> None:
    """Make the database and store the tickets, a page at a time."""
    connections.settings["default"]["NAME"] = database
    names = [field.name for field in Ticket._meta.fields]
    with connection.schema_editor() as editor:
        editor.create_model(Ticket)
    with transaction.atomic():
        for tickets in pages:
            Ticket.objects.bulk_create(Ticket(**{name: ticket[name] for name in names}) for ticket in tickets)
    connections.close_all()


def _tickets_after(second: int, ticket_id: int) -> models.QuerySet[Ticket]:
    """In the order of the feed. The first condition is in the second; with it SQLite enters the index in one place."""
    later = models.Q(generated_timestamp__gt=second) | models.Q(id__gt=ticket_id)
    return Ticket.objects.filter(generated_timestamp__gte=second).filter(later)


def _decode_cursor(cursor: str) -> tuple[int, int]:
    seconds, _, ticket_id = b64decode(cursor).decode().strip("|").partition("||")
    return int(float(seconds)), int(ticket_id)


def _encode_cursor(ticket: Ticket) -> str:
    return b64encode(f"{ticket.generated_timestamp}.0||{ticket.id}|".encode()).decode()
