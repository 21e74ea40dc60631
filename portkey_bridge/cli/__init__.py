"""Commands and user-facing text.

`main` parses the command line that `commands` declares, reads the settings, and imports the module of the command,
whose function gets an `Invocation` and returns the exit code. `loading` loads the documents with their warnings;
`terminal` prints results, as tables and colours on a terminal and as plain lines in a pipe.
"""
