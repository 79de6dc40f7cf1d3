"""`completion`: the shell's script, made by click; and how bash, which splits words at `:` and `=`, is understood."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from rtspikes.cli.examples import examples
from rtspikes.cli.parameters import OneOf

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_RTSPIKES_COMPLETE"
"""The environment variable by which a shell asks for completions."""

BREAKS = (":", "=")
"""What bash ends a word at, beside blanks (its COMP_WORDBREAKS)."""


@add_completion_class
class Bash(BashComplete):
    """Bash, with whole words: `--set detect.sign=neg` is three of bash's."""

    source_template = BashComplete.source_template.replace("complete -o nosort", "complete -o nosort -o nospace")

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one, both put together again."""
        before, last = super().get_completion_args()
        words: list[str] = []
        for word in (*before, last):
            if word == "=" and words and words[-1].startswith("--"):
                words.append("")  # --set=KEY: the value begins
            elif word and words and (word in BREAKS or words[-1] == "" or words[-1].endswith(BREAKS)):
                words[-1] += word
            else:
                words.append(word)
        whole = words[-1]
        self._known = len(whole) if last in BREAKS else len(whole) - len(last)
        return words[:-1], whole

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return what comes after the part that bash has as words of its own, and a blank where a word is complete."""
        end = "" if item.type != "plain" or item.value.endswith((*BREAKS, "/")) else " "
        value = item.value[self._known :].replace(" ", r"\\ ")  # one backslash is left by the script's `read`
        return f"{item.type},{value}{end}"


@examples("rtspikes completion bash", "rtspikes completion fish")
@click.command()
@click.argument("shell", type=OneOf("shell", SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the script that lets bash, zsh or fish complete rtspikes.

    It completes commands, options, settings, sources and files. Put it where the shell reads it:

    \b
    bash, in ~/.bashrc:  eval "$(rtspikes completion bash)"
    zsh, in ~/.zshrc:    eval "$(rtspikes completion zsh)"
    fish:                rtspikes completion fish > ~/.config/fish/completions/rtspikes.fish
    """  # noqa: D301  (click's mark of a paragraph that keeps its lines)
    from rtspikes.cli.commands import cli

    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(cli, {}, "rtspikes", VARIABLE).source(), nl=False)
