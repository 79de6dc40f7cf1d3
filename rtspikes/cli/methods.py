"""`methods`: the Methods paragraphs of a paper, from a session's log alone."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rtspikes.cli.examples import examples
from rtspikes.cli.parameters import PathTo, sessions
from rtspikes.cli.sessions import whole
from rtspikes.errors import ConfigError
from rtspikes.subscribers.log.reader import read_session


@examples(
    "rtspikes methods session1.rtspikes",
    "rtspikes methods session1.rtspikes --json",
    "rtspikes methods session1.rtspikes --bibtex",
)
@click.command()
@click.argument("session", type=PathTo(sessions))
@click.option("--json", "as_json", is_flag=True, help="The facts behind the sentences, as one JSON object.")
@click.option(
    "--bibtex", "as_bibtex", is_flag=True, help="What the paragraphs cite, rtspikes in the session's version."
)
def methods(session: Path, as_json: bool, as_bibtex: bool) -> None:
    """Write the Methods paragraphs of a paper about a session.

    How its spikes were detected, which events were no spikes, and what was lost, each true of this session: all is
    from its log. A line per paragraph.
    """
    from rtspikes.subscribers.account.facts import facts_of
    from rtspikes.subscribers.account.references import bibtex
    from rtspikes.subscribers.account.sentences import paragraphs

    if as_json and as_bibtex:
        raise ConfigError("methods: give --json or --bibtex, got both")
    log = read_session(session)
    with whole(session):
        facts = facts_of(log)
        texts = paragraphs(facts)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False, indent=1))
    elif as_bibtex:
        click.echo(bibtex(facts, texts))
    else:
        click.echo("\n\n".join(texts))
