"""The paragraphs of a Methods section, made of a session's facts and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rtspikes.subscribers.account.detection_text import detection
from rtspikes.subscribers.account.english import sentence
from rtspikes.subscribers.account.losses_text import losses
from rtspikes.subscribers.account.screening_text import screening

LOSSES = "Losses and observed time."
"""What the last paragraph begins with."""


def paragraphs(facts: Mapping[str, Any]) -> list[str]:
    """Return the paragraphs, a line each: detection, screening of events, losses and observed time."""
    return [text for text in (_joined(detection(facts)), _joined(screening(facts))) if text] + [
        f"{LOSSES} {_joined(losses(facts))}"
    ]


def _joined(sentences: Iterable[str]) -> str:
    return " ".join(" ".join(sentence(text).split()) for text in sentences)
