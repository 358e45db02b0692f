"""`GET`, `POST` and `DELETE /_ticketfeed/faults`: scenarios, switched on and off by an admin of the account."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.faults import find_scenario, shipped_scenarios
from ticketfeed.protocol.errors import FaultsMissing
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.scenarios import Scenario, parse_scenario, unknown_scenario
from ticketfeed.server.api.admin_calls import admit_admin, read_json
from ticketfeed.server.faults.engine import ActiveScenario, Faults

__all__ = ["FAULT_ROUTES", "fault_status", "find_faults"]

PATH = "/_ticketfeed/faults"
SHOWN_FIRINGS = 20


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    scenario: str | dict[str, Any]
    seed: int = 1
    token: str | None = None
    times: int | None = None


def find_faults(request: Request) -> Faults:
    """The scenarios of this server. Raises FaultsMissing."""
    faults: Faults | None = request.app.state.faults
    if faults is None:
        raise FaultsMissing
    return faults


async def _show(request: Request) -> Response:
    call = await admit_admin(request, PATH, "read")
    return _answer(find_faults(request), call.account)


async def _add(request: Request) -> Response:
    call = await admit_admin(request, PATH, "write")
    faults = find_faults(request)
    body: _Body = await read_json(request, _Body)
    scenario = _scenario(body.scenario)
    faults.add(call.account, scenario, seed=body.seed, token=body.token, times=body.times)
    return _answer(faults, call.account)


async def _clear(request: Request) -> Response:
    call = await admit_admin(request, PATH, "write", "scenario")
    faults = find_faults(request)
    name = call.query.get("scenario")
    if not faults.clear(call.account, name) and name is not None:
        raise unknown_scenario(name, [active.scenario.name for active in faults.active(call.account)])
    return _answer(faults, call.account)


def _scenario(value: str | dict[str, Any]) -> Scenario:
    return find_scenario(value) if isinstance(value, str) else parse_scenario(value)


def fault_status(active: ActiveScenario) -> dict[str, Any]:
    """A scenario that is switched on, with its counts."""
    scenario = active.scenario
    return {
        "name": scenario.name,
        "description": scenario.description,
        "incident": scenario.incident,
        "expect": scenario.expect,
        "seed": active.seed,
        "times": active.times,
        "for_token": active.token_hash is not None,
        "counted": active.counted,
        "fired": active.fired,
    }


def _answer(faults: Faults, account: Account) -> Response:
    firings = faults.firings(account)
    scenarios = [
        {
            **fault_status(active),
            "firings": [firing._asdict() for firing in firings if firing.scenario == active.scenario.name][
                -SHOWN_FIRINGS:
            ],
        }
        for active in faults.active(account)
    ]
    shown = {"account": account.subdomain, "scenarios": scenarios, "available": list(shipped_scenarios())}
    return JSONResponse(msgspec.to_builtins(shown), headers={"cache-control": "no-store"})


FAULT_ROUTES = [
    Route(PATH, _show, methods=["GET"]),
    Route(PATH, _add, methods=["POST"]),
    Route(PATH, _clear, methods=["DELETE"]),
]
