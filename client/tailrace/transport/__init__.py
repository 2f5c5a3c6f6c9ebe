"""HTTP transport to a Tailrace server: connections, proxies, TLS, retries and errors."""
