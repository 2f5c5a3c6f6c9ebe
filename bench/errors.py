"""What a benchmark can fail of."""


class BenchError(Exception):
    """A row could not be measured; the message says why and what to do."""
