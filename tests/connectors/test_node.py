"""Two clients of npm, unmodified: zendesk-node-api and node-zendesk, whose requests read no proxy variables."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.store import EMAIL, TOKEN, World, change_store, exported, fill_store, listed, read_with, same
from tests.connectors.venvs import node_modules
from tests.process.walks import can_isolate

PROGRAM = """
const ZendeskApi = require('zendesk-node-api');
const {createClient} = require('node-zendesk');
const [email, token] = process.argv.slice(2);
const older = new ZendeskApi({url: 'https://acme.zendesk.com', email, token});
const newer = createClient({username: email, token, subdomain: 'acme'});

(async () => {
    const read = {tickets: await newer.tickets.list(), export: await newer.tickets.incremental(0), audits: []};
    for (const ticket of read.tickets) read.audits.push(...await newer.tickets.exportAudit(ticket.id));
    for (const kind of ['users', 'organizations', 'groups', 'ticket_fields', 'macros', 'group_memberships',
                        'organization_memberships', 'satisfaction_ratings'])
        read[kind] = await newer[kind.replace('_', '')].list();
    read.first = await older.tickets.list('per_page=5');
    read.one = await older.tickets.show(read.first[0].id);
    read.found = await newer.search.queryAll('type:ticket');
    console.log(JSON.stringify(read));
})();
"""


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="this system has no node, or no npm")
@pytest.mark.skipif(not can_isolate(), reason="this system does not let a command be isolated")
def test_node_clients(tmp_path: Path) -> None:
    """Both read every record value for value, and after changes what has changed; double slashes in paths and all."""
    world = fill_store(tmp_path, 120)
    (tmp_path / "read.js").write_text(PROGRAM)
    check(read(tmp_path), world)
    world = change_store(tmp_path, world)
    check(read(tmp_path), world)


def read(folder: Path) -> dict[str, Any]:
    modules = node_modules("node")
    done = read_with(folder, "node", "read.js", EMAIL, TOKEN, env={"NODE_PATH": str(modules)})
    return dict(json.loads(done.out))


def check(read: dict[str, Any], world: World) -> None:
    tickets = listed(world)
    wanted: World = {
        **world,
        "tickets": tickets,
        "export": exported(world),
        "audits": {id: each for id, each in world["audits"].items() if each["ticket_id"] in tickets},
        "users": {id: each for id, each in world["users"].items() if each["active"]},
        "macros": {id: each for id, each in world["macros"].items() if each["active"]},
        "groups": {id: each for id, each in world["groups"].items() if not each["deleted"]},
        "first": dict(sorted(tickets.items())[:5]),
        "found": tickets,
    }
    for result in read["found"]:
        assert result.pop("result_type") == "ticket"
    for kind in read.keys() - {"one"}:
        got = {each["id"]: each for each in read[kind] if each.get("email") != EMAIL}
        assert len(got) + (kind == "users") == len(read[kind]), f"{kind}: a record twice"
        assert got.keys() == wanted[kind].keys(), kind
        assert all(same(got[id], wanted[kind][id]) for id in got), kind
    assert same(read["one"], tickets[read["one"]["id"]])
