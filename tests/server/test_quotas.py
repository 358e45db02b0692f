"""Accounts that have reached their quotas, as a client and an operator meet them."""

import asyncio
import json

from tests.server.desk import NOON, Desk
from ticketfeed.storage.account_size import AccountQuota

JSON = [("Content-Type", "application/json")]
TICKET = {"ticket": {"comment": {"body": "Hello"}}}


def test_a_full_account_is_read_and_deleted_from() -> None:
    """Writes but deletions get 403 in the wire's shape; reads, credentials and other accounts go on; then it has room
    again."""
    desk = Desk(accounts=("acme", "other"))
    desk.put("tickets", *({"id": id, "generated_timestamp": NOON - 100} for id in (1, 2)))
    account, _ = asyncio.run(desk.store.list_accounts())
    asyncio.run(desk.store.write(account, lambda write: write.put_quota(AccountQuota(tickets_max=2))))
    maintenance = desk.app.state.service.maintenance

    def status(method: str, path: str, body: object = None, host: str = "acme.localhost") -> int:
        sent = json.dumps(body).encode() if body is not None else b""
        answer = desk.ask(f"/api/v2{path}", method=method, body=sent, headers=JSON, host=host)
        if answer.status == 403:
            assert json.loads(answer.body) == {
                "error": "Forbidden",
                "description": "This account has reached its quota: delete something, or ask the operator for more",
            }
        return answer.status

    asyncio.run(maintenance.find_full_accounts())
    assert status("POST", "/tickets", TICKET) == 403
    assert status("PUT", "/tickets/1", TICKET) == 403
    assert status("POST", "/tickets/create_many", {"tickets": [TICKET["ticket"]]}) == 403
    assert status("POST", "/users", {"user": {"name": "a", "email": "a@example.com"}}) == 403
    assert status("GET", "/tickets/1") == 200
    assert status("POST", "/tickets", TICKET, "other.localhost") == 201
    desk.put("tickets", {"id": 2, "status": "deleted", "generated_timestamp": NOON - 50})
    assert status("DELETE", "/tickets/1") == 204
    asyncio.run(desk.store.write(account, lambda write: write.put_quota(AccountQuota(tickets_max=3))))
    asyncio.run(maintenance.find_full_accounts())
    assert status("POST", "/tickets", TICKET) == 201
    metrics = desk.ask("/_ticketfeed/metrics").body.decode()
    assert 'ticketfeed_account_tickets_max{account="acme"} 3.0' in metrics
    assert "ticketfeed_account_bytes_max{" not in metrics
