"""A long attribution: its progress, what is answered meanwhile, and its end when nobody waits for it any more."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from convatlas.explorer.attribution_events import Cancelled, Job
from convatlas.explorer.turns import Turns

SUBJECT = "squeezenet1_1"  # 1,000 masked images of 224 x 224 take it half a minute


def asked(page: Any, **parameters: str) -> dict[str, str]:
    return {"image": page.session.pictures.all()[0].id, "method": "rise", "subject": SUBJECT, **parameters}


def events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_the_last_event_is_the_document_of_the_attribution(page):
    wanted = asked(page, subject="lenet5", method="occlusion")
    with page.client.stream("GET", "api/attribution/events", params=wanted) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = list(events(answer))
    assert [name for name, _ in told] == ["progress"] * (len(told) - 1) + ["done"]
    assert told[-1][1] == page.get("attribution", **wanted)


def test_an_error_is_told_in_the_language_asked_for(page):
    with page.client.stream("GET", "api/attribution/events", params=asked(page, method="rize", lang="ko")) as answer:
        [(name, document)] = [each for each in events(answer) if each[0] != "progress"]
    assert name == "problem"
    assert "rise" in document["error"]
    assert document["error"] == page.refused("attribution", **asked(page, method="rize", lang="ko"))[1]


def test_other_documents_are_answered_while_rise_runs_and_it_ends_when_its_reader_goes_away(page):
    page.get("predict", subject=SUBJECT, image=asked(page)["image"])  # the network is loaded
    jobs: list[Job] = []
    run = Job.run

    def noted(job: Job) -> None:
        jobs.append(job)
        run(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "run", noted)
        with page.client.stream("GET", "api/attribution/events", params=asked(page)) as answer:
            told = events(answer)
            while next(told)[1]["done"] == 0:
                pass
            page.get("layer", subject=SUBJECT, layer="fire2.squeeze1x1")
            page.get("maps", subject=SUBJECT, image=asked(page)["image"], layer="fire2.squeeze1x1")  # runs the network
            name, document = next(told)
            assert name == "progress"
            assert document["done"] < document["total"] == 1000
    (job,) = jobs
    assert job.finished.wait(timeout=60)
    assert job.done < job.total
    assert job.answer == b""


def test_turns_are_taken_in_the_order_of_asking():
    turns, order = Turns(), []

    def take(name: str) -> None:
        with turns:
            order.append(name)

    with turns:
        turns.pass_on()  # nobody waits
        threads = []
        for name in ("first", "second"):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            time.sleep(0.1)
        turns.pass_on()
        order.append("the one that passed on")
    for thread in threads:
        thread.join()
    assert order == ["first", "second", "the one that passed on"]


def test_a_turn_ends_with_an_error_too():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns:
        1 / 0  # noqa: B018
    with turns:
        pass


def test_a_cancelled_job_does_not_begin():
    def make(progress: Any) -> bytes:
        raise AssertionError("it began")

    job = Job(make, Turns())
    job.cancel()
    job.run()
    assert job.finished.is_set()
    with pytest.raises(Cancelled):
        job.progress(1, 2)
