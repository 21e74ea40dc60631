"""The path of a call: from the arguments of a tool to its result."""
