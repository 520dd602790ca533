"""Go from Python: functions on green threads of their own, and channels between them.

    GET /weather     asks three slow services at once; answers in the time of the slowest
    GET /fastest     asks two mirrors; the first answer wins, the other is cancelled, and half a second is enough
    GET /pipeline    three stages joined by channels, the middle one by four green threads
    GET /order       answers at once; the mail is sent afterwards, and a server that ends waits for it
"""

from collections.abc import Callable, Iterable
import time

import greenring

Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], object]


def ask(service: str, seconds: float) -> str:
    """Stands for a call that blocks: requests.get(), a query, anything."""
    time.sleep(seconds)
    return f"{service} says: fine after {seconds} s"


def weather() -> str:
    handles = [greenring.go(ask, name, seconds) for name, seconds in (("sky", 0.3), ("sea", 0.2), ("land", 0.1))]
    return "\n".join(handle.result() for handle in handles)


def fastest() -> str:
    answers = greenring.Channel[str](2)
    handles = [
        greenring.go(lambda: answers.send(ask("near mirror", 0.1))),
        greenring.go(lambda: answers.send(ask("far mirror", 3600))),
    ]
    try:
        _, answer = greenring.select(answers, timeout=0.5)
    except TimeoutError:
        answer = "nobody has answered in time"
    for handle in handles:
        handle.cancel()
    return answer


def pipeline() -> str:
    numbers, squares = greenring.Channel[int](), greenring.Channel[int]()
    group = greenring.WaitGroup()

    def produce() -> None:
        for number in range(1, 11):
            numbers.send(number)
        numbers.close()

    def square() -> None:
        for number in numbers:  # until it is closed and empty
            time.sleep(0.01)
            squares.send(number * number)

    def finish() -> None:
        group.wait()
        squares.close()

    greenring.go(produce)
    for _ in range(4):
        group.go(square)
    greenring.go(finish)
    return f"the sum of the squares is {sum(squares)}"


def order() -> str:
    def send_mail(number: int) -> None:
        time.sleep(1)
        print(f"mail for order {number} sent", flush=True)

    greenring.go(send_mail, 7)
    return "thank you: the mail is on its way"


PAGES = {"/weather": weather, "/fastest": fastest, "/pipeline": pipeline, "/order": order}


def app(environ: dict[str, str], start_response: StartResponse) -> Iterable[bytes]:
    page = PAGES.get(environ["PATH_INFO"])
    body = page() if page else "Try " + ", ".join(PAGES)
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [body.encode() + b"\n"]
