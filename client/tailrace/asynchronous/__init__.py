"""The asynchronous client: AsyncClient, AsyncModel and AsyncStream."""
