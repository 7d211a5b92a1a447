"""Asks nb-wrangler what it makes of specs: files on standard input, one JSON document on standard output."""

import json
import logging
import sys

from nb_wrangler import config

config.set_args_config(config.WranglerConfig(workflows=[], quiet=True))
from nb_wrangler.spec_manager import SpecManager

logging.disable(logging.CRITICAL)
answers = {}
for file in json.load(sys.stdin):
    answer = {"valid": False, "notebooks": [], "requirements": [], "values": None}
    manager = SpecManager()
    try:
        answer["valid"] = manager.load_spec(file) and manager.validate()
        if answer["valid"]:
            answer["values"] = [manager.to_dict()]
            if manager.inline_mamba_spec is not None:
                answer["values"].append(manager.inline_mamba_spec)
            answer["notebooks"] = manager.collect_notebook_paths()
            answer["requirements"] = manager.get_requirements_files()
    except Exception as error:
        answer["error"] = repr(error)
    answers[file] = answer
sys.stdout.write("\n" + json.dumps(answers, default=str) + "\n")
