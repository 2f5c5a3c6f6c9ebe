"""`Policy`: what decides which calculations come next."""

from server.campaigns.policies.situation import Choice, Situation

__all__ = ["Policy"]


class Policy:
    """A pure function of a situation. The same situation gives the same choice, on every CPU.

    A distribution adds a policy of its own by an entry point of the group ``tailrace.policies`` that names a subclass:

    .. code-block:: toml

        [project.entry-points."tailrace.policies"]
        mine = "my_package.my_module:MyPolicy"

    Attributes
    ----------
    name
        What a campaign calls it.
    title
        What pages call it.
    """

    name: str = ""
    title: str = ""

    def decide(self, situation: Situation) -> Choice:
        """Return what to do next, why in two sentences, and with which candidates of the situation.

        Parameters
        ----------
        situation
            What is known. Candidates and types may come in any order.
        """
        raise NotImplementedError(f"policy {self.name or type(self).__name__} does not decide")
