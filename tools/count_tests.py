#!/usr/bin/python3.11
"""Counts test cases of a Bazel run: `count_tests.py EVENTS EXIT_CODE` prints "PASSED FAILED".

EVENTS is what --build_event_json_file wrote. Cases come from each test's test.xml; a test that failed without saying
which case (a crash, a time-out) and a target that did not build count as one failed each. Failures go to stderr.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

TESTS_FAILED, NO_TESTS = 3, 4  # exit codes of Bazel that are not a broken build


def cases(path):
    """(passed, names of the failed ones) of one test.xml; skipped and disabled cases count as neither."""
    passed, failed = 0, []
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname')}.{case.get('name')}")
        elif case.find("skipped") is None and case.get("status") != "notrun" and case.get("result") != "skipped":
            passed += 1
    return passed, failed


def one_test(label, result):
    """(passed, failed) of one testResult event."""
    xml = [output["uri"] for output in result.get("testActionOutput", []) if output["name"] == "test.xml"]
    try:
        passed, failed = cases(urllib.parse.urlparse(xml[0]).path)
    except (IndexError, OSError, ElementTree.ParseError):
        passed, failed = int(result["status"] == "PASSED"), []
    if result["status"] == "PASSED":
        return max(passed, 0 if xml else 1), 0
    print("\n".join(f"FAILED {label} {name}" for name in failed or [result["status"]]), file=sys.stderr)
    return passed, max(len(failed), 1)


def main():
    path, exit_code = sys.argv[1], int(sys.argv[2])
    total_passed, total_failed = 0, 0
    with open(path) as events:
        for event in map(json.loads, events):
            identity = event["id"]
            if "testResult" in event:
                passed, failed = one_test(identity["testResult"]["label"], event["testResult"])
                total_passed, total_failed = total_passed + passed, total_failed + failed
            elif "targetCompleted" in identity and not event.get("completed", {}).get("success"):
                print(f"FAILED to build {identity['targetCompleted']['label']}", file=sys.stderr)
                total_failed += 1
    if exit_code not in (0, NO_TESTS) and total_failed == 0:
        total_failed = 1
    print(total_passed, total_failed)


if __name__ == "__main__":
    main()
