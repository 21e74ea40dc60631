"""Many callers: with whose credentials they call, what they may, and the state that is kept for them.

`admission` and `rates` bound how much a caller sends, `roles` which tools it may use, `bridges` has its credentials.
What is kept for callers is in a `store`, in memory or encrypted in Redis: large results (`shared_results`), logins
(`stored_logins`) and copies of documents. `observed` notes each call.
"""
