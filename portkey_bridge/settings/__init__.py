"""Options, environment, `.env` and settings file become one frozen value, `Settings`.

`options` is the table: a row has the default, the reader of the text (`readers`), and what an untrusted `.env` may do
with it. `reading` takes each option from the command line, else the environment, the settings file (`file`) or `.env`
(`env_files`). Every other package receives `Settings`, or a value of it.
"""
