"""Things are started, loaded and stopped for real: Node, services, browsers, load."""
