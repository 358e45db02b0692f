"""Results of scenarios as JUnit XML, which continuous integration shows."""

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from ticketfeed.torture.results import ScenarioResult, count

__all__ = ["junit_report"]

# What XML 1.0 does not allow, and colours of terminals.
_NOT_XML = re.compile("\x1b\\[[0-9;]*m|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PRINTED_CHARS_MAX = 4000


def junit_report(results: Sequence[ScenarioResult], seed: int, versions: Mapping[str, str]) -> bytes:
    """A failure is a failure; what was named and is inconclusive is an error; the rest that did not pass is skipped."""
    counts = count(results)
    errors = sum(each.outcome == "INCONCLUSIVE" and each.is_named for each in results)
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name="ticketfeed torture",
        tests=str(len(results)),
        failures=str(counts["FAIL"]),
        errors=str(errors),
        skipped=str(counts["UNSUPPORTED"] + counts["INCONCLUSIVE"] - errors),
        time=f"{sum(each.seconds for each in results):.2f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in {"seed": str(seed), **versions}.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for each in results:
        suite.append(_case(each))
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(result: ScenarioResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname="ticketfeed.torture", name=result.name, time=f"{result.seconds:.2f}"
    )
    reason = _clean(result.reason)
    if result.outcome == "FAIL":
        failure = ElementTree.SubElement(case, "failure", message=reason, type="FAIL")
        failure.text = _clean(f"{result.scenario.description}\n{result.scenario.incident}\nrepeat: {result.repeat}")
    elif result.outcome == "INCONCLUSIVE" and result.is_named:
        ElementTree.SubElement(case, "error", message=reason, type="INCONCLUSIVE").text = _clean(result.repeat)
    elif result.outcome != "PASS":
        ElementTree.SubElement(case, "skipped", message=f"{result.outcome}: {reason}")
    printed = "\n".join(attempt.printed for run in result.runs.values() for attempt in run.attempts).strip()
    if result.outcome != "PASS" and printed:
        ElementTree.SubElement(case, "system-out").text = _clean(printed[-_PRINTED_CHARS_MAX:])
    return case


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)
