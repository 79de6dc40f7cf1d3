"""All facts that a session's log tells: name → value, units in the names; what it does not tell is left out."""

from __future__ import annotations

from typing import Any

from rtspikes.subscribers.account.filtering import filter_facts, reference_facts
from rtspikes.subscribers.account.levels import level_facts
from rtspikes.subscribers.account.losses import loss_facts
from rtspikes.subscribers.account.method import method_facts
from rtspikes.subscribers.account.notices import Notices
from rtspikes.subscribers.account.origin import Electrodes, origin_facts
from rtspikes.subscribers.account.rules import RULES
from rtspikes.subscribers.account.told import Told
from rtspikes.subscribers.log.layout import SESSION_FILE
from rtspikes.subscribers.log.reader import Session


def facts_of(session: Session) -> dict[str, Any]:
    """Return the facts of a session; raise DataError where its log tells what cannot be."""
    file = session.path / SESSION_FILE
    log, info = Told(session.facts, f"{file}: log"), Told(session.info, f"{file}: info")
    electrodes, notices = Electrodes(info), Notices(session)
    filtering = filter_facts(info)
    reference = reference_facts(info)
    if reference and (rules := RULES.get(info.text("software.version") or "")):
        reference["reference_noisy_medians"] = rules.noisy_medians
    facts = {
        **origin_facts(log, info, electrodes),
        **filtering,
        **reference,
        **level_facts(session, info, electrodes),
        **method_facts(info, electrodes, filtering.get("filter_has_highpass")),
        **notices.facts(electrodes),
        **loss_facts(session, electrodes, notices),
    }
    return {name: value for name, value in facts.items() if value is not None}
