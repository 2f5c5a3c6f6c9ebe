"""Names of runs and logged models whose client chose none, such as ``calm-turbine-482``."""

import secrets

ADJECTIVES = (
    "amber", "bold", "brisk", "bright", "calm", "clear", "cool", "crisp", "deep", "eager", "early", "fair", "fine", "gentle",
    "golden", "grand", "keen", "kind", "light", "lively", "mellow", "mild", "neat", "noble", "patient", "plain", "quick",
    "quiet", "rapid", "ready", "rich", "silent", "silver", "smooth", "solid", "steady", "swift", "tidy", "warm", "wise",
)  # fmt: skip
NOUNS = (
    "bay", "beam", "bell", "brook", "cape", "cliff", "coast", "creek", "current", "delta", "dune", "eddy", "fjord", "ford",
    "gate", "glen", "grove", "gull", "harbor", "heron", "inlet", "island", "kelp", "lagoon", "lake", "marsh", "otter", "pebble",
    "pier", "pond", "reed", "reef", "ripple", "river", "sluice", "spring", "stream", "tide", "turbine", "weir",
)  # fmt: skip


def random_name() -> str:
    """Return a name of two words and a number."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}-{secrets.randbelow(900) + 100}"
