"""Writes ``docs/reference/calculation-states.md`` and its picture from the table of states: ``python -m tests.calculations.states_page``."""

from server.calculations import states
from tests.calculations import states_picture
from tests.serving import ROOT

PAGE = ROOT / "docs/reference/calculation-states.md"
PICTURE = PAGE.with_suffix(".svg")


def page() -> str:
    """Return the page."""
    meanings = "".join(f"| `{state}` | {meaning} |\n" for state, meaning in states.STATES.items())
    moves = "".join(f"| `{m.before}` | `{m.after}` | {m.who} | {m.when} |\n" for m in states.MOVES)
    return f"""# States of a step

A calculation has one step or several. Each step is in one of these states:

| state | meaning |
|---|---|
{meanings}
The diagram shows who moves a step on: the server, the agent of its cluster, or a person. From every state, a valid result that
comes late makes the step `done`; the diagram leaves these arrows out. A job may pass over states between `permitted` and `settling`.

![States, and who moves a step from one to another](calculation-states.svg)

From `permitted` on, a job may exist. The server never starts such a step again by itself: the next session of the cluster's
agent adopts the job, or a person decides.

| from | to | who | when |
|---|---|---|---|
{moves}"""


if __name__ == "__main__":
    PAGE.write_text(page())
    PICTURE.write_text(states_picture.svg())
