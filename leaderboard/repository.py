"""Where SpikeMark lives. OWNER stands for the account that publishes it, until there is one.

The same address stands in pyproject.toml, CITATION.cff, CONTRIBUTING.md, CHANGELOG.md, mkdocs.yml and docs.
A test holds them together, so that replacing OWNER everywhere is one command.
"""

REPOSITORY = "https://github.com/OWNER/spikemark"
DOCS = "https://OWNER.github.io/spikemark"
