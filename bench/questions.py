"""Measures discovery: a hundred questions, the tool that answers each, and what the way from question to schema costs.

python -m bench.questions
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.figures import table
from bench.stdio import module, session
from bench.tokens import compact, count
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.settings import Settings
from portkey_bridge.tools.search import Index

_MODULES = Path(__file__).parents[1] / ".ci" / "node_modules"

#: Each line is a question and the tool that answers it.
PORTKEY = """
Ask a model to answer a conversation | createchatcompletion
chat completion | createchatcompletion
POST /chat/completions | createchatcompletion
createChatCompletion | createchatcompletion
complete this piece of text | createcompletion
turn some text into an embedding vector | createembedding
draw a picture from a description | createimage
edit an existing image | createimageedit
make variations of an image | createimagevariation
turn text into spoken audio | createspeech
transcribe a recording | createtranscription
translate an audio file into English | createtranslation
check whether a text violates the moderation policy | createmoderation
rerank documents for a query | creatererank
which models can I use? | listmodels
delete a fine-tuned model | deletemodel
upload a file | createfile
download the content of a file | downloadfile
start fine-tuning a model | createfinetuningjob
cancel a fine tuning job | cancelfinetuningjob
show the events of a fine-tuning job | listfinetuningevents
create a batch of requests | createbatch
get the output of a batch | getbatchoutput
save a new prompt template | createprompt
run a saved prompt with variables | createpromptcompletion
render a prompt without running it | createpromptrender
show all versions of a prompt | getpromptversions
make another version of a prompt the default | updatepromptdefault
list prompt partials | listpromptpartials
delete a prompt | deleteprompt
add a guardrail | createguardrail
list my guardrails | listguardrails
create a gateway config | createconfig
show the history of a config | listconfigversions
rename a prompt collection | put_collections_collectionid_
give feedback on a response | createfeedback
invite somebody to the organisation | invites_create
resend an invitation to a user | post_admin_users_invites_inviteid_resend
remove a user from the organisation | delete_admin_users_userid_
change the role of a workspace member | put_admin_workspaces_workspaceid_users_userid_
create a workspace | post_admin_workspaces
who are the members of a workspace | get_admin_workspaces_workspaceid_users
create an API key | post_api_keys_type_sub_type_
rotate an api key | post_api_keys_id_rotate
create a virtual key | post_virtual_keys
how much did my requests cost over time | get_analytics_graphs_cost
chart of request latency | get_analytics_graphs_latency
error rate over time | get_analytics_graphs_errors_rate
how often was the cache hit | get_analytics_graphs_cache_hit_rate
which users spend the most | get_analytics_groups_users
export logs | post_logs_exports
download a log export | get_logs_exports_exportid_download
see who changed what in the organisation (audit) | get_audit_logs
limit how many requests a key may send per minute | createratelimitspolicy
list usage limit policies | listusagelimitspolicies
what does a model cost per token | getmodelpricing
store a reference to a secret in a vault | createsecretreference
register an MCP server | mcpservers_create
test the connection to an MCP server | mcpservers_test
add a file to a vector store | createvectorstorefile
"""

GITHUB = """
star a repository | activity_star_repo_for_authenticated_user
open an issue | issues_create
comment on an issue | issues_create_comment
list pull requests of a repository | pulls_list
merge a pull request | pulls_merge
create a new repository in an organization | repos_create_in_org
fork a repo | repos_create_fork
list the branches of a repository | repos_list_branches
get the contents of a file in a repository | repos_get_content
delete a branch protection rule | repos_delete_branch_protection
search code | search_code
trigger a workflow run by hand | actions_create_workflow_dispatch
download the logs of a workflow run | actions_download_workflow_run_logs
cancel a workflow run | actions_cancel_workflow_run
add a label to an issue | issues_add_labels
create a release | repos_create_release
get the latest release | repos_get_latest_release
invite a user to an organization | orgs_create_invitation
list my notifications | activity_list_notifications_for_authenticated_user
create a gist | gists_create
block a user in my organization | orgs_block_user
compare two commits | repos_compare_commits_with_basehead
request reviewers for a pull request | pulls_request_reviewers
who am I logged in as? get the authenticated user | users_get_authenticated
render markdown | markdown_render
"""

README = """
create a new page in the changelog | createchangelog
list all changelogs | getchangelogs
read a guide by its slug | getguide
search the docs | search
delete a guide page | deleteguide
create a custom page | createcustompage
update a category | updatecategory
list the pages of a category | getcategorypages
create a new branch | createbranch
remove an API key of a project | deleteapikey
upload an API definition | createapi
apply for a job | applytoreadme
which outbound IP addresses does ReadMe use | getoutboundips
show my project | getproject
upload a picture | uploadimage
"""


class Questions(NamedTuple):
    """Questions about an API. `document` is its file, or None for the shipped one."""

    api: str
    document: Path | None
    pairs: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, api: str, document: Path | None, lines: str) -> Questions:
        """Read the lines of a table."""
        pairs = (line.rsplit(" | ", 1) for line in lines.strip().splitlines())
        return cls(api, document, [(question, tool) for question, tool in pairs])

    def places(self) -> list[int | None]:
        """Give the place of the right tool among what is found for each question; the first is 1."""
        index = Index(load_tools(Settings(spec=str(self.document) if self.document else None))[1])
        found = ([tool.name for tool in index.search(question)] for question, _ in self.pairs)
        return [
            names.index(right) + 1 if right in names else None
            for names, (_, right) in zip(found, self.pairs, strict=True)
        ]


#: The GitHub and ReadMe documents are those of the packages that `.ci/run` installs from npm.
QUESTIONS = (
    Questions.of("Portkey", None, PORTKEY),
    Questions.of("GitHub", _MODULES / "@octokit/openapi/generated/api.github.com.json", GITHUB),
    Questions.of("ReadMe", _MODULES / "@readme/oas-examples/3.1/json/readme.json", README),
)


def within(places: Sequence[int | None], first: int) -> int:
    """Count the right tools among the first so many."""
    return len([place for place in places if place is not None and place <= first])


async def tokens() -> tuple[int, int]:
    """Give the tokens of the listing, and of the way from a plain question to the schema of a chat completion."""
    async with session(module("portkey_bridge", "--discover"), {}) as server:
        listed = json.loads(await server.request("tools/list"))["result"]["tools"]
        question = {"query": "create a chat completion"}
        schema = {"toolName": "createchatcompletion", "jsonPointers": [""]}
        way = 0
        for name, arguments in (("searchTools", question), ("expandSchema", schema)):
            answer = json.loads(await server.call(name, arguments))["result"]
            way += count(compact(arguments)) + sum(count(block["text"]) for block in answer["content"])
    return count(compact(listed)), way


def main() -> None:
    """Print how often the right tool comes first and among the first five, and the tokens."""
    rows = []
    for questions in QUESTIONS:
        if questions.document and not questions.document.is_file():
            print(f"{questions.api}: not measured, because {questions.document.name} is not installed\n")
            continue
        places = questions.places()
        rows.append((questions.api, len(places), within(places, 1), within(places, 5)))
    sums = ("all", sum(row[1] for row in rows), sum(row[2] for row in rows), sum(row[3] for row in rows))
    print("## Discovery\n")
    print(table(("API", "questions", "first", "in the first five"), [tuple(map(str, row)) for row in (*rows, sums)]))
    listed, way = asyncio.run(tokens())
    print(
        f"\nThe three tools are listed in {listed:,} tokens. From a plain question to the schema of a chat completion"
    )
    print(f"it takes {way:,} tokens, what the model writes included.")


if __name__ == "__main__":
    main()
