"""A mirror that runs, on virtual time: first copies, further runs, what it asks for."""

import asyncio

from tests.mirror.desk import Desk


def test_a_first_copy_and_a_second_run() -> None:
    """Every ticket is here byte for byte at its position, every other record too, and a second run brings what changed
    since; nothing is asked for twice."""

    async def main() -> None:
        desk = await Desk.make(350)
        desk.clock.now += 120
        await desk.run().run()
        copy = await desk.copy()
        await desk.compare(copy)
        await desk.change(60)
        desk.clock.now += 120
        before = len(desk.transport.requests)
        await desk.run().run()
        await desk.compare(copy)
        asked = [target for target, _ in desk.transport.requests[before:]]
        assert not [target for target in asked if "start_time=0" in target]
        assert desk.notes == []

    asyncio.run(main())
