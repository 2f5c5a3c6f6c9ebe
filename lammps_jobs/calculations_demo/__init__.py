"""The demo of calculations: a server, an agent, chains of real calculations, and a model of their wall times."""
