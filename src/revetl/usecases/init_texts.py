"""What `revetl init` writes that stands nowhere else."""

from __future__ import annotations

SETTINGS = """\
# yaml-language-server: $schema=.revetl/schemas/project.json
# `revetl schema --write .revetl/schemas` writes what it names, for editors.
# revetl in this dbt project. `revetl schema project` prints everything that can stand here.
name: {name}
{profiles}   # where profiles.yml is; left out, it is looked for as dbt does
# state_schema: revetl         # revetl's own tables, in the same warehouse. One for each target that syncs:
#                              #   {{default: revetl, staging: revetl_staging}}
# exposures: models/exposures/revetl.yml   # one dbt exposure per sync, written by `revetl build`; left out, none is
# dbt: /opt/dbt                # a dbt of another environment; `elsewhere`: only its target folder is here
"""

# The variable by which `CONNECTIONS` hears where the sandbox listens.
SANDBOX_VARIABLE = "HUBSPOT_BASE_URL"

CONNECTIONS = """\
# yaml-language-server: $schema=.revetl/schemas/connections.json
# Accounts by dbt target; `default` serves every target that is not named. Secrets only through env_var().
# Without any variable set, everything goes to the local sandbox (`revetl sandbox start`), which takes any token.
destinations:
  hubspot:
    type: hubspot
    outputs:
      default:
        base_url: "{{ env_var('HUBSPOT_BASE_URL', 'http://127.0.0.1:8765') }}"
        token: "{{ env_var('HUBSPOT_TOKEN', 'pat-sandbox') }}"
      # The real account, for the target `prod`. Without a default, a missing secret is named:
      # prod:
      #   base_url: https://api.hubapi.com
      #   token: "{{ env_var('HUBSPOT_TOKEN') }}"
"""

EXAMPLE = """\
# A sync is a dbt model. This file is an example and read by nobody: `revetl scaffold MODEL --to hubspot.contacts`
# drafts one from a model of yours, its columns and types included.
#
# 1. models/activation/hubspot__contacts.sql: the columns are named as the destination's fields.
#
#    select customer_id, email, first_name as firstname, last_name as lastname
#    from {{ ref('customers') }}
#    where email is not null
#
# 2. models/activation/hubspot__contacts.yml: the contract says which columns are sent, the meta where to and how.
#
#    # yaml-language-server: $schema=../../.revetl/schemas/model.json
#    models:
#      - name: hubspot__contacts
#        config:
#          contract: {enforced: true}
#          meta:
#            revetl:
#              destination: hubspot          # a name in connections.yml
#              object: contacts
#              key: customer_id              # unique and not null: the record's identity in revetl's tables
#              match_on: email               # how a record that is new to us is looked for there
#              mode: upsert                  # or update, insert, mirror
#              fields:
#                lastname: {policy: fill_blank}      # never overwrite what a person wrote
#              guardrails: {max_changed_share: 0.5}
#        columns:
#          - {name: customer_id, data_type: varchar, data_tests: [unique, not_null]}
#          - {name: email, data_type: varchar, data_tests: [not_null]}
#          - {name: firstname, data_type: varchar}
#          - {name: lastname, data_type: varchar}
"""

STARTER_GITIGNORE = """\
target/
logs/
dbt_packages/
*.duckdb
*.duckdb.wal
.user.yml
.env
.revetl/
"""

STARTER_README = """\
# A revetl project
Sources → golden records → enrichment → activation models → your tools. `revetl demo` shows all of it on made-up
customers; `revetl debug` says what is missing for your own accounts.

## With made-up sources
    revetl sandbox generate -t dev      # sources to play with, in the target's warehouse
    revetl sandbox start                # vendors on this machine, in another terminal
    revetl run

## With sources of your own
1. `profiles/profiles.yml`: your warehouse, as dbt takes it. Secrets come from the environment.
2. `dbt_project/models/staging/`: name your tables in the sources' yml; rename and cast their columns in the models.
   What the models further down read are the columns of `stg_*`: keep those names, and delete the sources that you do
   not have.
3. `dbt_project/models/activation/`: one model per sync, its columns named as the destination's fields.
4. `profiles/connections.yml`: your accounts.
5. `revetl build`, then `revetl plan`: exactly what would be sent, and nothing is.

Everything above is text: keep it in git. Editors with a YAML language server check it while you type: each file names
its schema in `.revetl/schemas`. After an upgrade or a fresh clone, `revetl schema --write .revetl/schemas` writes them.
"""
