"""Learning: send labeled cells to a server, evaluate recipes, predict large structures."""
