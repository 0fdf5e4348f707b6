"""Compares an answer with what is expected of it. Pure."""

from __future__ import annotations

from cidery.gateway.check.model import Answer, Expect


def differences(expected: Expect, answer: Answer, first: Answer | None = None) -> list[str]:
    """Each difference in words; empty: the answer is right."""
    if answer.broken and expected.may_break:
        return []
    wrong = [f"the connection broke: {answer.broken}"] if answer.broken else []
    if expected.status is not None and not expected.status[0] <= answer.status <= expected.status[1]:
        wrong.append(f"the status must be {_span(expected.status)}, but it is {answer.status}")
    for rule in expected.headers:
        wrong += rule.faults(answer)
    if expected.body is not None:
        wrong += expected.body.faults(answer, first)
    if expected.one_of:
        choices = [differences(one, answer, first) for one in expected.one_of]
        if all(choices):
            wrong += [f"{'either' if number == 0 else 'or'}: {'; '.join(one)}" for number, one in enumerate(choices)]
    return wrong


def _span(status: tuple[int, int]) -> str:
    low, high = status
    return str(low) if low == high else f"{low} to {high}"
