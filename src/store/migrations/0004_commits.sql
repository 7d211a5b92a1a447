-- Which runs were of a commit: what a pull request starts from may have been run before.

CREATE INDEX run_by_commit ON run (forge, repository, json_extract(document, '$.request.sha'), id) WHERE forge IS NOT NULL;
