"""How fast Tailrace is, beside its predecessor, a bare Django view and a bare river loop."""
